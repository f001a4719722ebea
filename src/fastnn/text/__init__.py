"""Vocabularies: text to ids and back."""

from .bpe import BPE
from .vocab import Vocab

__all__ = ["BPE", "Vocab"]
