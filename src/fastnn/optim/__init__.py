"""Optimizers: one fused kernel call per step over a model's flat arrays.

>>> optimizer = AdamW(model.parameters(), lr=schedules.warmup_cosine(1e-3, 100, 5000))
>>> optimizer.zero_grad()
>>> model.backward(dlogits, ctx, need_dx=False)
>>> optimizer.step(max_norm=1.0)  # clipped to a global norm of 1

Backward passes add to the gradients, so a batch may be processed in parts that fit in memory. With
losses that are sums, a step along the mean over all rows does not depend on the partition:

>>> optimizer.zero_grad()
>>> for part in parts:
...     logits, ctx = model.forward(x[part])
...     loss, dlogits = nn.cross_entropy(logits, y[part], reduction="sum")
...     model.backward(dlogits, ctx, need_dx=False)
>>> optimizer.step(grad_scale=1 / len(y))
"""

from typing import TYPE_CHECKING

from ..names import unknown
from . import schedules
from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .average import ExponentialMovingAverage
from .clip import clip_grad_norm
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .schedules import Schedule
from .sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "ExponentialMovingAverage",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "clip_grad_norm",
    "schedules",
]

if not TYPE_CHECKING:  # a checker would take any name for an attribute
    __getattr__ = unknown(__name__, __all__)
