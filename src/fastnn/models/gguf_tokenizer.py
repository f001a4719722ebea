"""The tokenizer inside a GGUF file: byte-level BPE from its tokens and merges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import value_of
from .sentence_files import import_tokenizers

# How texts are split before merges, by tokenizer.ggml.pre: digits one by one, or a pattern.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}NUMBERS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PATTERNS = {
    "qwen2": _WORDS.replace("NUMBERS", ""),
    "llama-bpe": _WORDS.replace("NUMBERS", "{1,3}"),
}
_PLAIN = ("gpt-2", "smollm")
_CONTROL, _OWN = 3, 4  # types of tokens: special, and added by the user


def tokenizer_of(metadata: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the tokenizer, and the options of `TextModel`.

    Raises
    ------
    ValueError
        The metadata have no tokenizer that is known here, or a damaged one.
    ModuleNotFoundError
        tokenizers is not installed.
    """
    library = import_tokenizers()

    def of(key: str, kind: type, default: Any = None) -> Any:
        found = metadata.get(f"tokenizer.{key}", default)
        if not isinstance(found, kind):
            raise ValueError(f"tokenizer.{key} is {value_of(found)}, which is not supported")
        return found

    tokens = of("ggml.tokens", list)
    if of("ggml.model", str) != "gpt2":
        raise ValueError(
            f"tokenizer.ggml.model is {value_of(metadata['tokenizer.ggml.model'])}, "
            "which is not supported: only 'gpt2' is"
        )
    vocab = {token: i for i, token in enumerate(tokens)}
    merges = [tuple(pair.split(" ")) for pair in of("ggml.merges", list)]
    if len(vocab) != len(tokens) or any(len(pair) != 2 for pair in merges):
        raise ValueError("tokens occur twice, or merges are not pairs")
    found = library.Tokenizer(library.models.BPE(vocab, merges))
    found.pre_tokenizer = _splitting(library, of("ggml.pre", str, "gpt-2"))
    found.decoder = library.decoders.ByteLevel()
    kinds = of("ggml.token_type", list, [])
    for kind, add in ((_CONTROL, found.add_special_tokens), (_OWN, found.add_tokens)):
        add([token for token, its in zip(tokens, kinds, strict=False) if its == kind])
    special, stop = {}, set()
    for name in ("bos", "eos"):
        i = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if i is not None:
            if not isinstance(i, int) or not 0 <= i < len(tokens):
                raise ValueError(f"tokenizer.ggml.{name}_token_id is {value_of(i)}")
            special[f"{name}_token"] = tokens[i]
            stop |= {i} if name == "eos" else set()
    if of("ggml.add_bos_token", bool, False) and "bos_token" in special:
        first = special["bos_token"]
        found.post_processor = library.processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=[(first, vocab[first])]
        )
    template = metadata.get("tokenizer.chat_template")
    if template is not None and not isinstance(template, str):
        raise ValueError(f"tokenizer.chat_template is {value_of(template)}")
    return found, {"template": template, "special": special, "stop": stop}


def _splitting(library: Any, name: str) -> Any:
    split = library.pre_tokenizers
    if name in _PATTERNS:
        pattern = split.Split(library.Regex(_PATTERNS[name]), "isolated")
        bytes_of = split.ByteLevel(add_prefix_space=False, use_regex=False)
        return split.Sequence([pattern, bytes_of])
    if name not in _PLAIN:
        known = ", ".join((*_PLAIN, *_PATTERNS))
        raise ValueError(
            f"tokenizer.ggml.pre is {value_of(name)}, which is not supported: only {known} are"
        )
    words = split.ByteLevel(add_prefix_space=False, use_regex=True)
    return (
        split.Sequence([split.Digits(individual_digits=True), words])
        if name == "smollm"
        else (words)
    )
