"""Training, evaluation, and models in files."""

from .files import ModelFileError, load, save
from .fit import History, evaluate, fit

__all__ = ["History", "ModelFileError", "evaluate", "fit", "load", "save"]
