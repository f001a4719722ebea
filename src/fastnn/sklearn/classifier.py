"""The classifier."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn import neural_network
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import column_or_1d

from ..keywords import explained
from .base import BaseMLP, Targets
from .labels import balanced, check_labels, label_binarizer
from .losses import LINKS, LOSSES, Loss
from .restore import restored_on_error


@explained
class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multilayer perceptron for classification, like `sklearn.neural_network.MLPClassifier`.

    Two classes have one logistic output, more classes a softmax. If y is multilabel (zeros and
    ones with several columns), each column has a logistic output.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, or int
        Neurons of each hidden layer; () is a linear model.
    activation : {"identity", "logistic", "tanh", "relu", "gelu", "silu"}
        Activation of the hidden layers; "gelu" is the exact form.
    solver : {"lbfgs", "sgd", "adam", "adamw"}
        "lbfgs" (through SciPy) suits small data; "adamw" is Adam with decoupled weight decay.
    alpha : float
        L2 penalty alpha / (2 n) ||W||^2 on the weights, not the biases; n is the number of rows in
        the batch, or the sum of their weights. With "adamw", each step multiplies the weights by
        1 - learning_rate_init * alpha instead.
    batch_size : int or "auto"
        "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"}
        For "sgd". "invscaling" divides by (samples seen)^power_t after each epoch, "adaptive" by 5
        whenever there was no improvement for n_iter_no_change epochs.
    learning_rate_init, power_t : float
    max_iter : int
        Maximum number of epochs, or of iterations of "lbfgs".
    shuffle : bool
        Reorder the rows in each epoch.
    random_state : int, RandomState or None
        Seed of the first weights, the held-out rows, the order of rows and dropout. An int gives
        bit-identical results with any number of threads. First weights, held-out rows and order
        are those that scikit-learn's estimator draws.
    tol : float
        Minimum improvement of the loss, or with early stopping of the score.
    verbose, warm_start : bool
        Print each epoch; let `fit` start from the current weights.
    momentum, nesterovs_momentum : float in [0, 1), bool
        For "sgd".
    early_stopping : bool
        Stop by the score on held-out rows, and keep the weights of the best epoch.
    validation_fraction : float
        Fraction of the rows held out.
    beta_1, beta_2, epsilon : float
        Parameters of "adam" and "adamw".
    n_iter_no_change : int
        Epochs without improvement before stopping.
    max_fun : int
        Maximum number of loss evaluations by "lbfgs".
    dropout : float
        Fraction of the outputs of each hidden layer set to zero in training, in [0, 1).
    class_weight : dict, "balanced", list of dicts or None
        Weights of the classes in the loss, by label; "balanced" is inversely proportional to
        their frequency. They multiply the sample weights.
    n_threads : int or None
        Threads of one estimator. None: fastnn's default (`fastnn.get_num_threads`), shared evenly
        among estimators fitted concurrently by threads of this process.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    loss_ : float
        Mean loss of the last epoch, penalty included, in nats.
    best_loss_ : float or None
        None with early stopping.
    loss_curve_ : list of float
        One loss per epoch. This and the next three are not set by "lbfgs".
    validation_scores_ : list of float or None
        Accuracy after each epoch, with early stopping or a validation set.
    best_validation_score_ : float or None
    t_ : int
        Samples seen in training, repetitions included.
    coefs_, intercepts_ : list of ndarray
        Weights (in, out) and biases (out,) of each layer.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Names only if X had them.
    n_iter_, n_layers_, n_outputs_ : int
        Epochs of the last `fit`, layers including input and output, columns of the output.
    out_activation_ : {"logistic", "softmax"}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastnn.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", random_state=0, max_iter=500)
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    _upstream: ClassVar[type[Any]] = neural_network.MLPClassifier

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
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
        class_weight: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self._take(locals())

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> MLPClassifier:
        """Fit the network to X and y.

        Parameters
        ----------
        X : array-like or sparse matrix (n_samples, n_features)
            float32 is trained in float32, all other types in float64. A sparse matrix is made dense
            batch by batch.
        y : array-like (n_samples,) of labels, or (n_samples, n_labels) of zeros and ones
        sample_weight : array-like (n_samples,), optional
            Non-negative and not all zero.
        X_val, y_val : as X and y, optional
            Scored after each epoch. With `early_stopping` they replace the rows that would be held
            out of X. "lbfgs" ignores them.

        Returns
        -------
        MLPClassifier
            The estimator itself, also after Ctrl-C, with a warning.

        Raises
        ------
        ValueError
            Shapes do not match, values are NaN or infinite, a parameter is out of range, y does not
            hold labels, or y has other labels than before a warm start. The estimator is unchanged.
        """
        self._validate_params()
        with restored_on_error(self):
            return self._fit(X, y, sample_weight, (X_val, y_val))

    @available_if(lambda est: est._has_epochs())
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Run one epoch over X and y, continuing from the last call or `fit`.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array-like, optional
            All labels that will occur, for the first call; y need not have all of them.

        Raises
        ------
        ValueError
            As `fit`; also if y has labels that are not in `classes`, or class_weight is "balanced".
        """
        self._validate_params()
        if isinstance(self.class_weight, str):
            raise ValueError(
                "partial_fit cannot know what is balanced: give class_weight as a dict"
            )
        with restored_on_error(self):
            _check_partial_fit_first_call(self, classes)
            return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict labels (n_samples,), or zeros and ones (n_samples, n_labels).

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

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Predict probabilities (n_samples, n_classes) in the order of `classes_`."""
        return self._probabilities(self._raw_outputs(X))

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`; -inf where a probability underflows to 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @classmethod
    def from_sklearn(cls, estimator: Any) -> MLPClassifier:
        """See `MLPRegressor.from_sklearn`."""
        ours = super().from_sklearn(estimator)
        if hasattr(ours, "coefs_"):
            ours._is_multilabel = estimator._label_binarizer.y_type_ == "multilabel-indicator"
            ours.out_activation_ = ours._output()[0]  # a single class: softmax of one output is 1
        return ours

    def to_sklearn(self) -> Any:
        """See `MLPRegressor.to_sklearn`; class weights are dropped."""
        theirs = super().to_sklearn()
        if hasattr(self, "coefs_"):
            theirs._label_binarizer = label_binarizer(self.classes_, self._is_multilabel)
        return theirs

    def _is_binary(self) -> bool:
        return self.out_activation_ == "logistic" and self.n_outputs_ == 1

    def _probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        # sigmoid(-z) keeps the digits that 1 - sigmoid(z) would lose
        return LINKS[self.out_activation_](np.hstack([-z, z]) if self._is_binary() else z)

    def _decide(self, z: NDArray[Any]) -> NDArray[Any]:
        if self.out_activation_ == "softmax":
            return self.classes_[z.argmax(axis=1)]
        positive = (z > 0).astype(np.intp)
        return self.classes_[positive[:, 0]] if self._is_binary() else positive

    def _check_targets(self, y: Any, dtype: Any, rule: Targets) -> NDArray[Any]:
        if issparse(y):
            y = y.toarray()
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if y.ndim == 2 and type_of_target(y) != "multilabel-indicator":
            raise ValueError(f"y of shape {y.shape} must hold zeros and ones, one label a column")
        if rule is Targets.NEW:
            self.classes_ = unique_labels(y)
        if rule is Targets.NEW or not hasattr(self, "coefs_"):
            self._is_multilabel = y.ndim == 2
        elif self._is_multilabel != (y.ndim == 2):
            raise ValueError(
                "y changed from labels to zeros and ones, or back, since the first fit"
            )
        if y.ndim == 2:
            if y.shape[1] != len(self.classes_):
                raise ValueError(f"y has {y.shape[1]} columns for {len(self.classes_)} classes")
            return (y > 0).astype(dtype)
        check_labels(unique_labels(y), self.classes_, all_of_them=rule is Targets.SAME)
        if len(self.classes_) == 2:
            return (y == self.classes_[1]).astype(dtype)[:, None]
        return np.searchsorted(self.classes_, y)

    def _with_class_weights(self, weight: NDArray[Any] | None, y: Any) -> NDArray[Any] | None:
        if self.class_weight is None:
            return weight
        y = y.toarray() if issparse(y) else y
        if isinstance(self.class_weight, str):
            columns = y.T if y.ndim == 2 else [y]
            by_class = np.prod([balanced(column, weight) for column in columns], axis=0)
        else:
            by_class = compute_sample_weight(self.class_weight, y)
        return by_class if weight is None else weight * by_class

    def _output(self) -> tuple[str, int, Loss]:
        if self._is_multilabel:
            return "logistic", len(self.classes_), LOSSES["logistic"]
        if len(self.classes_) == 2:
            return "logistic", 1, LOSSES["logistic"]
        return "softmax", len(self.classes_), LOSSES["softmax"]

    def _score(self, X: Any, y: NDArray[Any], weight: NDArray[Any] | None) -> float:
        z = self._raw_outputs(X, check_input=False)
        if not np.isfinite(z).all():
            return np.nan
        if self.out_activation_ == "softmax":
            is_right = z.argmax(axis=1) == y
        else:
            is_right = ((z > 0) == (y > 0)).all(axis=1)
        return float(np.average(is_right, weights=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
