"""Compare the estimators with scikit-learn's: held-out score and time of `fit`, several seeds.

    python -m bench.tasks.sklearn_accuracy                     # all data sets and solvers, 5 seeds
    python -m bench.tasks.sklearn_accuracy --data wine --seeds 2 --solvers adam

Both get the same settings, split and `random_state`, and so the same first weights and order of
rows: in float64, scores differ only by rounding that grows over the epochs. `--apart` gives ours
other seeds; scores then differ by the noise of training. Housing is synthetic, similar to
California's: 8 features and a nonlinear target.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

DATA = ("digits", "breast cancer", "wine", "diabetes", "housing")
SOLVERS = ("adam", "sgd", "lbfgs")
APART = 1000  # added to our seeds by --apart


class Task(NamedTuple):
    """Standardized training and test data."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any
    is_classification: bool


def housing(n: int = 4000) -> tuple[Any, Any]:
    """Draw x (n, 8) and a target with interactions, saturation and noise: best R^2 is 0.9."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 8))
    X[:, 1] = np.exp(0.5 * X[:, 1])  # skewed like incomes and populations
    y = np.tanh(X[:, 0]) + 0.5 * X[:, 1] * (X[:, 2] > 0) + np.sin(2 * X[:, 3]) + 0.3 * X[:, 4]
    y += np.exp(-(X[:, 6] ** 2) - X[:, 7] ** 2)
    return X, y + np.sqrt(0.1) * y.std() * rng.normal(size=n)


def load(name: str, seed: int) -> Task:
    """Return a data set split by seed, with standardized features and regression target."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    if name == "housing":
        X, y = housing()
    else:
        X, y = getattr(datasets, f"load_{name.replace(' ', '_')}")(return_X_y=True)
    is_classification = name not in ("diabetes", "housing")
    split = train_test_split(
        X, y, test_size=0.25, random_state=seed, stratify=y if is_classification else None
    )
    X, X_test, y, y_test = split
    scaler = StandardScaler().fit(X)
    if not is_classification:
        mean, std = y.mean(), y.std()
        y, y_test = (y - mean) / std, (y_test - mean) / std
    return Task(scaler.transform(X), y, scaler.transform(X_test), y_test, is_classification)


def libraries() -> dict[str, Any]:
    """Return name -> module with both estimators."""
    import sklearn.neural_network

    import fastnn.sklearn

    return {"fastnn": fastnn.sklearn, "scikit-learn": sklearn.neural_network}


def run(
    name: str, solver: str, seeds: range, apart: bool
) -> Iterator[tuple[str, list[float], float]]:
    """Yield the name, scores by seed and seconds of all fits of each library."""
    options: dict[str, Any] = {"hidden_layer_sizes": (50,), "solver": solver, "max_iter": 100}
    if solver == "sgd":
        options["learning_rate_init"] = 0.02
    for library, module in libraries().items():
        scores, seconds = [], 0.0
        for seed in seeds:
            task = load(name, seed)
            kind: Callable[..., Any] = (
                module.MLPClassifier if task.is_classification else module.MLPRegressor
            )
            shift = APART if apart and library == "fastnn" else 0
            model = kind(**options, random_state=seed + shift)
            start = time.perf_counter()
            model.fit(task.X, task.y)
            seconds += time.perf_counter() - start
            scores.append(model.score(task.X_test, task.y_test))
        yield library, scores, seconds


def main() -> None:
    """Print one row for each data set and solver."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=SOLVERS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--apart", action="store_true", help="other seeds for ours")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # neither converges in 100 iterations
    print("Accuracy or R^2 on held-out data, mean +- standard deviation over seeds; time of fit.\n")
    print("| data | solver | fastnn | scikit-learn | same within noise | time ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in arguments.data:
        for solver in arguments.solvers:
            (_, ours, our_time), (_, theirs, their_time) = run(
                name, solver, range(arguments.seeds), arguments.apart
            )
            difference = np.mean(ours) - np.mean(theirs)
            noise = np.hypot(np.std(ours), np.std(theirs)) / np.sqrt(len(ours))
            agree = "yes" if abs(difference) <= 2 * noise + 1e-9 else f"{difference:+.4f}"
            print(
                f"| {name} | {solver} | {np.mean(ours):.4f} +- {np.std(ours):.4f} "
                f"| {np.mean(theirs):.4f} +- {np.std(theirs):.4f} | {agree} "
                f"| {their_time / our_time:.1f}x |",
                flush=True,
            )


if __name__ == "__main__":
    main()
