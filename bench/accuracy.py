"""Measure the worst error in ulp of the elementary functions and activations.

    python -m bench accuracy                  # all 2^32 float32 and 10^8 float64 inputs: 30 min
    python -m bench accuracy --inputs 1e6     # this many of each, spread over all bit patterns

``accuracy.c`` compiles the headers of the kernels for one instruction set and real type at a time
and compares with libm one precision up. Inputs are equally spaced bit patterns, so they include
every exponent, subnormals, infinities and NaN.
"""

from __future__ import annotations

import argparse
import ctypes
from pathlib import Path
from typing import Any

import fastnn
from fastnn.bench.machine import compile_c, compiler

__all__ = ["LIMITS", "compile_functions", "compiler", "worst_error"]
SOURCE = Path(__file__).with_name("accuracy.c")
NAMES = "exp exp2 one_minus_exp sigmoid tanh erf log log1p softplus gelu gelu_tanh silu"
FUNCTIONS = NAMES.split()  # as in accuracy.c
ISA_FLAGS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"],
}
# The flags of setup.py that affect results.
FLAGS = ["-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-Wno-psabi"]

# In ulp, over all inputs. gelu: in the tail exp, P, Q and their quotient each add an error.
LIMITS = {
    "float32": dict.fromkeys(FUNCTIONS, 2.0) | {"silu": 2.5, "gelu": 8.0, "gelu_tanh": 4.0},
    "float64": dict.fromkeys(FUNCTIONS, 4.0) | {"gelu": 10.0},
}


def compile_functions(isa: str, dtype: str) -> ctypes.CDLL:
    """Compile the functions for one instruction set and "float32" or "float64"."""
    isa = next(name for name in reversed(ISA_FLAGS) if isa.startswith(name))
    kernels = SOURCE.parent.parent / "src" / "fastnn" / "kernels"
    headers = [f"-I{kernels / folder}" for folder in ("simd", "rowwise", "../include")]
    macros = [f"-DFASTNN_ISA={isa}", f"-DFASTNN_REAL={dtype[-2:]}"]
    functions = compile_c(SOURCE, *FLAGS, *ISA_FLAGS[isa], *macros, *headers)
    pattern: Any = ctypes.c_uint32 if dtype == "float32" else ctypes.c_uint64
    functions.real = ctypes.c_float if dtype == "float32" else ctypes.c_double
    functions.worst_error.restype = ctypes.c_double
    where = ctypes.POINTER(functions.real)
    functions.worst_error.argtypes = [ctypes.c_int, pattern, pattern, ctypes.c_int64, where]
    return functions


def worst_error(functions: ctypes.CDLL, name: str, dtype: str, inputs: int) -> tuple[float, float]:
    """Return (worst error in ulp, its input) over `inputs` equally spaced bit patterns."""
    step = max(1, 2 ** int(dtype[-2:]) // inputs) | 1  # odd, so that the low bits vary
    where = functions.real(0)
    number = FUNCTIONS.index(name)
    error = functions.worst_error(number, 0, step, inputs, ctypes.byref(where))
    return error, where.value


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=float, help="number of inputs per function")
    parser.add_argument("--isa", choices=ISA_FLAGS, help="this instruction set alone")
    parser.add_argument("--dtype", choices=LIMITS, help="this real type alone")
    args = parser.parse_args(argv)
    failed = False
    for dtype in [args.dtype] if args.dtype else LIMITS:
        found = [isa for isa in fastnn.build_info()["isa_found"] if isa in ISA_FLAGS]
        for isa in [args.isa] if args.isa else found:
            functions = compile_functions(isa, dtype)
            if not functions.truth_is_wider():
                print(f"{dtype}: long double is no wider than double here, nothing to compare with")
                continue
            inputs = int(args.inputs or (2**32 if dtype == "float32" else 1e8))
            for name in FUNCTIONS:
                error, where = worst_error(functions, name, dtype, inputs)
                failed |= error > LIMITS[dtype][name]
                unit = "(1 + |argument|) ulp" if name == "gelu_tanh" else "ulp"
                print(f"{dtype} {isa:8} {name:13} {error:7.3f} {unit} at {where!r}", flush=True)
    return int(failed)
