"""Load Fashion-MNIST, 70,000 images of clothes, from a folder or by download."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import check_choice, check_dtype
from ..files.atomic import PathLike
from ..keywords import explained
from .download import download as fetch
from .idx import IdxError, read_idx

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

# URL and checksums from the table in the data set's README.
ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # from Debian's package dataset-fashion-mnist

_PREFIXES = {"train": ("train",), "test": ("t10k",), None: ("train", "t10k")}
_SIDE = 28
_WHITE = 255


@explained
def load_fashion_mnist(
    root: PathLike | None = None,
    *,
    split: Literal["train", "test"] | None = None,
    dtype: DTypeLike = np.float32,
    download: bool = True,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Load 70,000 grayscale images of clothes, 28 x 28 pixels, in ten classes.

    `FASHION_MNIST_CLASSES` has the names of the classes. The IDX files, compressed by gzip or not,
    are searched for in `root` if it is given. Otherwise the folders are, in order: the one named by
    the environment variable FASTNN_DATA, its subfolder "fashion-mnist", the folder of Debian's
    package dataset-fashion-mnist, and the cache ($XDG_CACHE_HOME/fastnn/fashion-mnist, by default
    in ~/.cache). If no folder has them, they are downloaded (31 MB) from the data set's URL to
    `root`, else to the subfolder of FASTNN_DATA, else to the cache, and checked against the
    published MD5 checksums.

    Parameters
    ----------
    root : path-like, optional
        The folder of the files.
    split : {None, "train", "test"}
        All images, the 60,000 training images, or the 10,000 test images.
    dtype : float32 or float64
    download : bool
        True if missing files may be downloaded.

    Returns
    -------
    x : ndarray (n, 784)
        0 (black background) to 1, row by row; `x.reshape(-1, 28, 28)` are the images.
    y : ndarray (n,) of int64
        The class, 0 to 9.

    Raises
    ------
    ValueError
        `split` is none of these.
    TypeError
        `dtype` is none of these.
    FileNotFoundError
        No folder has the files, and they may not be downloaded; the message names the folders.
    DownloadError
        The download failed.
    IdxError
        A file is damaged or has other content.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", arXiv:1708.07747, 2017. MIT license.

    Examples
    --------
    >>> try:
    ...     fastnn.data.load_fashion_mnist("no-such-folder", download=False)
    ... except FileNotFoundError:
    ...     print("download it first")
    download it first
    """
    check_choice("split", split, (None, "train", "test"))
    dtype = check_dtype(dtype)
    prefixes = _PREFIXES[split]
    names = [name for name in MD5 if name.startswith(prefixes)]
    paths = _find(names, root, download)
    images = [_images(path) for path in paths[::2]]
    labels = [_labels(path, len(x)) for path, x in zip(paths[1::2], images, strict=True)]
    x = np.concatenate(images, dtype=dtype)  # the only large array
    x /= dtype.type(_WHITE)
    return x, np.concatenate(labels, dtype=np.int64)


def _find(names: list[str], root: PathLike | None, may_download: bool) -> list[Path]:
    """Return the paths of the files `names` in the first folder that has them all."""
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
    """Return the file for each compressed name, compressed or not."""
    for name in names:
        for path in (folder / name, folder / name.removesuffix(".gz")):
            if path.is_file():
                yield path
                break


def _folders(root: PathLike | None) -> tuple[list[Path], Path]:
    """Return the folders to search, in order, and the one to download to."""
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
    """Return images (n, 784) of uint8."""
    images = read_idx(path)
    if images.dtype != np.uint8 or images.shape[1:] != (_SIDE, _SIDE):
        raise IdxError(
            f"{path}: {images.dtype} {images.shape} where pictures should be, "
            f"uint8 (n, {_SIDE}, {_SIDE})"
        )
    return images.reshape(len(images), _SIDE * _SIDE)


def _labels(path: Path, n: int) -> NDArray[np.uint8]:
    """Return labels (n,) of uint8."""
    labels = read_idx(path)
    if labels.dtype != np.uint8 or labels.shape != (n,):
        raise IdxError(
            f"{path}: {labels.dtype} {labels.shape} where the labels of {n} pictures should be"
        )
    if n and labels.max() >= len(FASHION_MNIST_CLASSES):
        row = int(labels.argmax())
        raise IdxError(f"{path}: label {labels[row]} of picture {row} is not from 0 to 9")
    return labels
