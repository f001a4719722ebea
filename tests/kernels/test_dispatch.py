"""The choice of the instruction set, and the report of the build."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

from ..capi.conftest import compiler, run

INFO = fastnn.build_info()


def imported(code="import fastnn; print(fastnn.build_info()['isa'])", **env):
    clean = {k: v for k, v in os.environ.items() if k != "FASTNN_ISA"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_widest_that_pays_is_chosen():
    slow = fastnn.kernels.ground.dispatch.isa_slow
    chosen = [isa for isa in INFO["isa_found"] if isa not in slow][-1]
    assert imported().stdout.strip() == chosen
    assert imported(FASTNN_ISA="").stdout.strip() == chosen
    assert set(slow) <= {"avx512bf16"} & set(INFO["isa_found"])
    assert INFO["isa_found"] and set(INFO["isa_found"]) <= set(INFO["isa_compiled"])


@pytest.mark.parametrize("isa", INFO["isa_compiled"])
def test_each_can_be_forced_or_is_refused(isa):
    done = imported(FASTNN_ISA=isa)
    if isa in INFO["isa_found"]:
        assert done.stdout.strip() == isa
    else:
        assert done.returncode != 0
        assert f"FASTNN_ISA={isa} asks for more than this CPU has" in done.stderr


def test_sets_with_the_same_floats_have_the_same_bits():
    code = (
        "import zlib, numpy as np, fastnn; found = []\n"
        "for x in [np.random.default_rng(0).standard_normal((40, 700)).astype(t) for t in 'fd']:\n"
        "    found += [fastnn.matmul(x, x.T), fastnn.softmax(x), fastnn.gelu(x)]\n"
        "    found.append(fastnn.matmul(x, fastnn.pack(x.T)))\n"
        "print(fastnn.build_info()['isa_float'], *[zlib.crc32(y.tobytes()) for y in found])"
    )
    bits = {}
    for isa in INFO["isa_found"]:
        name, *found = imported(code, FASTNN_ISA=isa).stdout.split()
        assert isa.startswith(name) and len(found) == 8
        bits.setdefault(name, set()).add(tuple(found))
    assert all(len(found) == 1 for found in bits.values())


def test_unknown_instruction_set():
    done = imported(FASTNN_ISA="avx1024")
    assert done.returncode != 0
    assert (
        "ImportError: FASTNN_ISA=avx1024 is not an instruction set of this build of fastnn"
        in done.stderr
    )


def test_refusal_of_more_than_the_cpu_has(monkeypatch):
    from fastnn.kernels.ground import dispatch

    monkeypatch.setattr(dispatch, "isa_found", ("baseline",))
    monkeypatch.setattr(dispatch, "isa_compiled", ("baseline", "avx512"))
    with pytest.raises(
        ImportError, match="FASTNN_ISA=avx512 asks for more than this CPU has: baseline"
    ):
        dispatch._choose("avx512")
    assert dispatch._choose("") == 0


def test_build_info():
    assert INFO["version"] == fastnn.__version__
    assert not any(flag in INFO["cflags"] for flag in ("fast-math", "Ofast", "unsafe-math"))
    assert "-fno-math-errno" in INFO["cflags"]
    assert INFO["compiler"].split()[0] in ("gcc", "clang")
    rows, columns = INFO["tile_f32"]
    assert rows > 0 and columns > 0


# Two sets: "baseline" has all entries, "extra" has one primitive and one size.
SETS = r"""
#include <stdio.h>
#define FASTNN_SETS SET(baseline) SET(extra)
#define HAS_extra 1
#include "dispatch.h"

static int old_way(int64_t n, const float *x) { return (void)n, (void)x, 1; }
static int new_way(int64_t n, const float *x) { return (void)n, (void)x, 2; }
static float largest(int64_t m, int64_t n, const float *x, int64_t ld) { return m + n + ld + !x; }
const struct fastnn_leaves_f32 fastnn_leaves_baseline_f32 = {
    .mr = 4, .nr = 8, .all_finite = old_way, .max_abs_block = largest};
const struct fastnn_leaves_f64 fastnn_leaves_baseline_f64 = {.mr = 2};
const struct fastnn_leaves_f32 fastnn_leaves_extra_f32 = {.nr = 16, .all_finite = new_way};
const struct fastnn_leaves_f64 fastnn_leaves_extra_f64 = {.mr = 0};

int main(void) {
    struct fastnn_leaves_f32 f32 = {0};
    struct fastnn_leaves_f64 f64 = {0};
    for (int i = 0; i < FASTNN_SET_COUNT; i++) {
        fastnn_inherit_f32(&f32, fastnn_sets[i].f32);
        fastnn_inherit_f64(&f64, fastnn_sets[i].f64);
        printf("%s %d %d %d %d %d\n", fastnn_sets[i].name, (int)f32.mr, (int)f32.nr,
               f32.all_finite(0, NULL), f32.max_abs_block == largest, (int)f64.mr);
    }
    return 0;
}
"""


def test_a_set_inherits_what_it_leaves_empty(tmp_path):
    source = Path(__file__).parents[2] / "src" / "fastnn"
    if not source.exists():
        pytest.skip("needs the sources")
    (tmp_path / "sets.c").write_text(SETS)
    folders = [f"-I{source / 'kernels' / 'simd'}", f"-I{source / 'include'}"]
    program = tmp_path / "sets"
    run([*compiler(), *folders, str(tmp_path / "sets.c"), "-o", str(program)])
    assert run([str(program)]).split("\n")[:2] == ["baseline 4 8 1 1 2", "extra 4 16 2 1 2"]
