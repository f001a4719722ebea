"""Inference of a fitted estimator by a plan, for calls with few rows and for C."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .sharing import threads


class Freezable(ABC):
    """The part of an estimator that makes its frozen copy."""

    @abstractmethod
    def _decide(self, z: NDArray[Any]) -> NDArray[Any]:
        """Return the predictions of raw outputs z (n, k)."""

    def _probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        raise AttributeError(f"{type(self).__name__} has no predict_proba")

    def freeze(self, batch_max: int = 64) -> FrozenMLP:
        """Return a frozen copy with `predict`, and `predict_proba` of a classifier.

        Its calls run a `Plan` and skip the validation of scikit-learn.

        Parameters
        ----------
        batch_max : int
            Expected number of rows per call; larger batches are processed in parts.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        """
        check_is_fitted(self, "coefs_")
        return FrozenMLP(self, batch_max)


class FrozenMLP:
    """The result of ``estimator.freeze()``: its predictions, without scikit-learn's checks.

    It has copies of the weights and the classes, so that later fits do not change it. Any number of
    threads may use one. It can be pickled and copied; the plan is then made again from the weights.

    Attributes
    ----------
    plan : fastnn.Plan
        The network up to the outputs before the last activation, (n, n_features_in_) ->
        (n, n_outputs_). C code runs it by pointer (docs/embedding.md).
    """

    def __init__(self, estimator: Any, batch_max: int = 64) -> None:
        self._estimator = copy.copy(estimator)
        for name in ("_stepper", "_stepper_state"):
            self._estimator.__dict__.pop(name, None)
        for name in ("coefs_", "intercepts_"):
            setattr(self._estimator, name, [x.copy() for x in getattr(estimator, name)])
        self._batch_max = batch_max
        kept = self._estimator
        network = kept._network(kept._output()[2], kept.coefs_[0].dtype)
        self.plan = network.model.freeze(batch_max)

    def __getattr__(self, name: str) -> Any:
        """Return a fitted attribute of the estimator, such as `classes_`."""
        if name.endswith("_") and not name.startswith("_") and "_estimator" in self.__dict__:
            return getattr(self._estimator, name)
        raise AttributeError(
            f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self
        )

    def _outputs(self, X: Any) -> NDArray[Any]:
        x = np.ascontiguousarray(X, self.plan.dtype)
        if x.ndim != 2:
            raise ValueError(
                f"X must be 2-D (n_samples, {self.plan.n_in}), got the shape {x.shape}"
            )
        with threads(self._estimator.n_threads):
            return self.plan(x)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict as the estimator does: labels of a classifier, numbers of a regressor.

        Parameters
        ----------
        X : array-like (n_samples, n_features_in_)
            Dense numbers; NaN is not searched for.

        Raises
        ------
        ValueError, TypeError
            X has another shape, or is no array of numbers.
        """
        return self._estimator._decide(self._outputs(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Predict the probabilities (n_samples, n_classes) of a classifier.

        Raises AttributeError for a regressor, otherwise as `predict`.
        """
        return self._estimator._probabilities(self._outputs(X))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._estimator, self._batch_max)

    def __repr__(self) -> str:
        return f"FrozenMLP({self._estimator!r})"
