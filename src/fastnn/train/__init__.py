"""Training, evaluation and checkpoints; `fastnn.files` saves and loads models."""

from typing import TYPE_CHECKING

from ..names import unknown
from .callbacks import CSVLogger, EarlyStopping, LRSchedule, ModelCheckpoint
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .evaluate import evaluate
from .fit import fit
from .history import History
from .objective import TokenLoss
from .plateau import ReduceLROnPlateau
from .run import Run
from .terminate import TerminateOnNaN

__all__ = [
    "CSVLogger",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "LRSchedule",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "Run",
    "TerminateOnNaN",
    "TokenLoss",
    "evaluate",
    "fit",
    "load_checkpoint",
    "save_checkpoint",
]

if not TYPE_CHECKING:  # a checker would take any name for an attribute
    __getattr__ = unknown(__name__, __all__)
