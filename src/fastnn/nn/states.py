"""State of a module: the values of its parameters and its random streams."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_flag, check_seed, given
from ..parameters import Parameter
from .hints import TRANSPOSED, doubt_orientation, kind_of
from .randomness import RandomStream, derived_seed

if TYPE_CHECKING:
    from .module import Module


class States:
    """Base of `Module`: reads and restores its parameters and its random streams."""

    stream: RandomStream | None = None
    read_parts: tuple[str, ...] = ()  # linear layers whose weights are read without calling them
    _modules: dict[str, Module]
    _named: dict[str, Parameter]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of every parameter's values by name, such as "0.weight"."""
        return {name: parameter.data.copy() for name, parameter in self._named.items()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Copy values into the parameters; on any error, change nothing.

        Parameters
        ----------
        state : mapping of str to ndarray
            As returned by `state()`: exactly the names, shapes and dtype of this model.

        Raises
        ------
        ValueError
            Names are missing or unexpected, or a shape differs; the message names them.
        TypeError
            An array has another dtype than the model.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping of names to arrays, got {kind_of(state)}")
        _check_names(self._named, state, "state")
        arrays = {name: np.asarray(state[name]) for name in self._named}
        for name, parameter in self._named.items():
            shape = parameter.data.shape
            if arrays[name].shape != shape:
                raise ValueError(
                    f"{name!r} has shape {arrays[name].shape} in the state, {shape} in this model"
                    + TRANSPOSED * (arrays[name].shape == shape[::-1])
                )
            if arrays[name].dtype != parameter.data.dtype:
                raise TypeError(
                    f"{name!r} is {arrays[name].dtype} in the state, "
                    f"{parameter.data.dtype} in this model"
                )
        doubt_orientation({name: p.data.shape for name, p in self._named.items()}, state)
        for name, parameter in self._named.items():
            parameter.data = arrays[name]

    def set_requires_grad(self, value: bool, *patterns: str) -> None:
        """Freeze parameters, or train them again: set `requires_grad` of each.

        Parameters
        ----------
        value : bool
        *patterns : str
            Names of parameters as in `state()`, with wildcards as in a shell: "encoder.*",
            "*.bias". All parameters by default.

        Raises
        ------
        ValueError
            A pattern fits no parameter; nothing is changed.

        Examples
        --------
        >>> model = nn.MLP((3, 4, 2), rng=0)
        >>> model.set_requires_grad(False, "0.*")  # train the last layer alone
        >>> [name for name, p in model.parameters().named() if p.requires_grad]
        ['1.weight', '1.bias']
        """
        found: dict[str, Parameter] = {}
        value = check_flag("value", value)
        for pattern in patterns or ("*",):
            fitting = {name: p for name, p in self._named.items() if fnmatchcase(name, pattern)}
            if not fitting:
                raise ValueError(
                    f"no parameter fits {pattern!r:.80}; names are such as {[*self._named][:3]}"
                )
            found |= fitting
        for parameter in found.values():
            parameter.requires_grad = value

    def seed(self, seed: int) -> None:
        """Reseed the random streams of training.

        Every layer that draws random numbers (`Dropout`, `AddNorm`) gets its own seed, derived from
        `seed` and its dotted name in this model (see `randomness.derived_seed`), and its count of
        passes is reset to zero. Initial weights are not drawn again.

        Parameters
        ----------
        seed : int
            From 0 to 2^64 - 1.
        """
        seed = check_seed("seed", seed)
        for name, stream in self._streams().items():
            stream.set(derived_seed(seed, name))

    def random_state(self) -> dict[str, dict[str, int]]:
        """Return the state of the random streams: dotted name -> {"seed": ..., "calls": ...}.

        The values are plain integers, so that a checkpoint can hold them. Empty if no layer draws
        random numbers. A layer that occurs twice has the name of its first occurrence.
        """
        return {name: stream.state() for name, stream in self._streams().items()}

    def load_random_state(self, state: Mapping[str, Mapping[str, int]]) -> None:
        """Restore the random streams from a `random_state()`; on any error, change nothing.

        Raises
        ------
        ValueError
            Names are missing or unexpected, or a number is out of range; the message names them.
        TypeError
            An entry is not a mapping, or a number is not an integer.
        """
        streams = self._streams()
        _check_names(streams, state, "random state")
        checked = {}
        for name, entry in state.items():
            if not isinstance(entry, Mapping):
                raise TypeError(
                    f"{name!r} must be a mapping in the random state, got {given(entry)}"
                )
            _check_names(("seed", "calls"), entry, f"random state of {name!r}")
            checked[name] = [
                check_seed(f"{key} of {name!r}", entry[key]) for key in ("seed", "calls")
            ]
        for name, stream in streams.items():
            stream.set(*checked[name])

    def _streams(self) -> dict[str, RandomStream]:
        """Return the streams of this layer and its parts by dotted name, each once."""
        found: dict[int, tuple[str, RandomStream]] = {}
        if self.stream is not None:
            found[id(self.stream)] = "", self.stream
        for name, part in self._modules.items():
            for inner, stream in part._streams().items():
                found.setdefault(id(stream), (f"{name}.{inner}" if inner else name, stream))
        return dict(found.values())


def is_trained(part: Module) -> bool:
    """True unless the part has no parameters, or all are frozen, those of LoRA branches too."""
    if any(parameter.requires_grad for parameter in part._named.values()):
        return True
    branches = (vars(module).get("adapter") for _, module in part.modules())
    return any(branch is not None and branch.is_trained for branch in branches)


def first_trained(parts: Sequence[Module], need_dx: bool) -> int:
    """Return the first of consecutive parts that backward must reach: frozen ones are skipped."""
    if need_dx:
        return 0
    first = next((i for i, part in enumerate(parts) if is_trained(part)), len(parts))
    return first if any(part._named for part in parts[:first]) else 0


def _check_names(own: Collection[str], given: Collection[str], what: str) -> None:
    """Raise ValueError, naming the differences, unless both have the same names."""
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    if missing or unexpected:
        problems = [f"missing {missing}"] * bool(missing)
        problems += [f"unexpected {unexpected}"] * bool(unexpected)
        raise ValueError(f"the {what} does not fit this model: {' and '.join(problems)}")
