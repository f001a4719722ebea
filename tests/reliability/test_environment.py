"""Invalid environment variables: the import works, or its error names the variable."""

import json
import os

import pytest

import fastnn
from fastnn.data import load_fashion_mnist

from . import common

NONSENSE = ["", " ", "0", "-1", "1", "2.5", "1e3", "nan", "inf", "9" * 40, "9" * 5000, "0x2", "²"]
NONSENSE += ["٣", "4,2", ",", "auto", "true", "avx2 ", "AVX2", "avx512", "a" * 5000, "%s%n", "\n"]
NONSENSE += ["../..", "/dev/null", "\udcff", "é", "$(id)", "baseline,avx2"]

PROGRAM = """
    import json, os, sys
    name, values = sys.argv[1], json.loads(sys.argv[2])
    import numpy as np  # once, in the parent of all
    for value in values:
        pid = os.fork()
        if pid == 0:
            os.environ[name] = value
            try:
                import fastnn
                a = np.ones((64, 64), np.float32)
                good = fastnn.get_num_threads() >= 1 and (fastnn.matmul(a, a) == 64).all()
            except ImportError as error:
                good = name in str(error) and (not value or value[:80] in str(error))
            except BaseException as error:
                print(name, repr(value[:40]), repr(error), flush=True)
                good = False
            os._exit(0 if good else 3)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code == 0, f"{name}={value[:40]!r} ended by {code}"
    print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "name",
    ["FASTNN_NUM_THREADS", "FASTNN_ISA", "FASTNN_CACHE_SIZES", "FASTNN_FMA_PER_CYCLE"],
)
def test_variables_read_by_fastnn(name):
    assert common.passes(PROGRAM, name, json.dumps(NONSENSE), timeout=120) == "ok"


@pytest.mark.parametrize("value", ["-1", "x", "1,1,1", "9" * 40])
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_STACKSIZE"])
def test_variables_read_by_openmp(name, value):
    """The OpenMP library reads them when it is loaded, so each needs a process."""
    if name == "OMP_STACKSIZE" and not fastnn.build_info()["openmp"]:
        pytest.skip("this build of fastnn has no OpenMP")
    program = """
        import fastnn, numpy as np
        a = np.ones((64, 64), np.float32)
        print(fastnn.get_num_threads() >= 1 and bool((fastnn.matmul(a, a) == 64).all()))
    """
    assert common.passes(program, **{name: value}) == "True"


@pytest.mark.parametrize(
    "value", ["", "relative", "/no/where", "/dev/null", "a" * 5000, "\udcff", "\n", "~"]
)
@pytest.mark.parametrize("name", ["FASTNN_DATA", "XDG_CACHE_HOME", "HOME"])
@common.posix
def test_folders_of_data(name, value, monkeypatch):
    """`load_fashion_mnist` finds no file, or cannot look there: one line of an OSError."""
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("fastnn.data.fashion_mnist.DEBIAN", common.ROOT / "absent")
    for other in {"FASTNN_DATA", "XDG_CACHE_HOME"} - {name}:
        monkeypatch.delenv(other, raising=False)
    with pytest.raises(OSError) as caught:
        load_fashion_mnist(download=False)
    assert "\n" not in str(caught.value).replace(value, "")
