"""Weight averages over a training run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import kernels
from ..parameters import Parameters
from .state import Stateful, checked


class ExponentialMovingAverage(Stateful):
    """Exponential moving average of all parameters: average += (1 - decay) (p - average).

    >>> model, x = nn.Linear(2, 1, rng=0), np.ones((1, 2), np.float32)
    >>> average = optim.ExponentialMovingAverage(model.parameters(), decay=0.999)
    >>> average.update()  # after each step of the optimizer
    >>> with average.applied():
    ...     y = model(x)

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model. Their values initialize the average.
    decay : float
        In [0, 1): fraction of the average that each update keeps. May be changed between updates.

    Attributes
    ----------
    average : ndarray
        Flat, with the layout of `params.data`.

    Raises
    ------
    TypeError, ValueError
        params is not a Parameters, or decay is not a number or out of range.

    References
    ----------
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    _numbers = ("decay",)
    _arrays = ("average",)

    def __init__(self, params: Parameters, decay: float = 0.999) -> None:
        super().__init__(params)
        self.decay = checked("decay", decay)
        self.average = self._new_array()
        self.average[:] = params.data
        self._is_applied = False

    def update(self) -> None:
        """Update the average with the current parameters.

        Raises
        ------
        RuntimeError
            Called inside `applied()`, where the parameters are the average, or after the parameters
            were moved into another model.
        """
        self._refuse_inside("update")
        kernels.ema_update(self.average, self.params.data, self.decay)

    def apply(self) -> None:
        """Set the parameters to the average permanently; raises RuntimeError as `update`."""
        self._refuse_inside("apply")
        self.params.data[:] = self.average

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Set the parameters to the average inside the block, and restore them afterwards.

        Changes that the block makes to the parameters are lost.

        Raises
        ------
        RuntimeError
            Called inside another such block, or after the parameters were moved into another model.
        """
        self._refuse_inside("applied")
        data = self.params.data
        own = data.copy()
        data[:] = self.average
        self._is_applied = True
        try:
            yield
        finally:  # asked for again, so that frozen copies of the model notice (`Block.version`)
            (data if self.params.moved else self.params.data)[:] = own
            self._is_applied = False

    def _refuse_inside(self, what: str) -> None:
        if self._is_applied:
            raise RuntimeError(f"{what}() inside applied(), where the parameters are the average")
