"""PyTorch through ``torch.compile``: the operations of which it is a way of its own."""

from .with_torch import ISA as ISA
from .with_torch import VERSION as EAGER
from .with_torch import threads as threads

VERSION = f"{EAGER} (compiled)"
PREPARE: dict = {}
