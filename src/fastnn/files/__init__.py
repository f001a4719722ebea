"""Files of arrays and models, written atomically."""

from .gguf import Gguf, Quantized, read_gguf
from .lora import load_lora, save_lora
from .model import load, load_metadata, plan_from_file, save
from .tensors import ModelFileError

__all__ = [
    "Gguf",
    "ModelFileError",
    "Quantized",
    "load",
    "load_lora",
    "load_metadata",
    "plan_from_file",
    "read_gguf",
    "save",
    "save_lora",
]
