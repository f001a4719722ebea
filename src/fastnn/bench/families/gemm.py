"""Matrix products; shape = (m, k, n), layouts nn, nt and tn; one-row products read the weight.

``fastnn_bf16``, ``fastnn_int8`` and ``fastnn_int8_g32`` multiply by a weight packed in that format.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..operations import FORMATS, Call, Operation, jit, normal, size

_gemm = partial(
    Operation,
    flops=lambda s: 2 * size(s),
    numbers=lambda s: s[0] * s[1] + s[1] * s[2] + s[0] * s[2],
    tolerance=lambda s: 4 * s[1] ** 0.5,  # errors of a sum of k terms grow like a random walk
    limit="fma",
    out=lambda inputs: (len(inputs["a"]), inputs["b"].shape[1]),
)
_PRODUCT = _gemm(normal(a="01", b="12"), lambda a, b: (a @ b,))
OPERATIONS = {
    "matmul": _PRODUCT,
    "matmul_prepacked": _PRODUCT,
    "matmul_bias_relu": _gemm(
        normal(a="01", b="12", bias="2"), lambda a, b, bias: (np.maximum(a @ b + bias, 0),)
    ),
    "call_matmul": replace(_PRODUCT, limit=None),
}

CUBES = [(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)]
# A batch of 128 through the layers of 784-256-10, one example, and a tiny case: call overhead.
LAYERS = [(128, 784, 256), (128, 256, 10), (1, 784, 256), (8, 8, 8)]
# Products of networks: batches through layers, one example through large layers, long and short
# sums, tall and flat outputs; the last two, as "tn", are weight gradients x' dy.
PRODUCTS = [
    *[(n, n, n) for n in (16, 32, 100)],
    *[(64, 256, 256), (256, 784, 1024), (256, 1024, 1024)],
    *[(1, 768, 3072), (1, 3072, 768), (16, 768, 768)],
    *[(768, 128, 512), (768, 512, 128), (2048, 384, 1536), (2048, 1536, 384), (2048, 64, 2048)],
    *[(333, 777, 555), (4096, 128, 65), (64, 4096, 64)],
    *[(784, 128, 256), (256, 128, 10)],
]
# Rows through large layers whose weights are packed, in float32 and in fewer bits.
PACKED = [
    *[(1, 4096, 4096), (4, 4096, 4096), (16, 768, 3072), (64, 768, 3072), (256, 1024, 1024)],
    *CUBES[3:],
]
# Powers of two and 3/2 of them, for the picture of docs/gemm.md.
SQUARES = [8, *[n for power in range(4, 11) for n in (1 << power, 3 << power - 1)], 2048]
ALL = ("nn", "nt", "tn")
CASES = [
    ("quick", "matmul", [CUBES[1], CUBES[3], *LAYERS[:3]]),
    ("default", "matmul", CUBES + LAYERS),
    ("default", "matmul", [CUBES[1], CUBES[3], *LAYERS[:2]], ("float32",), ALL),
    ("default", "matmul", [(n, n, n) for n in (64, 256, 1024)], ("float64",)),
    ("quick", "matmul_prepacked", [(1, 784, 256)]),
    ("default", "matmul_bias_relu", [(256, 256, 256), (1024, 1024, 1024), *LAYERS[:3]]),
    ("quick", "call_matmul", [(8, 8, 8)]),
    ("full", "matmul", CUBES + LAYERS + PRODUCTS, ("float32",), ALL),
    ("full", "matmul", [(n, n, n) for n in SQUARES]),
    ("full", "matmul_prepacked", [(1, 768, 3072), (16, 768, 768), (128, 784, 256), *PACKED]),
]


# A call without lists of arguments costs less, which counts for small products.


def _matmul(library: Any, a: Any, b: Any, out: Any) -> Call:
    return lambda: (library.matmul(a, b, out=out),)


def _torch(torch: Any, a: Any, b: Any, out: Any) -> Call:
    return lambda: (torch.mm(a, b, out=out),)


def _call(library: Any, a: Any, b: Any) -> Call:
    return lambda: (library.matmul(a, b),)


def _packed(kernels: Any, a: Any, b: Any, out: Any, form: str | None = None) -> Call:
    weight = kernels.pack(b, form)
    return lambda: (kernels.matmul(a, weight, out=out),)


def _numpy_dense(np: Any, a: Any, b: Any, bias: Any, out: Any) -> Call:
    def call() -> tuple[Any, ...]:
        np.matmul(a, b, out=out)
        np.add(out, bias, out=out)
        return (np.maximum(out, 0, out=out),)

    return call


def _scipy(scipy: Any, a: Any, b: Any, out: Any) -> Call:
    """Compute y = a b as y' = b' a', which needs no copies in BLAS's Fortran order."""
    gemm = scipy.linalg.get_blas_funcs("gemm", (a, b))

    def operand(x: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return a Fortran-ordered array, and True if BLAS has to transpose it to get x'."""
        return (x.T, False) if x.flags.c_contiguous else (x, True)

    (left, trans_left), (right, trans_right) = operand(b), operand(a)
    options = {"trans_a": trans_left, "trans_b": trans_right, "c": out.T, "overwrite_c": True}
    return lambda: (gemm(1.0, left, right, beta=0.0, **options).T,)


def _torch_bf16(torch: Any, a: Any, b: Any, out: Any) -> Call:
    a, b, out = (x.bfloat16() for x in (a, b, out))
    return lambda: (torch.mm(a, b, out=out),)


def _onnxruntime_int8(onnxruntime: Any, a: Any, b: Any) -> Call:
    from ..networks.with_others import session

    return session(onnxruntime, a, [(b, None)], int8=True)


def _blis(blis: Any, a: Any, b: Any, out: Any) -> Call:
    """Call thinc's BLAS; a transposed view goes in as the array that it was made from."""
    out.fill(0)
    flags = {f"trans{i}": not x.flags.c_contiguous for i, x in ((1, a), (2, b))}
    a, b = (x if x.flags.c_contiguous else x.T for x in (a, b))
    return lambda: (blis.gemm(a, b, out=out, beta=0.0, **flags),)


def _numkong(numkong: Any, a: Any, b: Any) -> Call:
    """Multiply by a matrix packed beforehand, the only product that NumKong has."""
    b = numkong.dots_pack(np.ascontiguousarray(b.T))
    return lambda: (numkong.dots_packed(a, b),)


PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": {
        "matmul": _matmul,
        "matmul_prepacked": _packed,
        "matmul_bias_relu": lambda kernels, a, b, bias, out: (
            lambda: (kernels.matmul(a, b, bias=bias, activation="relu", out=out),)
        ),
        "call_matmul": _call,
    },
    **{f"fastnn_{form}": {"matmul_prepacked": partial(_packed, form=form)} for form in FORMATS},
    "numpy": {
        "matmul": _matmul,
        "matmul_prepacked": _matmul,
        "matmul_bias_relu": _numpy_dense,
        "call_matmul": _call,
    },
    "scipy": {"matmul": _scipy, "call_matmul": _scipy},
    "torch": {
        "matmul": _torch,
        "matmul_prepacked": _torch,
        "matmul_bias_relu": lambda torch, a, b, bias, out: (
            lambda: (torch.addmm(bias, a, b, out=out).relu_(),)
        ),
        "call_matmul": _call,
    },
    "torch_bf16": {"matmul": _torch_bf16, "matmul_prepacked": _torch_bf16},
    "jax": {
        "matmul": jit("numpy.matmul", "a b"),
        "matmul_bias_relu": jit(lambda jax, a, b, bias: jax.nn.relu(a @ b + bias), "a b bias"),
    },
    "onnxruntime_int8": {"matmul_prepacked": _onnxruntime_int8},
    "blis": {"matmul": _blis, "matmul_prepacked": _blis},
    "numkong": {"matmul_prepacked": _numkong},
}
