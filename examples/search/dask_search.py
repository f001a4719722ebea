"""Search hyperparameters with scikit-learn on a Dask cluster: joblib's backend "dask".

Here the cluster is this machine. Of several: `Client("scheduler:8786")`, with workers started by
`OMP_NUM_THREADS=1 dask worker scheduler:8786 --nworkers auto --nthreads 1` on each.
"""

import os

from joblib_search import searches

from fastnn.data import load_digits


def main():
    """Run both searches on a cluster of processes with one thread each."""
    import warnings

    import joblib
    from dask.distributed import Client, LocalCluster

    warnings.simplefilter("ignore")
    x, y = load_digits(split="train")
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers, which are started after this
    cores = os.cpu_count() or 1
    with (
        LocalCluster(n_workers=cores, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config("dask"),
    ):
        for search in searches():
            search.fit(x[:300], y[:300])
            print(f"{type(search).__name__}: {search.best_score_:.4f} with {search.best_params_}")


if __name__ == "__main__":
    main()
