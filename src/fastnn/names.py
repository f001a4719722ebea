"""Errors for names that a module does not have, with what was probably meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

from .checks import did_you_mean

_NO_AUTOGRAD = "fastnn has no autograd: see Module.backward"
_NO_CONVOLUTIONS = "fastnn has no convolutions"

# Names in other libraries -> what fastnn has instead.
ELSEWHERE = {
    "Dense": "nn.Linear(in_features, out_features, activation=...)",
    "Model": "nn.Sequential, or a subclass of nn.Module",
    "Flatten": "x.reshape(len(x), -1)",
    "Input": "layers have the number of their inputs as first argument",
    "BatchNorm1d": "nn.LayerNorm; there is no batch norm",
    "BatchNormalization": "nn.LayerNorm; there is no batch norm",
    "Conv1d": _NO_CONVOLUTIONS,
    "Conv2d": _NO_CONVOLUTIONS,
    "Conv2D": _NO_CONVOLUTIONS,
    "LSTM": "fastnn has no recurrent layers: nn.TransformerEncoder",
    "GRU": "fastnn has no recurrent layers: nn.TransformerEncoder",
    "CrossEntropyLoss": "nn.cross_entropy, or loss='cross_entropy'",
    "BCEWithLogitsLoss": "nn.bce_with_logits, or loss='bce_with_logits'",
    "MSELoss": "nn.mse_loss, or loss='mse'",
    "L1Loss": "nn.l1_loss, or loss='l1'",
    "SmoothL1Loss": "nn.huber_loss, or loss='huber'",
    "functional": "functions on arrays are in fastnn itself: fastnn.relu(x)",
    "MultiheadAttention": "nn.MultiHeadAttention",
    "Transformer": "models.Seq2SeqTransformer, nn.TransformerEncoder or nn.TransformerDecoder",
    "tensor": "NumPy arrays: np.array(values, np.float32)",
    "no_grad": "nothing is recorded: model(x) keeps nothing for backward",
    "manual_seed": "a generator for each thing that draws: rng=0, seed=0",
    "autograd": _NO_AUTOGRAD,
    "lr_scheduler": "optim.schedules",
    "DataLoader": "data.batches(x, y, batch_size)",
    "from_numpy": "NumPy arrays are used as they are",
}


def unknown(module: str, known: Iterable[str]) -> Callable[[str], NoReturn]:
    """Return a `__getattr__` for a module with the names `known`.

    >>> unknown("fastnn.nn", ["Linear"])("Lineer")
    Traceback (most recent call last):
    AttributeError: module 'fastnn.nn' has no attribute 'Lineer'; did you mean 'Linear'?
    """

    def refuse(name: str) -> NoReturn:
        hint = f": {ELSEWHERE[name]}" if name in ELSEWHERE else ""
        if not hint and not name.startswith("_"):
            hint = did_you_mean(name, known)
        raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")

    return refuse
