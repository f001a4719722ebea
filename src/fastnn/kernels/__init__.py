"""The core: functions on arrays. Other extensions cimport the pointer API from ``api.pxd``."""

from .ground import waiting  # noqa: F401  # first, since it loads OpenMP

# isort: split
from .attention.additive import additive_scores, additive_scores_backward
from .attention.arrays import attention, attention_backward
from .attention.pooling import attention_pooling, attention_pooling_backward
from .attention.rotary import rotary
from .embedding.arrays import embedding, embedding_backward
from .gemm.arrays import gemm, matmul
from .gemm.linear import linear_backward
from .gemm.packed import PackedMatrix, pack
from .ground.machine import build_info
from .ground.threads import get_num_threads, num_threads, set_num_threads, thread_info
from .half.arrays import narrow, widen
from .loss.cross_entropy_arrays import cross_entropy
from .loss.elementwise_arrays import bce_with_logits, huber, l1, mse
from .norm.arrays import frobenius_norm, l1_norm, squared_norm
from .program.builder import Builder, NotLowerable
from .program.keep import Program
from .program.plan import Plan
from .program.state import PlanState
from .rowwise import activation_arrays
from .rowwise.activation_arrays import *  # noqa: F403
from .rowwise.activation_arrays import ACTIVATIONS
from .rowwise.add_norm_arrays import add_norm, add_norm_backward
from .rowwise.dropout import dropout, dropout_backward, philox
from .rowwise.gate import gate, gate_backward
from .rowwise.norms_arrays import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
from .rowwise.prelu_arrays import leaky_relu, leaky_relu_backward, prelu, prelu_backward
from .rowwise.softmax_arrays import log_softmax, log_softmax_backward, softmax, softmax_backward
from .update.arrays import (
    adagrad_update,
    adam_update,
    adamw_update,
    ema_update,
    rmsprop_update,
    scale,
    sgd_update,
)

__all__ = [
    "ACTIVATIONS",
    "Builder",
    "NotLowerable",
    "PackedMatrix",
    "Plan",
    "PlanState",
    "Program",
    "adagrad_update",
    "adam_update",
    "adamw_update",
    "add_norm",
    "add_norm_backward",
    "additive_scores",
    "additive_scores_backward",
    "attention",
    "attention_backward",
    "attention_pooling",
    "attention_pooling_backward",
    "bce_with_logits",
    "build_info",
    "cross_entropy",
    "dropout",
    "dropout_backward",
    "ema_update",
    "embedding",
    "embedding_backward",
    "frobenius_norm",
    "gate",
    "gate_backward",
    "gemm",
    "get_num_threads",
    "huber",
    "l1",
    "l1_norm",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "matmul",
    "mse",
    "narrow",
    "num_threads",
    "pack",
    "philox",
    "prelu",
    "prelu_backward",
    "rms_norm",
    "rms_norm_backward",
    "rmsprop_update",
    "rotary",
    "scale",
    "set_num_threads",
    "sgd_update",
    "softmax",
    "softmax_backward",
    "squared_norm",
    "thread_info",
    "widen",
]
__all__ += activation_arrays.__all__
