"""Flush-to-zero, set by another library: the threads of a team that start later inherit it.

fastnn neither sets nor reads the mode (docs/embedding.md#threads).
"""

import subprocess
import sys
import sysconfig

import pytest

from ..capi.conftest import compiler, run

SOURCE = """
#include <xmmintrin.h>
unsigned get_mode(void) { return _mm_getcsr(); }
void set_mode(unsigned mode) { _mm_setcsr(mode); }
"""
PROGRAM = """
import ctypes, sys
import numpy as np
import fastnn
mode = ctypes.CDLL(sys.argv[1])
mode.get_mode.restype = ctypes.c_uint
mode.set_mode.argtypes = [ctypes.c_uint]
before = mode.get_mode()
flushed = before | 0x8040  # FTZ and DAZ
x = np.full((1000, 1000), 1e-39, np.float32)
w = np.full((1000, 1000), 1e-3, np.float32)
found = {}
for name, value in (("flushed", flushed), ("gradual", before)):
    if name not in sys.argv[2:]:
        continue
    mode.set_mode(value)
    for threads in (1, 2, 3):
        with fastnn.num_threads(threads):
            y = fastnn.matmul(x, w), fastnn.relu(x), fastnn.softmax(x), fastnn.layer_norm(x)
            found.setdefault(name, set()).add(b"".join(a.tobytes() for a in y))
        assert mode.get_mode() & 0xFFC0 == value & 0xFFC0, "the caller's mode has changed"
    mode.set_mode(before)
print({name: len(bits) for name, bits in found.items()})
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if sysconfig.get_platform() != "linux-x86_64":
        pytest.skip("reads MXCSR on Linux")
    folder = tmp_path_factory.mktemp("mode")
    (folder / "mode.c").write_text(SOURCE)
    path = folder / "mode.so"
    run([*compiler(), "-O1", "-fPIC", "-shared", str(folder / "mode.c"), "-o", str(path)])
    return path


@pytest.mark.parametrize("mode", ["flushed", "gradual"])
def test_a_mode_set_before_the_first_kernel_holds_for_every_thread(library, mode):
    command = [sys.executable, "-c", PROGRAM, str(library), mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{{'{mode}': 1}}"
