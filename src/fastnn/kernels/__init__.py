"""The core: functions on arrays, each with a pointer face in its ``.pxd`` for other extensions."""

from .activation import (
    gelu,
    gelu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    tanh,
    tanh_backward,
)
from .dispatch import build_info
from .linear import linear_backward
from .loss import cross_entropy, mse
from .matmul import gemm, matmul
from .norm import frobenius_norm
from .packed import PackedMatrix, pack
from .plan import Plan
from .softmax import softmax, softmax_backward
from .threads import get_num_threads, num_threads, set_num_threads, thread_info
from .update import (
    adagrad_update,
    adam_update,
    adamw_update,
    ema_update,
    rmsprop_update,
    scale,
    sgd_update,
)

__all__ = [
    "PackedMatrix",
    "Plan",
    "adagrad_update",
    "adam_update",
    "adamw_update",
    "build_info",
    "cross_entropy",
    "ema_update",
    "frobenius_norm",
    "gelu",
    "gelu_backward",
    "gemm",
    "get_num_threads",
    "linear_backward",
    "matmul",
    "mse",
    "num_threads",
    "pack",
    "relu",
    "relu_backward",
    "rmsprop_update",
    "scale",
    "set_num_threads",
    "sgd_update",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
    "thread_info",
]
