"""The regressor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn import neural_network
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from ..keywords import explained
from .base import BaseMLP, Targets
from .losses import LINKS, LOSSES, Loss, user_loss
from .restore import restored_on_error


@explained
class MLPRegressor(RegressorMixin, BaseMLP):
    """Multilayer perceptron for regression, like `sklearn.neural_network.MLPRegressor`.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber"} or callable
        "squared_error" is half the squared error, "poisson" half the Poisson deviance of y >= 0
        from exp(output), "huber" half the squared error up to an error of 1 and the error minus
        1/2 beyond. A callable gets `(pred, target)`, both (n, n_outputs) of X's dtype, and
        returns the mean loss over the n rows and its gradient with respect to pred; it cannot be
        combined with sample weights.

    The other parameters are those of `MLPClassifier`, except `class_weight`.

    Attributes
    ----------
    As those of `MLPClassifier`, except `classes_`; `out_activation_` is "identity" or "exp". With
    several outputs and the squared error, `loss_` is the mean over outputs, as in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.sklearn import MLPRegressor
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", random_state=0)
    >>> bool(model.fit(x, x[:, 0] ** 2).score(x, x[:, 0] ** 2) > 0.99)
    True
    """

    _upstream: ClassVar[type[Any]] = neural_network.MLPRegressor

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson", "absolute_error", "huber"}), callable],
    }

    def __init__(
        self,
        loss: str | Callable[..., Any] = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        n_threads: int | None = None,
    ) -> None:
        self._take(locals())

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> MLPRegressor:
        """Fit the network to X and y.

        Parameters
        ----------
        X : array-like or sparse matrix (n_samples, n_features)
        y : array-like (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like (n_samples,), optional
            Non-negative and not all zero.
        X_val, y_val : as X and y, optional
            Scored (R^2) after each epoch. With `early_stopping` they replace the rows that would be
            held out of X.

        Returns
        -------
        MLPRegressor
            The estimator itself, also after Ctrl-C, with a warning.

        Raises
        ------
        ValueError
            Shapes do not match, values are NaN or infinite, or a parameter is out of range. The
            estimator is unchanged.
        """
        self._validate_params()
        with restored_on_error(self):
            return self._fit(X, y, sample_weight, (X_val, y_val))

    @available_if(lambda est: est._has_epochs())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Run one epoch over X and y, continuing from the last call or `fit`.

        Parameters and errors are those of `fit`.
        """
        self._validate_params()
        with restored_on_error(self):
            return self._fit(X, y, sample_weight, incremental=True)

    def to_sklearn(self) -> Any:
        if self.loss not in ("squared_error", "poisson"):
            raise ValueError(f"scikit-learn has no loss {self.loss!r}")
        return super().to_sklearn()

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict (n_samples,) or, with several outputs, (n_samples, n_outputs).

        Parameters
        ----------
        X : array-like or sparse matrix (n_samples, n_features)

        Raises
        ------
        sklearn.exceptions.NotFittedError
        ValueError
            The number of features differs from `fit`.
        """
        return self._decide(self._raw_outputs(X))

    def _decide(self, z: NDArray[Any]) -> NDArray[Any]:
        pred = LINKS[self.out_activation_](z)
        return pred.ravel() if self.n_outputs_ == 1 else pred

    def _check_targets(self, y: Any, dtype: Any, rule: Targets) -> NDArray[Any]:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError("loss='poisson' needs y >= 0")
        y = np.ascontiguousarray(y, dtype)
        y = y[:, None] if y.ndim == 1 else y
        if rule is Targets.AMONG and hasattr(self, "coefs_") and y.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {y.shape[1]} outputs, but the model has {self.n_outputs_}")
        self.n_outputs_ = y.shape[1]
        return y

    def _with_class_weights(self, weight: NDArray[Any] | None, y: Any) -> NDArray[Any] | None:
        if weight is not None and callable(self.loss):
            raise ValueError("sample_weight cannot be combined with a custom loss")
        return weight

    def _output(self) -> tuple[str, int, Loss]:
        out_activation = "exp" if self.loss == "poisson" else "identity"
        loss = user_loss(self.loss) if callable(self.loss) else LOSSES[self.loss]
        return out_activation, self.n_outputs_, loss

    def _score(self, X: Any, y: NDArray[Any], weight: NDArray[Any] | None) -> float:
        pred = LINKS[self.out_activation_](self._raw_outputs(X, check_input=False))
        if not np.isfinite(pred).all():
            return np.nan
        return float(r2_score(y, pred, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
