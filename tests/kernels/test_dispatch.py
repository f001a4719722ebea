"""The choice of the instruction set, and what the build says of itself."""

import os
import subprocess
import sys

import pytest

import fastnn

INFO = fastnn.build_info()


def imported(**env):
    clean = {k: v for k, v in os.environ.items() if k != "FASTNN_ISA"}
    code = "import fastnn; print(fastnn.build_info()['isa'])"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_widest_is_chosen():
    assert imported().stdout.strip() == INFO["isa_found"][-1]
    assert imported(FASTNN_ISA="").stdout.strip() == INFO["isa_found"][-1]
    assert INFO["isa_found"] and set(INFO["isa_found"]) <= set(INFO["isa_compiled"])


@pytest.mark.parametrize("isa", INFO["isa_compiled"])
def test_each_can_be_forced_or_is_refused(isa):
    done = imported(FASTNN_ISA=isa)
    if isa in INFO["isa_found"]:
        assert done.stdout.strip() == isa
    else:
        assert done.returncode != 0
        assert f"FASTNN_ISA={isa} asks for more than this CPU has" in done.stderr


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
