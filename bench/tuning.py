"""Time the work on both sides of each threshold of docs/tuning.md.

    python -m bench tuning --list            the names of the rows
    python -m bench tuning gemm-grain        one row: microseconds by one thread and by all
    python -m bench tuning                   every row

A row shows the current choice of a threshold: for sizes below the minimum work per thread, both
columns are alike. To see the other choice, change the constant named in docs/tuning.md, build, and
run the row again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np

import fastnn
from fastnn import kernels
from fastnn.bench.worker import time_blocks

Call = Callable[[], Any]
Cases = Iterator[tuple[str, Call]]
ROUNDS, SECONDS = 7, 0.01


def array(*shape: int, dtype: Any = np.float32) -> Any:
    """Return normal numbers, the same in every run."""
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def products(*shapes: tuple[int, int, int], layout: str = "nn") -> Cases:
    """Return matmul of (m, k, n), operands transposed as `layout` says."""
    for m, k, n in shapes:
        a = array(m, k) if layout[0] == "n" else array(k, m).T
        b = array(k, n) if layout[1] == "n" else array(n, k).T
        c = np.empty((m, n), np.float32)
        yield f"({m}, {k}, {n}) {layout}", lambda a=a, b=b, c=c: fastnn.matmul(a, b, out=c)


def packed_products(*shapes: tuple[int, int, int]) -> Cases:
    """Return matmul of (m, k, n) with a packed weight."""
    for m, k, n in shapes:
        a, w, c = array(m, k), fastnn.pack(array(k, n)), np.empty((m, n), np.float32)
        yield f"({m}, {k}, {n}) packed", lambda a=a, w=w, c=c: fastnn.matmul(a, w, out=c)


def elementwise(name: str, *shapes: tuple[int, ...]) -> Cases:
    """Return a function of one array with `out=`."""
    call = getattr(kernels, name)
    for shape in shapes:
        x, y = array(*shape), np.empty(shape, np.float32)
        yield f"{name} {shape}", lambda x=x, y=y: call(x, out=y)


def backward(name: str, *shapes: tuple[int, ...]) -> Cases:
    """Return a backward function of dy and the array saved by forward."""
    call = getattr(kernels, name)
    for shape in shapes:
        dy, saved, dx = array(*shape), array(*shape), np.empty(shape, np.float32)
        yield f"{name} {shape}", lambda a=dy, b=saved, c=dx: call(a, b, out=c)


def layer_norms(*shapes: tuple[int, int]) -> Cases:
    """Return layer norm with a weight and a bias."""
    for rows, columns in shapes:
        x, w, b = array(rows, columns), array(columns), array(columns)
        y = np.empty_like(x)
        yield (
            f"layer_norm {x.shape}",
            lambda x=x, w=w, b=b, y=y: kernels.layer_norm(x, w, b, out=y),
        )


def norms(*sizes: int) -> Cases:
    """Return the Frobenius norm of a flat array."""
    for n in sizes:
        x = array(n)
        yield f"frobenius_norm ({n},)", lambda x=x: fastnn.frobenius_norm(x)


def adam_steps(*sizes: int) -> Cases:
    """Return one step of Adam over a flat array."""
    for n in sizes:
        p, g, m, v = (np.abs(array(n)) for _ in range(4))
        yield (
            f"adam_update ({n},)",
            lambda p=p, g=g, m=m, v=v: kernels.adam_update(p, g, m, v, step=1, lr=1e-3),
        )


def attentions(*shapes: tuple[int, int, int, int, int]) -> Cases:
    """Return attention of (batch, heads, queries, keys, size)."""
    for b, h, t, s, d in shapes:
        q, k, v = array(b, h, t, d), array(b, h, s, d), array(b, h, s, d)
        yield (
            f"attention ({b}, {h}, {t} of {s}, {d})",
            lambda q=q, k=k, v=v: fastnn.attention(q, k, v),
        )


ROWS: dict[str, Callable[[], Cases]] = {
    "gemm-grain": lambda: products(*((n, n, n) for n in (81, 91, 96, 112))),
    "gemm-split-k": lambda: products((10, 1500, 32), (10, 4096, 32)),
    "gemm-tail": lambda: products((100, 100, 100), (128, 100, 132)),
    "gemm-pack": lambda: products((16, 768, 768), (512, 512, 512), (2048, 2048, 2048)),
    "gemm-pack-transposed": lambda: products((512, 512, 512), (2048, 1536, 384), layout="tn"),
    "gemm-blocks": lambda: products((1024, 1024, 1024), (2048, 2048, 2048)),
    "gemm-packed-blocks": lambda: packed_products((256, 784, 1024), (256, 1024, 1024)),
    "gemm-columns": lambda: products((256, 1024, 1024), (32, 784, 1024)),
    "gemv-grain": lambda: products((1, 128, 512), (1, 128, 1024), (1, 256, 1024)),
    "gemv-columns": lambda: products(
        (1, 256, 256), (1, 768, 768), (4, 768, 768), (5, 768, 768), (1, 512, 30000), layout="nt"
    ),
    "packed-grain": lambda: packed_products((4, 256, 256), (4, 784, 256), (4, 1024, 1024)),
    "activation-grain": lambda: elementwise("relu", (32768,), (65536,), (131072,)),
    "activation-exp-grain": lambda: elementwise("gelu", (8192,), (16384,), (32768,)),
    "stream": lambda: elementwise("relu", (1 << 20,), (1 << 21,), (1 << 22,)),
    "softmax-grain": lambda: elementwise("softmax", (8, 1024), (16, 1024), (64, 1024)),
    "softmax-rows": lambda: elementwise("softmax", (64, 64), (2048, 128), (2048, 160)),
    "softmax-stream": lambda: elementwise("softmax", (4096, 1024), (8192, 1024)),
    "softmax-backward-stream": lambda: backward("softmax_backward", (1024, 1024), (4096, 1024)),
    "norm-grain": lambda: layer_norms((8, 1024), (16, 1024), (64, 1024)),
    "norm-stream": lambda: layer_norms((512, 1024), (1024, 1024), (2048, 1024)),
    "frobenius-grain": lambda: norms(65536, 131072, 262144),
    "update-grain": lambda: adam_steps(16384, 32768, 65536),
    "attention-keys": lambda: attentions((1, 12, 1024, 1024, 64)),
    "attention-decode-grain": lambda: attentions((1, 6, 1, 128, 64), (1, 6, 1, 249, 64)),
    "attention-decode": lambda: attentions((1, 6, 4, 512, 64), (1, 6, 5, 512, 64)),
    "recycled": lambda: elementwise("relu", (4095,), (4097,)),
}


def microseconds(call: Call) -> float:
    """Return the median time of a call over all rounds."""
    return median(time_blocks(call, ROUNDS, SECONDS)) * 1e6


def main(argv: list[str] | None = None) -> None:
    """Print the requested rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="row", help="names from docs/tuning.md")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    given = parser.parse_args(argv)
    if unknown := [row for row in given.rows if row not in ROWS]:
        parser.error(f"no row {unknown[0]!r}; --list prints the names")
    if given.list:
        print("\n".join(ROWS))
        return
    info, everybody = fastnn.build_info(), fastnn.get_num_threads()
    print(f"fastnn {info['version']}, {info['isa']}; microseconds by 1 and by {everybody} threads")
    for row in given.rows or ROWS:
        print(f"\n{row}")
        for label, call in ROWS[row]():
            with fastnn.num_threads(1):
                alone = microseconds(call)
            print(f"  {label:40}{alone:12.2f}{microseconds(call):12.2f}")
