"""Training, evaluation, and models in files."""

from .files import ModelFileError, load, plan_from_file, save
from .fit import History, evaluate, fit

__all__ = ["History", "ModelFileError", "evaluate", "fit", "load", "plan_from_file", "save"]
