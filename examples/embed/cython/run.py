"""Pool ragged sets by attention in a Cython extension, and cimport every kernel once."""

import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from building import command, extension, needs  # noqa: E402

import fastnn  # noqa: E402

needs("Cython")


def cythonized(source, folder):
    made = Path(folder) / f"{source.stem}.c"
    command(sys.executable, "-m", "cython", "-3", str(source), "-o", str(made))
    return made


def all_kernels():
    """Return the source of a module that takes the address of every function in the table."""
    functions = fastnn.capi.functions()
    lines = [f"from fastnn.kernels.api cimport {name} as fn_{name}" for name in functions]
    pairs = ", ".join(f"{name!r}: <size_t><void*>fn_{name}" for name in functions)
    return "\n".join([*lines, f"addresses = {{{pairs}}}"]) + "\n"


with tempfile.TemporaryDirectory() as folder:
    with extension("sets", [cythonized(HERE / "sets.pyx", folder)]) as sets:
        rng = np.random.default_rng(0)
        starts = np.concatenate([[0], np.cumsum(rng.integers(0, 40, 200))]).astype(np.int64)
        x = rng.standard_normal((starts[-1], 32)).astype(np.float32)
        query, out = (
            rng.standard_normal(32).astype(np.float32),
            np.full((200, 32), np.nan, np.float32),
        )
        sets.pool(x, starts, query, out)
        for i in range(200):
            own = x[starts[i] : starts[i + 1]].astype(np.float64)
            weights = np.exp(own @ query / np.sqrt(32))
            want = weights @ own / weights.sum() if len(own) else np.zeros(32)
            np.testing.assert_allclose(out[i], want, atol=1e-5)
    every = Path(folder) / "every.pyx"
    every.write_text(all_kernels())
    with extension("every", [cythonized(every, folder)]) as module:
        assert module.addresses == {
            name: fastnn.capi.address(name) for name in fastnn.capi.functions()
        }
    count = len(re.findall("cimport", every.read_text()))
    print(f"cython: 200 sets pooled; {count} functions cimported")
