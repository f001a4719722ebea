"""Data sets, and batches of any data."""

from .batches import Batches, batches
from .digits import load_digits
from .download import DownloadError
from .fashion_mnist import FASHION_MNIST_CLASSES, load_fashion_mnist
from .idx import IdxError, read_idx
from .token_batches import TokenBatches, token_batches

__all__ = [
    "FASHION_MNIST_CLASSES",
    "Batches",
    "DownloadError",
    "IdxError",
    "TokenBatches",
    "batches",
    "load_digits",
    "load_fashion_mnist",
    "read_idx",
    "token_batches",
]
