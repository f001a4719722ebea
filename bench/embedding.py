"""Measure the cost of calls from C: the table of functions against a pointer, a small plan.

    python -m bench embedding

Builds the C extension of tests/capi and takes the minimum of many rounds. The same network in
onnxruntime and PyTorch is measured by ``fastnn bench -k forward-f32-1x17``.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from fastnn.bench.worker import time_blocks

SIZES = (17, 64, 64, 6)
CALLS, REPEATS = 20_000, 30


def callers(folder: str) -> Any:
    """Build the extension module of tests/capi/callers.c."""
    from tests.capi.conftest import HERE, build

    path = build(Path(folder), "callers", HERE / "callers.c")
    spec = importlib.util.spec_from_file_location("callers", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(argv: list[str] | None = None) -> None:
    """Print nanoseconds of a call, and microseconds of a forward pass of a small network."""
    fastnn.set_num_threads(1)
    model = fastnn.nn.MLP(SIZES, rng=0)
    plan = model.freeze(64)
    with tempfile.TemporaryDirectory() as folder:
        time_calls = callers(folder).time_calls
        table, pointer, _ = (1e9 * taken for taken in time_calls(plan, 1, CALLS, REPEATS))
        print(f"softmax of 1 element: {table:.1f} ns by the table, {pointer:.1f} ns by a pointer")
        for rows in (1, 8, 64):
            x = np.random.default_rng(0).standard_normal((rows, SIZES[0])).astype(np.float32)
            times = {"plan in C": time_calls(plan, rows, CALLS // 10, REPEATS)[2]}
            times["plan(x)"] = min(time_blocks(lambda x=x: plan(x), REPEATS, 0.002))
            times["model(x)"] = min(time_blocks(lambda x=x: model(x), REPEATS, 0.002))
            shown = ", ".join(f"{name} {taken * 1e6:.2f} us" for name, taken in times.items())
            print(f"{'-'.join(map(str, SIZES))}, batch {rows}: {shown}")
