"""Search hyperparameters with scikit-learn on all cores: processes (loky) or threads.

Small models gain more from one candidate per core than from many threads per candidate, so each
worker gets one thread.
"""

import os
import sys

import fastnn
from fastnn.data import load_digits
from fastnn.sklearn import MLPClassifier


def searches():
    """Return a search over a grid, and one that drops the worse half again and again."""
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV

    model = MLPClassifier((32,), max_iter=4, solver="adamw", random_state=0)
    grid = {"learning_rate_init": [1e-3, 1e-2], "alpha": [1e-4]}
    return [
        GridSearchCV(model, grid, cv=2),
        HalvingRandomSearchCV(model, grid, cv=2, random_state=0, n_candidates=2),
    ]


def main(backend="loky"):
    """Run both searches on all cores."""
    import warnings

    import joblib

    x, y = load_digits(split="train")
    warnings.simplefilter("ignore")  # few epochs: not converged
    cores = os.cpu_count() or 1
    # loky: workers import fastnn with OMP_NUM_THREADS=1. threading: they share this process, whose
    # threads per call are set here.
    how = {"inner_max_num_threads": 1} if backend == "loky" else {}
    with joblib.parallel_config(backend, n_jobs=cores, **how), fastnn.num_threads(1):
        for search in searches():
            search.fit(x[:300], y[:300])
            print(f"{type(search).__name__}: {search.best_score_:.4f} with {search.best_params_}")


if __name__ == "__main__":
    main(*sys.argv[1:])
