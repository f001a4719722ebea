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
from .additive import additive_scores, additive_scores_backward
from .attention import attention, attention_backward
from .dispatch import build_info
from .dropout import dropout, dropout_backward, philox
from .linear import linear_backward
from .loss import cross_entropy, mse
from .matmul import gemm, matmul
from .norm import frobenius_norm
from .packed import PackedMatrix, pack
from .pooling import attention_pooling, attention_pooling_backward
from .softmax import softmax, softmax_backward
from .threads import get_num_threads, num_threads, set_num_threads, thread_info
from .update import adam_update, adamw_update, scale, sgd_update

__all__ = [
    "PackedMatrix",
    "adam_update",
    "adamw_update",
    "additive_scores",
    "additive_scores_backward",
    "attention",
    "attention_backward",
    "attention_pooling",
    "attention_pooling_backward",
    "build_info",
    "cross_entropy",
    "dropout",
    "dropout_backward",
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
    "philox",
    "relu",
    "relu_backward",
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
