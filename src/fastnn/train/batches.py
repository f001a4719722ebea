"""Sources of batches: arrays that are shuffled and split, or an iterable of batches.

Neither copies more than one batch, so arrays may be `np.memmap` views of files larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import DTYPES, check_number
from ..kernels.ground.memory import empty
from .examples import Batch, as_array, check_examples, check_weights

# Elements from which `kernels.embedding`, which distributes rows over threads, is faster than
# `take` (docs/tuning.md).
MANY = 65536


def in_order(
    x: NDArray[Any], y: NDArray[Any], weight: NDArray[Any] | None, batch_size: int
) -> Iterator[Batch]:
    """Yield batches of the rows in order, as views."""
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        yield Batch(x[rows], y[rows], None if weight is None else weight[rows])


def gather(x: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Return x[rows], in pooled memory if x is a contiguous float32 or float64 array."""
    if not x.flags.c_contiguous or x.dtype not in DTYPES:
        return x[rows]
    out = empty((len(rows), *x.shape[1:]), x.dtype)
    if out.size >= MANY and x.ndim == 2:
        return kernels.embedding(rows, x, out=out)
    # "raise" would need a second buffer; the rows are known to be in range
    return x.take(rows, axis=0, out=out, mode="clip")


class ArraySource:
    """Batches of arrays, in a new random order in each epoch if `shuffle`."""

    def __init__(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        batch_size: int,
        shuffle: bool,
        steps: int | None,
    ) -> None:
        self.x, self.y, self.weight = x, y, weight
        self.batch_size, self.shuffle = batch_size, shuffle
        n_batches = -(-len(x) // batch_size)
        if steps is not None and steps > n_batches:
            raise ValueError(
                f"steps_per_epoch is {steps}, but there are {n_batches} batches "
                f"of {batch_size} in {len(x)} rows"
            )
        self.steps: int | None = steps or n_batches
        self.own: Callable[[int], slice] | None = None  # rows of a batch to yield, of its number

    def rows_in(self, step: int) -> int:
        """Return the number of rows of a batch of each epoch."""
        return min(self.batch_size, len(self.x) - step * self.batch_size)

    def cut(self) -> dict[str, int | bool | None]:
        """Return what must be unchanged to resume a run within an epoch."""
        return {
            "rows": len(self.x),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "steps_per_epoch": self.steps,
        }

    def state(self) -> dict[str, Any]:
        """Return {}: the order of the rows comes from the generator of the run."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Do nothing: there is no state."""

    def epoch(self, rng: np.random.Generator, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch after the first `skip`; rng does not depend on `skip`."""
        if not self.shuffle:
            batches = in_order(self.x, self.y, self.weight, self.batch_size)
            for batch in islice(batches, skip, self.steps):
                yield batch if self.own is None else batch.rows(self.own(len(batch.y)))
            return
        order = rng.permutation(len(self.x))
        for i in range(skip, self.steps or 0):
            rows = order[i * self.batch_size : (i + 1) * self.batch_size]
            rows = rows if self.own is None else rows[self.own(len(rows))]
            weight = None if self.weight is None else self.weight[rows]
            yield Batch(gather(self.x, rows), self.y[rows], weight)


class StreamSource:
    """Batches (x, y) or (x, y, weight) of an iterable.

    An epoch is one pass, or `steps` batches. With `steps`, the next epoch continues where the last
    one stopped, and an iterable that can restart does so when it ends. Checkpoints store the state
    of an iterable with `state()` and `load_state()`, such as `data.batches`; any other must yield
    the same batches again when a run is resumed. With `take_integers`, targets are numbers of
    `dtype`, not classes.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        steps: int | None,
        dtype: np.dtype[Any],
        name: str = "x",
        take_integers: bool = False,
    ) -> None:
        self.batches: Any = batches
        self.steps, self.dtype, self.name = steps, dtype, name
        self.take_integers = take_integers
        self.begins_anew = iter(batches) is not batches
        self.iterator: Iterator[Any] | None = None
        self.has_state = hasattr(batches, "state") and hasattr(batches, "load_state")
        self.begun: Any = None  # state of `batches` at the start of the pass, if has_state
        self.drawn = 0  # with steps: batches drawn, in this pass if has_state, else in total
        self.to_skip: int | None = None

    def cut(self) -> dict[str, int | bool | None]:
        """Return what must be unchanged to resume a run within an epoch."""
        return {"steps_per_epoch": self.steps}

    def state(self) -> dict[str, Any]:
        """Return the position of the run in the iterable."""
        state: dict[str, Any] = {"drawn": self.drawn}
        if self.has_state:
            state["batches"] = self.batches.state() if self.begun is None else self.begun
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a position; {} if the saved run had another kind of source."""
        self.to_skip = int(state["drawn"]) if "drawn" in state else None
        if self.has_state and "batches" in state:
            self.batches.load_state(state["batches"])

    def _begin(self) -> Iterator[Any]:
        if self.has_state:
            self.begun, self.drawn = self.batches.state(), 0
        return iter(self.batches)

    def epoch(self, rng: np.random.Generator, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch after the first `skip`, which are drawn and dropped."""
        if self.steps is None:
            found = -1
            for found, item in enumerate(self._begin()):
                if found >= skip:
                    yield self._batch(item)
            self.begun = None
            if found < 0:
                raise ValueError(
                    f"{self.name} gave no batches in this epoch: an iterator is exhausted after "
                    "one pass; give an iterable that starts over each time, or steps_per_epoch"
                )
            return
        for _ in range(skip if self.to_skip is None else self.to_skip):
            self._next()
        self.to_skip = 0
        for _ in range(skip, self.steps):
            yield self._batch(self._next())

    def _next(self) -> Any:
        for _ in range(2):
            if self.iterator is None:
                self.iterator = self._begin()
            for item in self.iterator:
                self.drawn += 1
                return item
            if not self.begins_anew:
                break
            self.iterator = None
        raise ValueError(f"x ran out of batches: an epoch takes {self.steps} (steps_per_epoch)")

    def _batch(self, item: Any) -> Batch:
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            raise TypeError(
                f"{self.name} must give batches (x, y) or (x, y, weight), got {type(item).__name__}"
            )
        x, y, *weights = item
        y = as_array("a batch's y", y, self.dtype, take_integers=self.take_integers)
        inputs = tuple(
            as_array("a batch's x", each, self.dtype)
            for each in (x if isinstance(x, tuple) else (x,))
        )
        for each in inputs:
            check_examples("a batch's x", each, "its y", y)
        weight = check_weights(weights[0] if weights else None, len(y), self.dtype)
        return Batch(inputs if isinstance(x, tuple) else inputs[0], y, weight)


def as_rows(
    name: str, x: Any, y: Any, weight: Any, dtype: np.dtype[Any], take_integers: bool
) -> Batch:
    """Return all examples as one batch of views; `name` prefixes x and y in errors."""
    x = as_array(f"{name}x", x, dtype)
    y = as_array(f"{name}y", y, dtype, take_integers=take_integers)
    check_examples(f"{name}x", x, f"{name}y", y)
    return Batch(x, y, check_weights(weight, len(x), dtype))


def split_rows(
    x: Any,
    y: Any,
    sample_weight: Any,
    validation_data: Any,
    share: float,
    dtype: np.dtype[Any],
    take_integers: bool,
) -> tuple[Batch | None, Any]:
    """Return all rows as one batch of views, None for an iterable; and the validation data.

    The validation data are the last rows if `share` is above 0.
    """
    check_number("validation_split", share, least=0, below=1)
    if share and validation_data is not None:
        raise ValueError("give validation_data or validation_split, not both")
    if y is None:
        if hasattr(x, "__array__") or isinstance(x, (str, Mapping)) or not isinstance(x, Iterable):
            raise TypeError(
                "x must be an array, with y, or an iterable of batches, "
                f"got {type(x).__name__} without y"
            )
        if share or sample_weight is not None:
            raise ValueError("validation_split and sample_weight need x and y as arrays")
        return None, validation_data
    x, y, weight = as_rows("", x, y, sample_weight, dtype, take_integers)
    if not share:
        return Batch(x, y, weight), validation_data
    n = int(len(x) * (1 - share))
    if n in (0, len(x)):
        raise ValueError(f"validation_split {share} of {len(x)} rows leaves one side empty")
    if weight is None:
        return Batch(x[:n], y[:n]), (x[n:], y[n:])
    return Batch(x[:n], y[:n], weight[:n]), (x[n:], y[n:], weight[n:])


def validation_batches(
    data: Any, batch_size: int, dtype: np.dtype[Any], take_integers: bool
) -> tuple[Callable[[], Iterator[Batch]], NDArray[Any] | None]:
    """Return a function that iterates over the validation batches, and all targets.

    The targets are None for an iterable of batches.
    """
    if isinstance(data, list) and data and all(hasattr(item, "__array__") for item in data):
        data = tuple(data)
    if not isinstance(data, tuple):
        is_array = hasattr(data, "__array__") or isinstance(data, (str, Mapping))
        if is_array or not isinstance(data, Iterable):
            raise TypeError(f"validation_data must be (x, y) or batches, got {type(data).__name__}")
        source = StreamSource(data, None, dtype, "validation_data", take_integers)
        if not source.begins_anew:
            raise ValueError(
                "validation_data is an iterator, which can be run through once: give an iterable "
                "that begins anew in each epoch, such as a list of batches"
            )
        return lambda: source.epoch(np.random.default_rng(0)), None
    if len(data) not in (2, 3):
        raise ValueError(f"validation_data must be (x, y) or (x, y, weight), got {len(data)} items")
    x, y, weight = (*data, None)[:3]
    x, y, weight = as_rows("validation ", x, y, weight, dtype, take_integers)
    return lambda: in_order(x, y, weight, batch_size), y
