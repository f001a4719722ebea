"""Give thinc a CBlas made of fastnn's functions, and run a layer with it and with thinc's own."""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from building import command, extension, needs  # noqa: E402

needs("Cython", "thinc")

from thinc.backends.cblas import CBlas  # noqa: E402

with tempfile.TemporaryDirectory() as folder:
    source = Path(folder) / "adapter.cpp"
    command(
        *(sys.executable, "-m", "cython", "-3", "--cplus", str(HERE / "adapter.pyx")),
        *("-o", str(source)),
    )
    with extension("adapter", [source], compiler="c++") as adapter:
        rng = np.random.default_rng(0)
        x, w, b = (
            rng.standard_normal(shape).astype(np.float32) for shape in ((50, 96), (64, 96), 64)
        )
        ours, theirs = (np.full((50, 64), np.nan, np.float32) for _ in range(2))
        adapter.layer(adapter.fastnn_blas(), x, w, b, ours)
        adapter.layer(CBlas(), x, w, b, theirs)
        want = (x.astype(np.float64) @ w.T + b) / 2
        np.testing.assert_allclose(ours, want, atol=1e-4)
        np.testing.assert_allclose(theirs, want, atol=1e-4)
print("thinc_blas: thinc's gemm, axpy and scal are fastnn's")
