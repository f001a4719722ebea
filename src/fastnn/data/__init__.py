"""Data sets, and batches of any data."""

from .batches import Batches, batches
from .digits import load_digits
from .download import DownloadError
from .fashion_mnist import FASHION_MNIST_CLASSES, load_fashion_mnist
from .idx import IdxError, read_idx

__all__ = [
    "FASHION_MNIST_CLASSES",
    "Batches",
    "DownloadError",
    "IdxError",
    "batches",
    "load_digits",
    "load_fashion_mnist",
    "read_idx",
]
