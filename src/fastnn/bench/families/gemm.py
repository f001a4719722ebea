"""Matrix products; shape = (m, k, n), layouts nn, nt and tn; one-row products read the weight."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, Shape, jax_jit, tensors


def _inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    m, k, n = shape
    return {"a": rng.standard_normal((m, k), real), "b": rng.standard_normal((k, n), real)}


def _dense_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {**_inputs(shape, real, rng), "bias": rng.standard_normal(shape[2], real)}


def _product(a: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
    return (a @ b,)


def _dense(a: np.ndarray, b: np.ndarray, bias: np.ndarray) -> tuple[Any, ...]:
    return (np.maximum(a @ b + bias, 0),)


def _flops(shape: Shape) -> int:
    return 2 * shape[0] * shape[1] * shape[2]


def _numbers(shape: Shape) -> int:
    m, k, n = shape
    return m * k + k * n + m * n


def _tolerance(shape: Shape) -> float:
    """Return the tolerance of a sum of k terms, whose errors grow like a random walk."""
    return 4 * float(np.sqrt(shape[1]))


_WORK = (_flops, _numbers, _numbers, _tolerance)
OPERATIONS = {
    "matmul": Operation(_inputs, _product, *_WORK, "fma"),
    "matmul_prepacked": Operation(_inputs, _product, *_WORK, "fma"),
    "matmul_bias_relu": Operation(_dense_inputs, _dense, *_WORK, "fma"),
    "call_matmul": Operation(_inputs, _product, *_WORK, None),
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
    ("full", "matmul_prepacked", [(1, 768, 3072), (16, 768, 768), (128, 784, 256)]),
]


def _fastnn(inputs: Arrays) -> Call:
    return _fastnn_product(inputs, inputs["b"])


def _fastnn_packed(inputs: Arrays) -> Call:
    from fastnn import kernels

    return _fastnn_product(inputs, kernels.pack(inputs["b"]))


def _fastnn_product(inputs: Arrays, b: Any) -> Call:
    from fastnn import kernels
    from fastnn.kernels.ground import memory

    a, more = inputs["a"], {}
    if "bias" in inputs:
        more = {"bias": inputs["bias"], "activation": "relu"}
    y = memory.empty((len(a), inputs["b"].shape[1]), a.dtype)
    return lambda: (kernels.matmul(a, b, out=y, **more),)


def _fastnn_call(inputs: Arrays) -> Call:
    """Call as users write it, with the result allocated."""
    from fastnn import kernels

    a, b = inputs["a"], inputs["b"]
    return lambda: (kernels.matmul(a, b),)


def _numpy(inputs: Arrays) -> Call:
    a, b = inputs["a"], inputs["b"]
    y = np.empty((len(a), b.shape[1]), a.dtype)
    return lambda: (np.matmul(a, b, out=y),)


def _numpy_dense(inputs: Arrays) -> Call:
    a, b, bias = inputs["a"], inputs["b"], inputs["bias"]
    y = np.empty((len(a), b.shape[1]), a.dtype)

    def call() -> tuple[Any, ...]:
        np.matmul(a, b, out=y)
        np.add(y, bias, out=y)
        return (np.maximum(y, 0, out=y),)

    return call


def _numpy_call(inputs: Arrays) -> Call:
    a, b = inputs["a"], inputs["b"]
    return lambda: (np.matmul(a, b),)


def _scipy(inputs: Arrays) -> Call:
    """Compute y = a b as y' = b' a', which needs no copies in BLAS's Fortran order."""
    from scipy import linalg

    a, b = inputs["a"], inputs["b"]
    gemm = linalg.get_blas_funcs("gemm", (a, b))
    y = np.empty((len(a), b.shape[1]), a.dtype)

    def operand(x: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return a Fortran-ordered array, and True if BLAS has to transpose it to get x'."""
        return (x.T, False) if x.flags.c_contiguous else (x, True)

    (left, trans_left), (right, trans_right) = operand(b), operand(a)
    options = {"trans_a": trans_left, "trans_b": trans_right, "c": y.T, "overwrite_c": True}
    return lambda: (gemm(1.0, left, right, beta=0.0, **options).T,)


def _torch(inputs: Arrays) -> Call:
    import torch

    a, b = tensors(inputs, "a", "b")
    y = a.new_empty(len(a), b.shape[1])
    return lambda: (torch.mm(a, b, out=y),)


def _torch_dense(inputs: Arrays) -> Call:
    import torch

    a, b, bias = tensors(inputs, "a", "b", "bias")
    y = a.new_empty(len(a), b.shape[1])
    return lambda: (torch.addmm(bias, a, b, out=y).relu_(),)


def _torch_call(inputs: Arrays) -> Call:
    import torch

    a, b = tensors(inputs, "a", "b")
    return lambda: (torch.matmul(a, b),)


def _torch_bf16(inputs: Arrays) -> Call:
    import torch

    a, b = (x.bfloat16() for x in tensors(inputs, "a", "b"))
    y = a.new_empty(len(a), b.shape[1])

    def call() -> tuple[Any, ...]:
        torch.mm(a, b, out=y)
        return (y,)

    return call


def _blis(inputs: Arrays) -> Call:
    """Call thinc's BLAS; a transposed view goes in as the array that it was made from."""
    from blis import py as blis

    a, b = inputs["a"], inputs["b"]
    y = np.zeros((len(a), b.shape[1]), a.dtype)
    flags = {f"trans{i}": not x.flags.c_contiguous for i, x in ((1, a), (2, b))}
    a, b = (x if x.flags.c_contiguous else x.T for x in (a, b))
    return lambda: (blis.gemm(a, b, out=y, beta=0.0, **flags),)


def _numkong(inputs: Arrays) -> Call:
    """Multiply by a matrix packed beforehand, the only product that NumKong has."""
    import numkong

    a, b = inputs["a"], numkong.dots_pack(np.ascontiguousarray(inputs["b"].T))
    return lambda: (numkong.dots_packed(a, b),)


PREPARE = {
    "fastnn": {
        "matmul": _fastnn,
        "matmul_prepacked": _fastnn_packed,
        "matmul_bias_relu": _fastnn,
        "call_matmul": _fastnn_call,
    },
    "numpy": {
        "matmul": _numpy,
        "matmul_prepacked": _numpy,
        "matmul_bias_relu": _numpy_dense,
        "call_matmul": _numpy_call,
    },
    "scipy": {"matmul": _scipy, "call_matmul": _scipy},
    "torch": {
        "matmul": _torch,
        "matmul_prepacked": _torch,
        "matmul_bias_relu": _torch_dense,
        "call_matmul": _torch_call,
    },
    "torch_bf16": {"matmul": _torch_bf16},
    "jax": {
        "matmul": jax_jit(lambda jax: jax.numpy.matmul, "a", "b"),
        "matmul_bias_relu": jax_jit(
            lambda jax: lambda a, b, bias: jax.nn.relu(a @ b + bias), "a", "b", "bias"
        ),
    },
    "blis": {"matmul": _blis, "matmul_prepacked": _blis},
    "numkong": {"matmul_prepacked": _numkong},
}
