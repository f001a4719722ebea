"""Write golden.npz: ``python -m tests.models.make_golden``; needs PyTorch and fastnn."""

from pathlib import Path

import numpy as np

from .torch_cases import CASES, GOLDEN, packed, run


def main() -> None:
    arrays = {}
    for name in GOLDEN:
        arrays[name], arrays[f"{name}:names"] = packed(run(*CASES[name]))
    path = Path(__file__).with_name("golden.npz")
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
