"""The common base of classifier and regressor: parameters, fitting, weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_regressor
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from .convert import convert
from .frozen import Freezable
from .lbfgs import fit_lbfgs
from .losses import Loss
from .network import ACTIVATIONS, Network, first_weights, raw_outputs
from .rows import Examples
from .sharing import learning, quiet_blas, threads
from .stochastic import SOLVERS, Stepper, Validation, fit_stochastic, kind
from .weights import check_not_all_zero, check_weights

REALS = (np.float64, np.float32)


class Targets(Enum):
    """How targets relate to an estimator's classes: define, equal or be among them."""

    NEW = 0
    SAME = 1
    AMONG = 2


class BaseMLP(Freezable, BaseEstimator, ABC):
    """Parameters, fitting and weights; subclasses define targets, loss and score."""

    _upstream: ClassVar[type[Any]]  # scikit-learn's estimator of the same name

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "solver": [StrOptions({"lbfgs", *SOLVERS})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    def _take(self, parameters: dict[str, Any]) -> None:
        """Set the parameters of a constructor, given its `locals()`, as scikit-learn wants them."""
        self.__dict__.update({name: value for name, value in parameters.items() if name != "self"})

    @abstractmethod
    def _check_targets(self, y: Any, dtype: Any, rule: Targets) -> NDArray[Any]:
        """Return targets for the loss: (n,) class indices, or (n, k) of `dtype`.

        `rule` says how they relate to the classes seen before.
        """

    @abstractmethod
    def _with_class_weights(self, weight: NDArray[Any] | None, y: Any) -> NDArray[Any] | None:
        """Return the weights of the rows times those of their classes."""

    @abstractmethod
    def _output(self) -> tuple[str, int, Loss]:
        """Return `out_activation_`, `n_outputs_` and the loss, once the targets are known."""

    @abstractmethod
    def _score(self, X: Any, y: NDArray[Any], weight: NDArray[Any] | None) -> float:
        """Return the score of validated X and targets; NaN if outputs are not finite."""

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any] | None = None,
        incremental: bool = False,
    ) -> Any:
        sizes = self._hidden_sizes()
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._check_examples(X, y, reset=first)
        dtype = X.dtype
        if self.solver == "lbfgs":
            dtype = np.dtype(np.float64)  # see fit_lbfgs
        elif incremental and not first:
            dtype = self.coefs_[0].dtype  # the optimizer's state is of this dtype
        rule = Targets.AMONG if incremental else Targets.NEW if first else Targets.SAME
        targets = self._check_targets(y, dtype, rule)
        weight = self._with_class_weights(check_weights(sample_weight, X), y)
        check_not_all_zero(weight, "sample_weight times class_weight")
        rng = check_random_state(self.random_state)
        self.out_activation_, self.n_outputs_, loss = self._output()
        self._start([X.shape[1], *sizes, self.n_outputs_], rng, X.dtype, first)
        with learning():
            if self.solver == "lbfgs":
                self._run_lbfgs(Examples(X, targets, weight, dtype), loss)
            else:
                held_out = self._check_validation(validation, dtype)
                examples = Examples(X, targets, weight, dtype)
                self._run_stochastic(examples, held_out, loss, rng, incremental)
        if not all(np.isfinite(array).all() for array in [*self.coefs_, *self.intercepts_]):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large "
                "values and need to be preprocessed."
            )
        return self

    def _hidden_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(isinstance(n, bool) or not isinstance(n, Integral) or n <= 0 for n in sizes):
            raise ValueError(f"hidden_layer_sizes must be integers > 0, got {sizes}.")
        return [int(n) for n in sizes]

    def _check_examples(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        # order: batches gather whole rows
        return validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=REALS,
            order="C",
            reset=reset,
        )

    def _start(
        self, sizes: Sequence[int], rng: np.random.RandomState, dtype: np.dtype[Any], first: bool
    ) -> None:
        """Draw first weights or check the old ones, and set the attributes of a new run."""
        if first:
            self.n_iter_ = self.t_ = 0
            self.n_layers_ = len(sizes)
            self.coefs_, self.intercepts_ = first_weights(sizes, self.activation, rng, dtype)
            self._forget_run()
            if self.solver != "lbfgs":
                self.loss_curve_: list[float] = []
        else:
            shapes = [np.shape(coef) for coef in self.coefs_]
            if shapes != list(pairwise(sizes)):
                raise ValueError(
                    f"the weights that this fit starts from have the shapes {shapes}, but "
                    f"hidden_layer_sizes={self.hidden_layer_sizes} and the data need layers of "
                    f"{list(sizes)}"
                )
        if self.solver != "lbfgs" and not hasattr(self, "_no_improvement_count"):
            self.t_ = getattr(self, "t_", 0)
            self.loss_curve_ = getattr(self, "loss_curve_", [])
            self._no_improvement_count = 0
            self.best_loss_: float | None = None if self.early_stopping else np.inf
            self.validation_scores_: list[float] | None = None
            self.best_validation_score_: float | None = None

    def _forget_run(self) -> None:
        """Remove the attributes of a stochastic solver."""
        for name in (
            "_stepper",
            "_stepper_state",
            "_no_improvement_count",
            "loss_curve_",
            "best_loss_",
            "validation_scores_",
            "best_validation_score_",
        ):
            self.__dict__.pop(name, None)

    def _network(self, loss: Loss, dtype: Any) -> Network:
        return Network(
            self.coefs_,
            self.intercepts_,
            activation=self.activation,
            dropout=self.dropout,
            loss=loss,
            dtype=np.dtype(dtype),
        )

    def _run_lbfgs(self, examples: Examples, loss: Loss) -> None:
        if self.dropout > 0:
            raise ValueError("solver='lbfgs' needs a deterministic loss: dropout must be 0")
        network = self._network(loss, examples.dtype)
        with quiet_blas(), threads(self.n_threads, shared=True):
            fit_lbfgs(self, network, examples)
        dtype = examples.X.dtype
        self.coefs_ = [coef.astype(dtype) for coef in network.coefs]
        self.intercepts_ = [intercept.astype(dtype) for intercept in network.intercepts]

    def _run_stochastic(
        self,
        examples: Examples,
        held_out: Validation | None,
        loss: Loss,
        rng: np.random.RandomState,
        incremental: bool,
    ) -> None:
        rows = None
        if self.early_stopping and held_out is None:
            rows, held_out = self._split(examples, rng)
        if held_out is not None and self.validation_scores_ is None:
            self.validation_scores_, self.best_validation_score_ = [], -np.inf
        stepper = self._stepper_for(loss, examples.dtype, rng, incremental)
        # views: the attributes are up to date at any moment, also after Ctrl-C
        self.coefs_, self.intercepts_ = stepper.network.coefs, stepper.network.intercepts
        fit_stochastic(self, stepper, examples, rows, held_out, rng, incremental)

    def _stepper_for(
        self, loss: Loss, dtype: np.dtype[Any], rng: np.random.RandomState, incremental: bool
    ) -> Stepper:
        """Return a new network and optimizer, or for `partial_fit` those of the last call."""
        old: Stepper | None = self.__dict__.get("_stepper") if incremental else None
        if old is not None and old.kind == kind(self, dtype):
            old.network.load(self.coefs_, self.intercepts_)
            old.set_alpha(self.alpha)
            return old
        network = self._network(loss, dtype)
        stepper = Stepper(network, self)
        state = self.__dict__.pop("_stepper_state", None) if incremental else None
        if state is not None and state["kind"] == stepper.kind:
            stepper.load_state(state)
            stepper.set_alpha(self.alpha)
        else:
            network.seed(rng)
        self._stepper = stepper
        return stepper

    def _split(
        self, examples: Examples, rng: np.random.RandomState
    ) -> tuple[NDArray[np.intp], Validation]:
        """Return training row indices and the validation set, split as scikit-learn does."""
        is_binary = self.out_activation_ == "logistic" and self.n_outputs_ == 1
        rows, held_out = train_test_split(
            np.arange(len(examples)),
            random_state=rng,
            test_size=self.validation_fraction,
            # bool as in scikit-learn, so that its error for a class of one row names 'True'
            stratify=examples.y > 0 if is_binary else None,
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        weight = None if examples.weight is None else examples.weight[held_out]
        check_not_all_zero(weight, "the weight in the validation set")
        if examples.weight is not None:
            check_not_all_zero(examples.weight[rows], "the weight outside the validation set")
        return rows, Validation(examples.X[held_out], examples.y[held_out], weight)

    def _check_validation(
        self, validation: tuple[Any, Any] | None, dtype: np.dtype[Any]
    ) -> Validation | None:
        if validation is None or validation[0] is validation[1] is None:
            return None
        if validation[0] is None or validation[1] is None:
            raise ValueError("X_val and y_val must be given together")
        X, y = self._check_examples(*validation, reset=False)
        weight = self._with_class_weights(None, y)
        check_not_all_zero(weight, "the class_weight in y_val")
        return Validation(X, self._check_targets(y, dtype, Targets.AMONG), weight)

    def _raw_outputs(self, X: Any, check_input: bool = True) -> NDArray[Any]:
        """Return the outputs (n, k) before the last activation, of the dtype of the weights."""
        if check_input:
            check_is_fitted(self, "coefs_")
            X = validate_data(self, X, accept_sparse="csr", dtype=REALS, reset=False)
        with threads(self.n_threads):
            return raw_outputs(X, self.coefs_, self.intercepts_, self.activation)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Any:
        """Convert an estimator of scikit-learn, its parameters and fitted attributes.

        Predictions are the same. `partial_fit` and a warm start continue from its weights with a
        new optimizer.

        Raises
        ------
        TypeError
            `estimator` is not scikit-learn's estimator of the same name.
        """
        if not isinstance(estimator, cls._upstream):
            raise TypeError(
                f"{cls.__name__}.from_sklearn takes scikit-learn's {cls.__name__}, "
                f"got {type(estimator).__name__}"
            )
        return convert(estimator, cls)

    def to_sklearn(self) -> Any:
        """Convert to scikit-learn's estimator: the parameters it has and fitted attributes.

        "adamw" becomes "adam". To train the result further, set `warm_start` to False.

        Raises
        ------
        ValueError
            scikit-learn has no such activation or loss.
        """
        if self.activation not in ("identity", "logistic", "tanh", "relu"):
            raise ValueError(f"scikit-learn has no activation {self.activation!r}")
        changes = {"solver": "adam"} if self.solver == "adamw" else {}
        return convert(self, self._upstream, **changes)

    def _has_epochs(self) -> bool:
        if self.solver not in SOLVERS:
            raise AttributeError(
                f"partial_fit is only available for stochastic solvers; {self.solver} is not one"
            )
        return True

    def __getstate__(self) -> dict[str, Any]:
        """Return arrays and plain values: the optimizer's state in place of the optimizer."""
        state = dict(super().__getstate__())
        stepper = state.pop("_stepper", None)
        if stepper is not None:
            state["_stepper_state"] = stepper.state()
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
