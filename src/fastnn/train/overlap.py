"""Send gradients while backward still runs: which of them are final after which layer.

Backward goes from the last layer to the first, so the flat gradient becomes final from its end. The
first pass is only watched: a parameter is final after the last layer that has it, unless a
checksum shows that its gradient changed later, as that of a weight which another layer shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..nn.backward_progress import listening
from ..parameters import Parameters
from .shards import ShardedGradients


class Overlap:
    """A listener of backward passes that sends the buckets of the flat gradient that are final.

    Parameters
    ----------
    parameters : Parameters
    gradients : ShardedGradients
        Over these parameters.
    """

    def __init__(self, parameters: Parameters, gradients: ShardedGradients) -> None:
        self.parameters = [each for each in parameters if each.data.size]
        self.gradients = gradients
        self.starts = [each._start - self.parameters[0]._start for each in self.parameters]
        self.final: list[int] | None = None  # after each call: the first element that is final
        self.layers: list[Any] = []
        self.sums: list[NDArray[np.uint64]] = []
        self.calls = 0

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Listen to the last backward pass before a sum in this context."""
        self.layers, self.sums, self.calls = [], [], 0
        self.gradients.begin()
        with listening(self):
            yield
        if self.final is None and self.layers:
            self.final = self._final_from()
            self.layers, self.sums = [], []

    def __call__(self, layer: Any) -> None:
        """Note that the backward pass of a layer is done; send what is final."""
        if self.final is None:
            self.layers.append(layer)
            self.sums.append(self._checksums())
            return
        if self.calls == len(self.final):
            raise RuntimeError(
                f"the backward pass of {type(layer).__name__} was not in the first step, and its "
                "gradients may have been sent: give world(overlap=False) for such a model"
            )
        self.gradients.send(self.final[self.calls])
        self.calls += 1

    def _final_from(self) -> list[int]:
        """Return after each call the first element from which on all are final."""
        last_call: dict[int, int] = {}
        for call, layer in enumerate(self.layers):
            last_call |= dict.fromkeys(map(id, layer.parameters()), call)
        calls = [last_call.get(id(parameter)) for parameter in self.parameters]
        last = self._checksums()
        found = []
        for call, sums in enumerate(self.sums):
            # a layer outside of containers is done once it has a gradient that does not change
            final = (sums == last) & [
                sums[i] != 0 if c is None else c <= call for i, c in enumerate(calls)
            ]
            n = len(final) if final.all() else int(np.argmin(final[::-1]))
            found.append(self.starts[-n] if n else self.gradients.grad.size)
        return found

    def _checksums(self) -> NDArray[np.uint64]:
        """Return a checksum of the gradient of each parameter."""
        grad = self.gradients.grad
        return np.add.reduceat(grad.view(f"u{grad.itemsize}"), self.starts, dtype=np.uint64)
