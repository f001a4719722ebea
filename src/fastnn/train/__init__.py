"""Training, evaluation, and models in files."""

from .callbacks import CSVLogger, EarlyStopping, LRSchedule, ModelCheckpoint, TerminateOnNaN
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .evaluate import evaluate
from .files import load, load_metadata, plan_from_file, save
from .fit import fit
from .history import History
from .objective import TokenLoss
from .run import Run
from .tensors import ModelFileError

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
