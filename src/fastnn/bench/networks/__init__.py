"""The networks of ``families/networks.py`` in the other libraries."""

from __future__ import annotations

import numpy as np

from ..operations import Arrays


def network_layers(inputs: Arrays) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weights and biases of each layer from the inputs of a case."""
    n_layers = sum(name.startswith("w") for name in inputs)
    return [(inputs[f"w{i}"], inputs[f"b{i}"]) for i in range(1, n_layers + 1)]
