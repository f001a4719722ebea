"""Fit by SciPy's L-BFGS over all examples."""

from __future__ import annotations

import warnings
from typing import Any

from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from .network import Network
from .rows import Examples


def fit_lbfgs(est: Any, network: Network, examples: Examples) -> None:
    """Minimize loss + penalty; sets `loss_` and `n_iter_` of the estimator.

    The network is float64 whatever the dtype of X, since the line search compares nearly equal
    losses. SciPy's vector is the flat array of parameters with its padding, whose gradient is 0.

    Reference: Nocedal and Wright, *Numerical Optimization*, section 7.2.
    """
    parameters, total = network.parameters, examples.total()
    decay = est.alpha / total
    done: list[NDArray[Any]] = [parameters.data.copy()]

    def objective(x: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        parameters.data[:] = x
        network.start_gradient(decay)
        value = decay * network.penalty()
        for batch in examples.chunks():
            if batch.total > 0:
                value += network.add_gradient(batch, batch.total / total)
        return value, parameters.grad.copy()

    def after_iteration(x: NDArray[Any]) -> None:
        done.append(x.copy())
        del done[0]
        est.n_iter_ += 1
        if est.verbose:
            print(f"Iteration {est.n_iter_}, loss = {objective(x)[0]:.8f}")

    est.n_iter_ = 0
    try:
        result = minimize(
            objective,
            parameters.data.copy(),
            method="L-BFGS-B",
            jac=True,
            callback=after_iteration,
            options={"maxfun": est.max_fun, "maxiter": est.max_iter, "gtol": est.tol},
        )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=5)
        best = done[0]
    else:
        best = result.x
        est.n_iter_ = min(int(result.nit), est.max_iter)
        if result.status != 0:
            warnings.warn(
                f"lbfgs failed to converge after {result.nit} iteration(s) (status="
                f"{result.status}): {result.message}. Increase max_iter to improve the "
                "convergence, or scale the data.",
                ConvergenceWarning,
                stacklevel=5,
            )
    value = objective(best)[0]
    penalty = decay * network.penalty()
    est.loss_ = network.reported(value - penalty) + penalty
