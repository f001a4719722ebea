"""Folders of language models for text: the model, its tokenizer, special tokens, chat template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import DTypeLike

from ..checks import check_count, value_of
from ..files.atomic import PathLike, errors_named
from ..files.gguf import read_gguf
from ..files.tensors import ModelFileError
from .folders import CONFIG, read_json
from .gguf_tokenizer import tokenizer_of
from .language_model import TransformerLM
from .load import GGUF, errors_of, load
from .sentence_files import TOKENIZER, read_tokenizer

SETTINGS, GENERATION, TEMPLATE = (
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
)
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


def read(folder: PathLike, dtype: DTypeLike) -> tuple[TransformerLM, Any, dict[str, Any]]:
    """Return the model, the tokenizer and the options of `TextModel`.

    Raises
    ------
    ModelFileError, OSError, ModuleNotFoundError
        As `load`; or a file beside the weights is damaged, or the tokenizer is missing.
    """
    path = Path(folder)
    if path.suffix == GGUF and path.is_file():
        return _read_gguf(path, dtype)
    model = load(path, dtype=dtype)
    if not isinstance(model, TransformerLM):
        raise ModelFileError(f"{path} holds a {type(model).__name__}, which generates no text")
    tokenizer = read_tokenizer(path / TOKENIZER, model)
    settings = _object(path / SETTINGS)
    with errors_of(path / SETTINGS):
        special = {key: text for key in _SPECIAL if (text := _text(settings.get(key))) is not None}
        template = _template(settings.get("chat_template"))
    if (path / TEMPLATE).is_file():
        with errors_of(path / TEMPLATE), errors_named(path / TEMPLATE):
            template = (path / TEMPLATE).read_text("utf-8")
    stop = _stop(path)
    if (eos := tokenizer.token_to_id(special.get("eos_token", ""))) is not None:
        stop.add(eos)
    return model, tokenizer, {"template": template, "special": special, "stop": stop}


def _read_gguf(path: Path, dtype: DTypeLike) -> tuple[TransformerLM, Any, dict[str, Any]]:
    model = load(path, dtype=dtype)
    assert isinstance(model, TransformerLM)  # the architectures of `gguf` are decoders
    with errors_of(path):
        try:
            tokenizer, options = tokenizer_of(read_gguf(path).metadata)
        except (ModuleNotFoundError, MemoryError, ValueError):
            raise
        except Exception as error:  # the library raises Exception itself
            raise ValueError(f"its tokenizer is damaged: {error}") from error
        if tokenizer.get_vocab_size() > model.vocab_size:
            raise ValueError(
                f"its tokenizer has {tokenizer.get_vocab_size()} tokens, but the model has "
                f"vectors for {model.vocab_size}"
            )
    return model, tokenizer, options


def _object(path: Path) -> Mapping[str, Any]:
    """Return the content of a JSON file; nothing if there is no such file."""
    values = read_json(path) if path.is_file() else {}
    if not isinstance(values, Mapping):
        raise ModelFileError(f"{path} must be an object")
    return values


def _text(value: Any) -> str | None:
    """Return the text of a special token, which may be an object with its content."""
    if isinstance(value, Mapping):
        value = value.get("content")
    if value is not None and not isinstance(value, str):
        raise ValueError(f"a special token must be a text, got {value_of(value)}")
    return value


def _template(value: Any) -> str | None:
    """Return a chat template; of several, the one named "default"."""
    if isinstance(value, list):
        named = {one.get("name"): one.get("template") for one in value if isinstance(one, Mapping)}
        value = named.get("default")
    if value is not None and not isinstance(value, str):
        raise ValueError(f"chat_template must be a text, got {value_of(value)}")
    return value


def _stop(path: Path) -> set[int]:
    """Return the tokens that end a text, of the generation's config, else of the model's."""
    for where in (path / GENERATION, path / CONFIG):
        found = _object(where).get("eos_token_id")
        if found is not None:
            with errors_of(where):
                ids = found if isinstance(found, list) else [found]
                return {check_count("eos_token_id", one, low=0) for one in ids}
    return set()
