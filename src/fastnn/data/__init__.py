"""Real data small enough to ship with the package."""

from .digits import load_digits

__all__ = ["load_digits"]
