"""Files of arrays and models, written atomically."""

from .model import load, load_metadata, plan_from_file, save
from .tensors import ModelFileError

__all__ = ["ModelFileError", "load", "load_metadata", "plan_from_file", "save"]
