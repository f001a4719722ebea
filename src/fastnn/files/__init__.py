"""Files of arrays and of models, each written whole or not at all."""

from .model import load, load_metadata, plan_from_file, save
from .tensors import ModelFileError

__all__ = ["ModelFileError", "load", "load_metadata", "plan_from_file", "save"]
