"""PyTorch with ``torch.compile``: the operations that it compiles."""

from .with_torch import ISA as ISA
from .with_torch import VERSION as EAGER
from .with_torch import threads as threads

VERSION = f"{EAGER} (compiled)"
PREPARE: dict = {}
