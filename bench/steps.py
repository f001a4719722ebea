"""The account of a training step: where each microsecond goes, beside the FMA peak.

    python -m bench steps                     the five steps of docs/tuning.md
    python -m bench steps lm_step-f32-4x4x128x64x12 --threads 1 --seconds 20

Every kernel that a step calls is timed where it is called, and of each call the shortest time of
all steps counts: what other programs take is not part of the account. Small networks, whose layers
run in one call, are taken layer by layer. What is left of the shortest step is Python and NumPy.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np

import fastnn
from fastnn import kernels
from fastnn.bench.cases import Case, case_named
from fastnn.bench.libraries import prepares
from fastnn.bench.machine import cpu_name, fma_peak
from fastnn.nn import activation
from fastnn.nn.lowering import Lowered
from fastnn.parameters import Parameters

CASES = (
    "train_step-f32-128x784x256x10",
    "train_step-f32-256x784x256x10",
    "train_step-f32-256x784x1024x1024x10",
    "lm_step-f32-4x4x128x64x12",
    "lm_step-f32-6x6x384x256x8",
)
# Functions of fastnn.kernels -> rows of the account.
ROWS = {
    "matmul": "forward products",
    "gemm": "backward products",
    "linear_backward": "backward of layers",
    "attention": "attention",
    "attention_backward": "attention backward",
    "pack": "packing",
    "cross_entropy": "loss",
    "embedding": "embeddings",
    "embedding_backward": "embeddings",
    "frobenius_norm": "norm for the clip",
    "adam_update": "optimizer",
    "adamw_update": "optimizer",
    **dict.fromkeys(("layer_norm", "add_norm", "add_norm_backward"), "norms"),
}
AFRESH = 100  # steps with the same batch, before the gradients vanish
PEAKS = 8  # samples of the FMA peak, of which the largest counts
clock = time.perf_counter
PRODUCTS, DERIVATIVES, REST = "backward products", "derivatives, bias sums", "Python, NumPy"


class Account:
    """The shortest time of each call of a step."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []  # [row, flops, seconds], in the order of the step
        self.at = 0
        self.is_deep = self.is_after_loss = self.splits = False

    def begin(self) -> None:
        """Begin a step."""
        self.at, self.is_after_loss = 0, False

    def add(self, row: str, flops: float, seconds: float) -> None:
        """Add the next call of the step."""
        if self.at == len(self.calls):
            self.calls.append([row, flops, seconds])
        self.calls[self.at][2] = min(self.calls[self.at][2], seconds)
        self.at += 1

    def timed(self, call: Callable[..., Any], row: str) -> Callable[..., Any]:
        """Return the function with its time added; not within another one."""

        def wrapper(*args: Any, **how: Any) -> Any:
            if self.is_deep:
                return call(*args, **how)
            self.is_deep = True
            start = clock()
            result = call(*args, **how)
            seconds = clock() - start
            self.is_deep = False
            of = PRODUCTS if row == "forward products" and self.is_after_loss else row
            self.add(of, flops_of(call.__name__, args, how), seconds)
            self.is_after_loss |= row == "loss"
            if self.splits and row == "backward of layers":
                self.split(*args[:3], need_dx=how["need_dx"])
            return result

        return wrapper

    def split(self, dy: Any, x: Any, w: Any, need_dx: bool) -> None:
        """Add the products of a layer's backward pass, by themselves."""
        dw = np.empty(w.shape, w.dtype)
        start = clock()
        kernels.gemm.__wrapped__(x, dy, dw, trans_a=True, beta=1.0)
        if need_dx:
            kernels.matmul.__wrapped__(dy, w.T)
        self.add(PRODUCTS, 0, clock() - start)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the kernels in this context, and run networks layer by layer."""
        with ExitStack() as stack:
            for name, row in ROWS.items():
                call = self.timed(getattr(kernels, name), row)
                call.__wrapped__ = getattr(kernels, name)  # type: ignore[attr-defined]
                stack.enter_context(patch.object(kernels, name, call))
            for name, of in activation.FUNCTIONS.items():
                timed = of._replace(forward=self.timed(of.forward, "activations"))
                stack.enter_context(patch.dict(activation.FUNCTIONS, {name: timed}))
            zero = self.timed(Parameters.zero_grad, "zeroing")
            stack.enter_context(patch.object(Parameters, "zero_grad", zero))
            stack.enter_context(patch.object(Lowered, "program", lambda self: None))
            yield


def flops_of(name: str, args: Any, how: Any) -> float:
    """Count the operations of a call's products; of attention half, since it is causal."""
    if name == "linear_backward":  # dy, x, w
        return 2.0 * (1 + how["need_dx"]) * args[0].size * len(args[2])
    if name in ("matmul", "gemm"):
        return 2.0 * args[0].size * args[1].shape[-1]
    if name in ("attention", "attention_backward"):
        batch, heads, rows, size = args[0].shape
        return (1 + (name == "attention_backward")) * 2.0 * batch * heads * rows**2 * size
    return 0.0


def shortest(case: Case, seconds: float, account: Account | None = None) -> float:
    """Return the shortest step of so many seconds, from the same weights every AFRESH steps."""
    inputs, end, best = case.inputs(0), time.perf_counter() + seconds, math.inf
    while time.perf_counter() < end:
        call = prepares("fastnn")[case.kernel](inputs)
        for _ in range(AFRESH):
            if account:
                account.begin()
            start = clock()
            call()
            best = min(best, clock() - start)
            if time.perf_counter() >= end:
                break
    return best


def account_of(case: Case, seconds: float) -> tuple[float, dict[str, list[float]]]:
    """Return the seconds of a step, and [seconds, flops] of each row of its account."""
    together, parts = Account(), Account()
    parts.splits = True
    whole = shortest(case, seconds / 4)
    for account in (together, parts):
        with account.watching():
            shortest(case, seconds / 4, account)
    whole = min(whole, shortest(case, seconds / 4))
    rows: dict[str, list[float]] = {}
    for row, flops, spent in together.calls:
        found = rows.setdefault(row, [0.0, 0.0])
        found[0] += spent
        found[1] += flops
    layers = rows.pop("backward of layers", [0.0, 0.0])
    split = [row for row in pairwise(parts.calls) if row[0][0] == "backward of layers"]
    alone = sum(after[2] for _, after in split)
    products = rows.setdefault(PRODUCTS, [0.0, 0.0])
    products[0] += alone
    products[1] += layers[1]
    rows[DERIVATIVES] = [layers[0] - alone, 0.0]
    rows[REST] = [whole - sum(spent for spent, _ in rows.values()), 0.0]
    return whole, rows


def main(argv: list[str] | None = None) -> None:
    """Print the account of each step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("steps", nargs="*", metavar="case", default=CASES)
    parser.add_argument("--threads", type=int, default=fastnn.get_num_threads())
    parser.add_argument("--seconds", type=float, default=6.0, help="for each step")
    given = parser.parse_args(argv)
    global clock
    if given.threads == 1:  # without what other programs take
        clock = time.thread_time
    peak = max(fma_peak(given.threads, fastnn.build_info()["isa"]) for _ in range(PEAKS))
    print(f"{cpu_name()}, threads {given.threads}, FMA peak {peak:.0f} GFLOP/s")
    with fastnn.num_threads(given.threads):
        for step in given.steps:
            case = case_named(step)
            whole, rows = account_of(case, given.seconds)
            part = case.flops / whole / peak / 1e9
            print(f"\n{step}  {whole * 1e6:.0f} us, {part:.1%} of the peak")
            for row, (spent, flops) in sorted(rows.items(), key=lambda item: -item[1][0]):
                rate = f"{flops / spent / peak / 1e9:8.1%} of the peak" if flops else ""
                print(f"  {row:24}{spent * 1e6:10.1f} us {spent / whole:7.1%}{rate}")


if __name__ == "__main__":
    main()
