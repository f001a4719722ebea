"""Data sets, and batches of any data."""

from typing import TYPE_CHECKING

from ..names import unknown
from .batches import Batches, batches
from .digits import load_digits
from .download import DownloadError
from .fashion_mnist import FASHION_MNIST_CLASSES, load_fashion_mnist
from .idx import IdxError, read_idx
from .text import load_text
from .token_batches import TokenBatches, token_batches
from .windows import Crops, Windows, crops, windows

__all__ = [
    "FASHION_MNIST_CLASSES",
    "Batches",
    "Crops",
    "DownloadError",
    "IdxError",
    "TokenBatches",
    "Windows",
    "batches",
    "crops",
    "load_digits",
    "load_fashion_mnist",
    "load_text",
    "read_idx",
    "token_batches",
    "windows",
]

if not TYPE_CHECKING:  # a checker would take any name for an attribute
    __getattr__ = unknown(__name__, __all__)
