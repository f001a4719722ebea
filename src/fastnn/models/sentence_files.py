"""Folders of sentence-transformers: modules.json, the pooling, prompts and tokenizer.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import DTypeLike

from ..checks import check_choice, check_count, check_flag, value_of
from ..files.atomic import PathLike, errors_named, write_atomically
from ..files.tensors import MESSAGE, ModelFileError
from ..json_text import compose_json
from .encoder import TransformerEncoderModel
from .folders import is_inside, read_json
from .language_model import TransformerLM
from .load import errors_of, load, save

TOKENIZER, MODULES, POOLING = "tokenizer.json", "modules.json", "1_Pooling"
PROMPTS = "config_sentence_transformers.json"
SIZES = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_xlnet_config.json")
# What transformers reads besides tokenizer.json, and `save` writes back.
BESIDE = ("tokenizer_config.json", "special_tokens_map.json")
_KNOWN = ("Transformer", "Pooling", "Normalize")
_POOLINGS = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_FLAGS = {  # of older versions; True for the way that is used
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}


def read(folder: PathLike, dtype: DTypeLike) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """Return the model, the tokenizer, the options of `SentenceEncoder`, and files to keep."""
    path = Path(folder)
    modules = _modules(path)
    inner = modules["Transformer"]
    model = load(inner, dtype=dtype)
    if not isinstance(model, TransformerEncoderModel):
        raise ModelFileError(f"{inner} holds a {type(model).__name__}, which is not an encoder")
    tokenizer = read_tokenizer(inner / TOKENIZER, model)
    beside = {name: read_json(inner / name) for name in BESIDE if (inner / name).is_file()}
    options: dict[str, Any] = {"normalize": "Normalize" in modules}
    options |= _sizes(inner, beside.get(BESIDE[0], {})) | _prompts(path / PROMPTS)
    if "Pooling" in modules:
        where = modules["Pooling"] / "config.json"
        with errors_of(where):
            options["pooling"] = _pooling(read_json(where))
    return model, tokenizer, options, beside


def write(encoder: Any, folder: PathLike, weights: str | None) -> None:
    """Write everything that `read` reads."""
    path = Path(folder)
    save(encoder.model, path, weights=weights)
    kinds = ("Transformer", "Pooling", "Normalize")[: 2 + encoder.normalize]
    paths = ("", POOLING, "2_Normalize")
    modules = [
        {"idx": i, "name": str(i), "path": paths[i], "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    pooling = {flag: ours == encoder.pooling for flag, ours in _FLAGS.items()}
    (path / POOLING).mkdir(exist_ok=True)
    files = {
        MODULES: modules,
        f"{POOLING}/config.json": {"word_embedding_dimension": encoder.dim, **pooling},
        SIZES[0]: {"max_seq_length": encoder.max_len, "do_lower_case": encoder.lowercase},
        PROMPTS: {"prompts": encoder.prompts, "default_prompt_name": encoder.default_prompt},
        **encoder.beside,
    }
    for name, values in files.items():
        write_atomically(path / name, compose_json(values).encode())
    write_atomically(path / TOKENIZER, encoder.tokenizer.to_str().encode())


def _modules(folder: Path) -> dict[str, Path]:
    """Return kind -> folder of each module; without modules.json the folder is a Transformer."""
    where = folder / MODULES
    if not where.is_file():
        return {"Transformer": folder}
    found: dict[str, Path] = {}
    with errors_of(where):
        for module in _list(read_json(where)):
            kind = str(module.get("type")).rpartition(".")[2]
            if kind not in _KNOWN or kind in found:
                raise ValueError(
                    f"its module {len(found)} is {value_of(module.get('type'))}; supported are "
                    f"{', '.join(_KNOWN)}, each once"
                )
            name: Any = module.get("path")
            if name != "" and not is_inside(name):  # "": the folder itself
                raise ValueError(f"{name!r:.200} is no folder in it")
            found[kind] = folder / name
        if list(found) != [kind for kind in _KNOWN if kind in found] or "Transformer" not in found:
            raise ValueError(f"modules {list(found)} are not in the order {', '.join(_KNOWN)}")
    return found


def _list(values: Any) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(x, dict) for x in values):
        raise ValueError("it must be a list of objects")
    return values


def _object(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError("it must be an object")
    return values


def _pooling(values: Any) -> str:
    values = _object(values)
    if not check_flag("include_prompt", values.get("include_prompt", True)):
        raise ValueError("include_prompt is False, which is not supported: only True is")
    mode = values.get("pooling_mode")
    if mode is not None:
        return _POOLINGS[check_choice("pooling_mode", mode, _POOLINGS)]
    flags = [key for key in values if key.startswith("pooling_mode_") and values[key] is True]
    if len(flags) != 1 or flags[0] not in _FLAGS:
        raise ValueError(f"the pooling is {flags!r:.200}, supported is one of {list(_FLAGS)}")
    return _FLAGS[flags[0]]


def _sizes(inner: Path, tokenizer: Any) -> dict[str, Any]:
    """Return the tokens of a text that count, and whether it is lowercased."""
    where = next((inner / name for name in SIZES if (inner / name).is_file()), None)
    with errors_of(where or inner):
        values = {} if where is None else _object(read_json(where))
        longest = values.get("max_seq_length")
        if longest is None:
            longest = _object(tokenizer).get("model_max_length")
            # "no limit" is 10^30, a float or an integer
            longest = None if not isinstance(longest, int) or longest > 2**31 else longest
        if longest is not None:
            longest = check_count("max_seq_length", longest, low=1, high=2**31)
        lowercase = check_flag("do_lower_case", values.get("do_lower_case") or False)
    return {"max_len": longest, "lowercase": lowercase}


def _prompts(where: Path) -> dict[str, Any]:
    if not where.is_file():
        return {}
    with errors_of(where):
        values = _object(read_json(where))
        prompts, default = _object(values.get("prompts") or {}), values.get("default_prompt_name")
        if not all(isinstance(text, str) for text in prompts.values()):
            raise ValueError("prompts must be texts")
        if default is not None and default not in prompts:
            raise ValueError(f"default_prompt_name is {value_of(default)}, which is no prompt")
    return {"prompts": prompts, "default_prompt": default}


def import_tokenizers() -> Any:
    """Return the module `tokenizers`."""
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "texts of pretrained models need tokenizers: pip install 'fastnn-cpu[text]'",
            name="tokenizers",
        ) from error
    return tokenizers


def read_tokenizer(where: Path, model: TransformerEncoderModel | TransformerLM) -> Any:
    """Return the tokenizer of a folder; its ids must have a place in the model."""
    tokenizers = import_tokenizers()
    if not where.is_file():
        raise ModelFileError(f"{where.parent} has no {TOKENIZER}")
    with errors_named(where):
        content = where.read_bytes()
    try:
        found = tokenizers.Tokenizer.from_buffer(content)
        found.encode("a")
    except BaseException as error:  # a panic of the library is not an Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        what = str(error)[:MESSAGE]
        raise ModelFileError(f"{where} is not a tokenizer, or damaged: {what}") from error
    size = found.get_vocab_size(with_added_tokens=True)
    if size > model.vocab_size:
        raise ModelFileError(
            f"{where} has {size} tokens, but the model has vectors for {model.vocab_size}"
        )
    return found
