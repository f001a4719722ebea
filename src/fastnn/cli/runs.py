"""Save the run of a training command regularly and at Ctrl-C, and check it when resuming."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

from ..train import ModelCheckpoint, ModelFileError, load, load_checkpoint
from ..train.history import Logs
from .errors import UsageError

# Batches between saves of the run, so that saving costs little (docs/tuning.md).
SAVE_EVERY = 200


class RunFile(ModelCheckpoint):
    """A callback and a context that save the run regularly, at Ctrl-C and at the end.

    The first Ctrl-C waits for the end of a step, when the run can be saved; the second does not.

    Parameters
    ----------
    path : str
    asked : mapping of str to str, int, float, bool or None
        What must not change when the run is resumed; see `check_same`.

    Attributes
    ----------
    file : str
        The path.
    """

    def __init__(self, path: str, asked: Mapping[str, Any]) -> None:
        literal = path.replace("{", "{{").replace("}", "}}")  # ModelCheckpoint fills in fields
        super().__init__(literal, save_freq=SAVE_EVERY)
        self.file, self.asked = path, dict(asked)
        self.written = self.stopping = self.waits = False

    def __enter__(self) -> RunFile:
        # replace only Python's default handler; only the main thread may do so
        if threading.current_thread() is threading.main_thread():
            self.waits = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.waits:
            signal.signal(signal.SIGINT, self._wait)
        return self

    def __exit__(self, *_: object) -> None:
        if self.waits:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _wait(self, *_: object) -> None:
        self.stopping = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Save every `SAVE_EVERY` batches; after Ctrl-C, save and end the run."""
        super().on_train_batch_end(batch, logs)
        if self.run.pending == 0 and self.run.any(self.stopping):
            self._write(self.run.epoch, logs)
            raise KeyboardInterrupt

    def on_train_end(self) -> None:
        """Save, unless Ctrl-C may have come in the middle of a step."""
        if not self.run.history.interrupted:
            self._write(self.run.epoch, {})

    def _write(self, epoch: int, logs: Logs) -> None:
        super()._write(epoch, logs)
        self.written = True

    def clause(self) -> str:
        """Return a clause for "model saved to m", empty unless this run was saved."""
        return f", run state saved to {self.file}" if self.written else ""

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {**super().state(), "asked": self.asked}


def asked_before(path: str) -> dict[str, Any]:
    """Return the options of a saved run; UsageError if the file is missing or has no run."""
    if not os.path.exists(path):
        raise UsageError(f"--resume: there is no {path} to resume")
    try:
        found = load_checkpoint(path, load(path))
        asked: dict[str, Any] = found.extra["callbacks"]["RunFile.0"]["asked"]
    except ModelFileError as error:
        raise UsageError(f"--resume: {error}") from error
    except (KeyError, TypeError) as error:
        raise UsageError(f"--resume: {path} has no run of this command") from error
    if not isinstance(asked, dict):
        raise UsageError(f"--resume: {path} has no run of this command")
    return asked


def check_same(before: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise UsageError if a run is resumed with other options or data than before."""
    for name, now in asked.items():
        if (then := before.get(name)) != now:
            raise UsageError(f"--resume: in the saved run {name} was {then}, now it is {now}")
