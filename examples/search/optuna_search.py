"""Search hyperparameters with Optuna in several processes that share a journal file.

Optuna's own `n_jobs` is threads. Processes, also on several machines with a common folder, run this
program with the same file; each takes the next trial, and bad ones are stopped early.

    OMP_NUM_THREADS=1 python optuna_search.py study.log 4 &     # as often as there are cores
"""

import os
import subprocess
import sys

import fastnn
from fastnn import nn, optim
from fastnn.data import load_digits


def objective(trial):
    """Train a small network; report each epoch, so that Optuna can stop it."""
    import optuna

    x, y = load_digits(split="train")
    model = nn.MLP((64, trial.suggest_int("units", 16, 64, log=True), 10), rng=0)
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)

    def report(epoch, logs):
        trial.report(logs["val_accuracy"], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    history = fastnn.fit(
        model,
        x[:600],
        y[:600],
        optimizer=optim.AdamW(model.parameters(), lr=lr),
        epochs=5,
        validation_split=0.25,
        callbacks=[report],
        seed=0,
        verbose=0,
    )
    return history.history["val_accuracy"][-1]


def study(path):
    """Return the study in a file, created by the first process that asks."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(path))
    how = {"direction": "maximize", "load_if_exists": True}
    return optuna.create_study(storage=storage, study_name="digits", **how)


def main(path, trials="4", processes=None):
    """Run trials in this process, or in several that this one starts."""
    if processes is None:
        study(path).optimize(objective, n_trials=int(trials))
        return
    study(path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, path, trials]
    started = [subprocess.Popen(command, env=environment) for _ in range(int(processes))]
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit(f"exit codes of the processes: {codes}")
    found = study(path)
    print(f"{len(found.trials)} trials; best: {found.best_value:.4f} with {found.best_params}")


if __name__ == "__main__":
    main(*sys.argv[1:])
