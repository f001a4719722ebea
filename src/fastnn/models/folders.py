"""Folders of published models: config.json next to safetensors files."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from ..files.atomic import errors_named
from ..files.tensors import ModelFileError
from ..json_text import parse_json

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
LONGEST_NAME = 255  # bytes, on Linux and macOS


def weight_files(source: str | os.PathLike[str]) -> list[Path]:
    """Return the safetensors files of a folder, or the file itself.

    Raises
    ------
    ModelFileError
        The folder has no safetensors file, or its index is damaged.
    """
    path = Path(source)
    if not path.is_dir():
        return [path]
    if (path / WEIGHTS).exists():
        return [path / WEIGHTS]
    if not (path / INDEX).exists():
        raise ModelFileError(
            f"{path} has neither {WEIGHTS} nor {INDEX}: save the weights as safetensors first "
            "(pickles such as pytorch_model.bin are not opened)"
        )
    index = read_json(path / INDEX)
    parts = index.get("weight_map") if isinstance(index, dict) else None
    names = list(parts.values()) if isinstance(parts, dict) and parts else [""]
    if not all(is_inside(name) and Path(name).name == name for name in names):
        raise ModelFileError(f"{path / INDEX}: its weight_map does not name files of the folder")
    return [path / name for name in sorted(set(names))]


def is_inside(name: object) -> bool:
    """True if a name that stands in a file can be that of a file or folder below the file's own."""
    if not isinstance(name, str) or not name or not name.isprintable():
        return False
    path = PurePosixPath(name)
    fits = all(len(part.encode()) <= LONGEST_NAME for part in path.parts) and len(name) <= 1000
    return fits and not path.is_absolute() and ".." not in path.parts


def config_beside(source: str | os.PathLike[str]) -> tuple[Path | None, Any]:
    """Return path and content of the config.json in a folder or next to a file; else None and {}.

    Raises
    ------
    ModelFileError
        The file is not JSON.
    """
    path = Path(source)
    config = (path if path.is_dir() else path.parent) / CONFIG
    return (config, read_json(config)) if config.is_file() else (None, {})


def read_json(path: Path) -> Any:
    """Return the values of a JSON file; raise ModelFileError if it is damaged."""
    try:
        with errors_named(path):
            return parse_json(path.read_text("utf-8"))
    except ValueError as error:  # not UTF-8, not JSON
        raise ModelFileError(f"{path} is not JSON, or damaged: {error}") from error
