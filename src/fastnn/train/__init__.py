"""Training, evaluation, and saving and loading models."""

from ..files import ModelFileError, load, load_metadata, plan_from_file, save
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
    "ModelFileError",
    "Run",
    "TerminateOnNaN",
    "TokenLoss",
    "evaluate",
    "fit",
    "load",
    "load_checkpoint",
    "load_metadata",
    "plan_from_file",
    "save",
    "save_checkpoint",
]
