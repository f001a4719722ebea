"""Training, evaluation and checkpoints; `fastnn.files` saves and loads models."""

from .callbacks import CSVLogger, EarlyStopping, LRSchedule, ModelCheckpoint, TerminateOnNaN
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .evaluate import evaluate
from .fit import fit
from .history import History
from .objective import TokenLoss
from .run import Run

__all__ = [
    "CSVLogger",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "LRSchedule",
    "ModelCheckpoint",
    "Run",
    "TerminateOnNaN",
    "TokenLoss",
    "evaluate",
    "fit",
    "load_checkpoint",
    "save_checkpoint",
]
