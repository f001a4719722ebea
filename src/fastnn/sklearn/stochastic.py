"""Train by gradient steps over shuffled batches: the solvers "sgd", "adam" and "adamw"."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import shuffle

from .. import kernels, optim
from .network import Network
from .rows import Batch, Examples
from .sharing import threads

SOLVERS = ("sgd", "adam", "adamw")
SMALLEST_RATE = 1e-6  # at which "adaptive" stops, as in scikit-learn


class Stepper:
    """A network with the optimizer that scikit-learn's parameters describe.

    It outlives `fit`, so that `partial_fit` can continue with it.
    """

    def __init__(self, network: Network, est: Any) -> None:
        self.network, self.solver, self.kind = (
            network,
            est.solver,
            kind(est, network.parameters.dtype),
        )
        parameters, rate = network.parameters, est.learning_rate_init
        if est.solver == "sgd":
            nesterov = est.nesterovs_momentum and est.momentum > 0
            self.optimizer: Any = optim.SGD(parameters, rate, est.momentum, nesterov=nesterov)
        else:
            betas = (est.beta_1, est.beta_2)
            if est.solver == "adam":
                self.optimizer = optim.Adam(parameters, rate, betas, est.epsilon)
            else:
                self.optimizer = optim.AdamW(parameters, rate, betas, est.epsilon)
        self.epsilon = est.epsilon
        self.set_alpha(est.alpha)

    def step(self, batch: Batch) -> tuple[float, float]:
        """Take one step; return the batch's loss and penalty before the step."""
        decay = self.alpha / batch.total
        penalty = decay * self.network.penalty() if decay else 0.0
        self.network.start_gradient(decay)
        value = self.network.add_gradient(batch)
        if self.solver == "adam":
            # scikit-learn adds epsilon before the bias correction of v, we add it after, as in
            # algorithm 1 of Kingma and Ba
            adam = self.optimizer
            adam.eps = self.epsilon / math.sqrt(1 - adam.beta2 ** (adam.steps + 1))
        self.optimizer.step()
        return value, penalty

    def set_alpha(self, alpha: float) -> None:
        """Change the penalty: weight decay for AdamW, part of the gradient for the others."""
        if self.solver == "adamw":
            self.alpha, self.optimizer.weight_decay = 0.0, alpha
        else:
            self.alpha = alpha

    def set_rate(self, rate: float) -> None:
        """Change the learning rate of "sgd"."""
        sgd = self.optimizer
        if sgd.m is not None and rate != sgd.lr:
            # scikit-learn's velocity is lr * m, which must not change with the rate
            kernels.scale(sgd.m, sgd.lr / rate)
        sgd.lr = rate

    def state(self) -> dict[str, Any]:
        """Return the state to resume a run, besides weights: arrays and plain values."""
        return {
            "kind": self.kind,
            "epsilon": self.epsilon,
            "optimizer": self.optimizer.state_dict(),
            "random": self.network.model.random_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from the `state()` of a stepper of the same kind."""
        self.epsilon = state["epsilon"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.network.model.load_random_state(state["random"])


def kind(est: Any, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Return what must not change for `partial_fit` to reuse a stepper."""
    return (est.solver, est.activation, est.dropout, dtype.name)


class Validation(NamedTuple):
    """Validation examples, and the weights of their scores."""

    X: Any
    y: NDArray[Any]
    weight: NDArray[Any] | None


def fit_stochastic(
    est: Any,
    stepper: Stepper,
    examples: Examples,
    rows: NDArray[np.intp] | None,
    validation: Validation | None,
    rng: np.random.RandomState,
    incremental: bool,
) -> None:
    """Run epochs until the loss, or with early stopping the score, stops improving.

    Trains on the `rows` of the examples (None: all) in an order drawn from rng, for at most
    `max_iter` epochs, or one if `incremental`. Sets the estimator's `n_iter_, t_, loss_,
    loss_curve_, best_loss_, validation_scores_, best_validation_score_`.
    """
    n = len(examples) if rows is None else len(rows)
    batch_size = _batch_size(est, n)
    parameters = stepper.network.parameters
    best = parameters.data.copy() if est.early_stopping else None
    order = np.arange(n)
    est.n_iter_ = 0
    try:
        for _ in range(1 if incremental else est.max_iter):
            picked: NDArray[np.intp] | None = None
            if est.shuffle:
                order = shuffle(order, random_state=rng)
                picked = order if rows is None else rows[order]
            elif rows is not None:
                picked = rows
            with threads(est.n_threads, shared=True):
                est.loss_ = _epoch(est, stepper, examples, picked, n, batch_size)
                score = None if validation is None else est._score(*validation)
            est.n_iter_ += 1
            est.t_ += n
            if _note_epoch(est, score) and best is not None:
                best = parameters.data.copy()
            if stepper.solver == "sgd" and est.learning_rate == "invscaling":
                stepper.set_rate(est.learning_rate_init / (est.t_ + 1) ** est.power_t)
            if est._no_improvement_count > est.n_iter_no_change:
                if _stops(est, stepper):
                    break
                est._no_improvement_count = 0
            if est.n_iter_ == est.max_iter and not incremental:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({est.max_iter}) reached and the "
                    "optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=5,
                )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=5)
    if best is not None:
        parameters.data[:] = best


def _epoch(
    est: Any,
    stepper: Stepper,
    examples: Examples,
    picked: NDArray[np.intp] | None,
    n: int,
    batch_size: int,
) -> float:
    """Take a step per batch; return the mean loss of the batches, weighted by their rows."""
    loss = 0.0
    for start in range(0, n, batch_size):
        stop = min(start + batch_size, n)
        batch = examples.batch(slice(start, stop) if picked is None else picked[start:stop])
        if batch.total > 0:  # otherwise all rows have weight 0
            value, penalty = stepper.step(batch)
            loss += (stepper.network.reported(value) + penalty) * (stop - start)
    return loss / n


def _note_epoch(est: Any, score: float | None) -> bool:
    """Append an epoch's loss and score to the curves; True if the score is the best so far."""
    est.loss_curve_.append(est.loss_)
    if est.verbose:
        print(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}")
    # As in scikit-learn, NaN is not an improvement, but does not count toward stopping either.
    is_best = False
    if score is not None:
        if est.verbose:
            print(f"Validation score: {score:f}")
        est.validation_scores_.append(score)
        is_best = score > est.best_validation_score_
        worse = score < est.best_validation_score_ + est.tol
        if is_best:
            est.best_validation_score_ = score
    if not est.early_stopping:
        best = np.inf if est.best_loss_ is None else est.best_loss_
        worse = est.loss_ > best - est.tol
        if est.loss_ < best:
            est.best_loss_ = est.loss_
    est._no_improvement_count = est._no_improvement_count + 1 if worse else 0
    return is_best


def _batch_size(est: Any, n: int) -> int:
    if est.batch_size == "auto":
        return min(200, n)
    if est.batch_size > n:
        warnings.warn(
            f"batch_size {est.batch_size} is larger than the number of samples, {n}; it is clipped",
            stacklevel=6,
        )
    return min(int(est.batch_size), n)


def _stops(est: Any, stepper: Stepper) -> bool:
    """True if training should stop; otherwise lower the learning rate and continue."""
    what = "Validation score" if est.early_stopping else "Training loss"
    message = (
        f"{what} did not improve more than tol={est.tol:f} "
        f"for {est.n_iter_no_change} consecutive epochs."
    )
    adapts = stepper.solver == "sgd" and est.learning_rate == "adaptive"
    stops = not adapts or stepper.optimizer.lr <= SMALLEST_RATE
    if stops:
        action = "Learning rate too small. Stopping." if adapts else "Stopping."
    else:
        stepper.set_rate(stepper.optimizer.lr / 5)
        action = f"Setting learning rate to {stepper.optimizer.lr:f}"
    if est.verbose:
        print(f"{message} {action}")
    return stops
