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
from statistics import median

import fastnn
from fastnn.bench.cases import case_named
from fastnn.bench.libraries import prepares
from fastnn.bench.worker import time_blocks

ROUNDS, SECONDS = 7, 0.01

# row -> kernel of `fastnn bench`, shapes, layout
ROWS: dict[str, tuple[str, ...]] = {
    "gemm-grain": ("matmul", "81x81x81 91x91x91 96x96x96 112x112x112"),
    "gemm-split-k": ("matmul", "10x1500x32 10x4096x32"),
    "gemm-tail": ("matmul", "100x100x100 128x100x132"),
    "gemm-pack": ("matmul", "16x768x768 512x512x512 2048x2048x2048"),
    "gemm-pack-transposed": ("matmul", "512x512x512 2048x1536x384", "tn"),
    "gemm-blocks": ("matmul", "1024x1024x1024 2048x2048x2048"),
    "gemm-packed-blocks": ("matmul_prepacked", "256x784x1024 256x1024x1024"),
    "gemm-columns": ("matmul", "256x1024x1024 32x784x1024"),
    "gemv-grain": ("matmul", "1x128x512 1x128x1024 1x256x1024"),
    "gemv-columns": ("matmul", "1x256x256 1x768x768 4x768x768 5x768x768 1x512x30000", "nt"),
    "packed-grain": ("matmul_prepacked", "4x256x256 4x784x256 4x1024x1024"),
    "activation-grain": ("relu", "32768 65536 131072"),
    "activation-exp-grain": ("gelu", "8192 16384 32768"),
    "stream": ("relu", "1048576 2097152 4194304"),
    "softmax-grain": ("softmax", "8x1024 16x1024 64x1024"),
    "softmax-rows": ("softmax", "64x64 2048x128 2048x160"),
    "softmax-stream": ("softmax", "4096x1024 8192x1024"),
    "softmax-backward-stream": ("softmax_backward", "1024x1024 4096x1024"),
    "norm-grain": ("layer_norm", "8x1024 16x1024 64x1024"),
    "norm-stream": ("layer_norm", "512x1024 1024x1024 2048x1024"),
    "frobenius-grain": ("norm", "65536 131072 262144"),
    "update-grain": ("adam", "16384 32768 65536"),
    "attention-keys": ("attention", "1x12x1024x64"),
    "attention-decode-grain": ("attention_decode", "1x6x128x64 1x6x249x64"),
    "attention-decode": ("attention_decode", "1x6x512x64x4 1x6x512x64x5"),
    "recycled": ("call_relu", "4095 4097"),
}


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
        kernel, shapes, *layout = ROWS[row]
        for shape in shapes.split():
            case = case_named("-".join([kernel, "f32", shape, *layout]))
            call, times = prepares("fastnn")[kernel](case.inputs(0)), []
            for threads in (1, everybody):
                with fastnn.num_threads(threads):
                    times.append(median(time_blocks(call, ROUNDS, SECONDS)) * 1e6)
            print(f"  {case.name:40}" + "".join(f"{time:12.2f}" for time in times))
