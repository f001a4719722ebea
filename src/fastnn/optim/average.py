"""Averages of the weights along a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import kernels
from ..parameters import Parameters
from .state import Stateful, checked


class ExponentialMovingAverage(Stateful):
    """An exponential moving average of all parameters: average += (1 - decay) (p - average).

    >>> average = ExponentialMovingAverage(model.parameters(), decay=0.999)
    >>> optimizer.step()
    >>> average.update()
    >>> with average.applied():
    ...     evaluate(model, x, y)

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model. The average starts from their values.
    decay : float
        In [0, 1): how much of the average stays at each update. It may be changed between them.

    Attributes
    ----------
    average : ndarray
        Flat, laid out as `params.data`.

    Raises
    ------
    TypeError, ValueError
        params are no Parameters, or decay is not a number or out of range.

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
        """Take the parameters as they are now into the average.

        Raises
        ------
        RuntimeError
            Inside `applied()`, where the parameters are the average, or once they were moved into
            another model.
        """
        self._refuse_inside("update")
        kernels.ema_update(self.average, self.params.data, self.decay)

    def apply(self) -> None:
        """Give the parameters the values of the average, for good. RuntimeError as `update`."""
        self._refuse_inside("apply")
        self.params.data[:] = self.average

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the parameters have the values of the average; then their own again.

        What the block itself writes into the parameters is lost.

        Raises
        ------
        RuntimeError
            Inside another such block, or once the parameters were moved into another model.
        """
        self._refuse_inside("applied")
        data = self.params.data
        own = data.copy()
        data[:] = self.average
        self._is_applied = True
        try:
            yield
        finally:
            data[:] = own
            self._is_applied = False

    def _refuse_inside(self, what: str) -> None:
        if self._is_applied:
            raise RuntimeError(f"{what}() inside applied(), where the parameters are the average")
