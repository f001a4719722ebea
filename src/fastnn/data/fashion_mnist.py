"""Fashion-MNIST: 70,000 pictures of clothes, from a folder of this computer or from its address."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import check_choice, check_dtype
from .download import download as fetch
from .idx import IdxError, PathLike, read_idx

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

# The address and the checksums are those of the table in the data set's README.
ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist

_PREFIXES = {"train": ("train",), "test": ("t10k",), None: ("train", "t10k")}
_SIDE = 28
_WHITE = 255


def load_fashion_mnist(
    root: PathLike | None = None,
    *,
    split: Literal["train", "test"] | None = None,
    dtype: DTypeLike = np.float32,
    download: bool = True,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """70,000 grey pictures of clothes, 28 x 28 pixels, in ten classes (`FASHION_MNIST_CLASSES`).

    The IDX files, compressed by gzip or not, are looked for in `root`, where one is given, and else
    in the folder that the environment variable FASTNN_DATA names, in its subfolder "fashion-mnist",
    in that of Debian's package dataset-fashion-mnist, and among the user's cached files
    ($XDG_CACHE_HOME/fastnn/fashion-mnist, by default in ~/.cache). If no folder has them, they are
    downloaded (31 MB) from the data set's own address into `root`, else into FASTNN_DATA, else
    among the cached files; each is checked against the published MD5 checksum.

    Parameters
    ----------
    root : path-like, optional
        The folder of the files.
    split : {None, "train", "test"}
        The 60,000 pictures to learn from, the 10,000 held out, or the one after the other.
    dtype : float32 or float64
    download : bool
        Whether missing files may be downloaded.

    Returns
    -------
    x : ndarray (n, 784)
        0 (black background) to 1, row by row; `x.reshape(-1, 28, 28)` are the pictures.
    y : ndarray (n,) of int64
        The class, 0 to 9.

    Raises
    ------
    ValueError
        Another split.
    TypeError
        Another dtype.
    FileNotFoundError
        No folder has the files, and they may not be downloaded; the message names the folders.
    DownloadError
        The download failed.
    IdxError
        A file is damaged, or holds something else.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", arXiv:1708.07747, 2017. MIT licence.
    """
    check_choice("split", split, (None, "train", "test"))
    dtype = check_dtype(dtype)
    prefixes = _PREFIXES[split]
    names = [name for name in MD5 if name.startswith(prefixes)]
    paths = _find(names, root, download)
    images = [_images(path) for path in paths[::2]]
    labels = [_labels(path, len(x)) for path, x in zip(paths[1::2], images, strict=True)]
    x = np.concatenate(images, dtype=dtype)  # the only large array that is made
    x /= dtype.type(_WHITE)
    return x, np.concatenate(labels, dtype=np.int64)


def _find(names: list[str], root: PathLike | None, may_download: bool) -> list[Path]:
    """The paths of all files called `names`, from the first folder that has them."""
    folders, target = _folders(root)
    for folder in folders:
        paths = list(_present(names, folder))
        if len(paths) == len(names):
            return paths
    if not may_download:
        places = ", ".join(map(str, folders))
        raise FileNotFoundError(f"no Fashion-MNIST ({names[0]}, ...) in any of: {places}")
    for name in names:
        if not list(_present([name], target)):
            fetch(ADDRESS + name, target / name, MD5[name])
    return list(_present(names, target))


def _present(names: Iterable[str], folder: Path) -> Iterable[Path]:
    """For each of the compressed names the file there, itself or uncompressed."""
    for name in names:
        for path in (folder / name, folder / name.removesuffix(".gz")):
            if path.is_file():
                yield path
                break


def _folders(root: PathLike | None) -> tuple[list[Path], Path]:
    """Where to look, in order, and where to put what is downloaded."""
    if root is not None:
        return [Path(root)], Path(root)
    cached = _cached()
    data = os.environ.get("FASTNN_DATA")
    if data:
        named = Path(data) / "fashion-mnist"
        return [Path(data), named, DEBIAN, *cached], named
    if not cached:
        raise FileNotFoundError("no home folder for Fashion-MNIST: set FASTNN_DATA, or give root")
    return [DEBIAN, *cached], cached[0]


def _cached() -> list[Path]:
    """The folder among the user's cached files, or none for a user without a home folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return [(Path(cache) if cache else Path.home() / ".cache") / "fastnn" / "fashion-mnist"]
    except RuntimeError:
        return []


def _images(path: Path) -> NDArray[np.uint8]:
    """(n, 784) of uint8."""
    images = read_idx(path)
    if images.dtype != np.uint8 or images.shape[1:] != (_SIDE, _SIDE):
        raise IdxError(
            f"{path}: {images.dtype} {images.shape} where pictures should be, "
            f"uint8 (n, {_SIDE}, {_SIDE})"
        )
    return images.reshape(len(images), _SIDE * _SIDE)


def _labels(path: Path, n: int) -> NDArray[np.uint8]:
    """(n,) of uint8, each the number of a class."""
    labels = read_idx(path)
    if labels.dtype != np.uint8 or labels.shape != (n,):
        raise IdxError(
            f"{path}: {labels.dtype} {labels.shape} where the labels of {n} pictures should be"
        )
    if n and labels.max() >= len(FASHION_MNIST_CLASSES):
        row = int(labels.argmax())
        raise IdxError(f"{path}: label {labels[row]} of picture {row} is none of 0 to 9")
    return labels
