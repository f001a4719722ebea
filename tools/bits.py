"""Hash the results of kernels, layers, training runs and decode, to find changed bits.

    python tools/bits.py > old.json                       hashes by the fastnn that Python finds
    PYTHONPATH=src FASTNN_ISA=avx2 python tools/bits.py > new.json
    python tools/bits.py --compare old.json new.json      what differs; status 1 if any does

Every number comes from a fixed seed, so two versions of fastnn on one machine with one instruction
set give the same file unless a result has changed. All NaNs are equal, whatever their payload. A
case in one file only is listed separately and is not a difference; a case that raises is recorded
by the exception's name. The cases are in bits_kernels.py, bits_pointers.py and bits_layers.py.
"""

import argparse
import itertools
import json
import sys
import zlib
from hashlib import blake2b

import bits_kernels
import bits_layers
import bits_pointers
import numpy as np

import fastnn
from fastnn import kernels as fk

DTYPES = {"f32": np.float32, "f64": np.float64}
GROUPS = (*bits_kernels.GROUPS, *bits_pointers.GROUPS, *bits_layers.GROUPS)


class Data:
    """The random arrays of one case."""

    def __init__(self, name, dtype):
        self.rng, self.dtype = np.random.default_rng(zlib.crc32(name.encode())), dtype

    def __call__(self, *shape, scale=1.0):
        return (self.rng.standard_normal(shape) * scale).astype(self.dtype)

    def ids(self, stop, *shape):
        return self.rng.integers(0, stop, shape)

    def strided(self, *shape):
        """Return every second column of every third row, in reverse order."""
        wide = [*shape[:-2], 3 * shape[-2] + 1, 2 * shape[-1] + 1]
        return self(*wide)[..., 1:, 1:][..., ::3, ::2][..., ::-1, :]


def feed(digest, value):
    """Add a result to a digest: arrays by type, shape and bytes; everything else by its repr."""
    if isinstance(value, (tuple, list)):
        digest.update(f"{len(value)}(".encode())
        for part in value:
            feed(digest, part)
    elif isinstance(value, (np.ndarray, np.generic, float)):
        array = np.array(value)
        if array.dtype.kind == "f":
            array[np.isnan(array)] = np.nan
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    else:
        digest.update(repr(value).encode())


def hashed(value):
    digest = blake2b(digest_size=8)
    feed(digest, value)
    return digest.hexdigest()


def measure():
    """Return name -> hash of every case in both real types."""
    result = {}
    for group in GROUPS:
        for (name, function), (suffix, dtype) in itertools.product(group(), DTYPES.items()):
            with np.errstate(all="ignore"):
                try:
                    result[f"{name} {suffix}"] = hashed(function(Data(name, dtype)))
                except Exception as error:
                    print(f"{name} {suffix}: {type(error).__name__}: {error}", file=sys.stderr)
                    result[f"{name} {suffix}"] = f"raised {type(error).__name__}"
    return result


def compare(old, new):
    """Return the lines of a comparison, and True if any case differs."""
    different = [name for name in old if name in new and old[name] != new[name]]
    lines = [f"differs: {name}: {old[name]} {new[name]}" for name in different]
    lines += [f"only in the first: {name}" for name in old if name not in new]
    lines += [f"only in the second: {name}" for name in new if name not in old]
    return [*lines, f"{len(different)} of {len(old)} cases differ"], bool(different)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"), help="two JSON files")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.compare:
        files = []
        for path in options.compare:
            with open(path, encoding="utf-8") as file:
                files.append(json.load(file))
        lines, differ = compare(*files)
        print("\n".join(lines))
        sys.exit(differ)
    fastnn.set_num_threads(options.threads)
    print(fastnn.__file__, fk.build_info()["isa"], file=sys.stderr)
    print(json.dumps(measure(), indent=1))


if __name__ == "__main__":
    main()
