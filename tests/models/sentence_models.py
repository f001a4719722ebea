"""A small sentence encoder in a folder, as sentence-transformers saves it."""

import json

import numpy as np

from .pretrained_models import copy

WORDS = "a the cat dog tax return paid river bank boat slow old new red green blue and or not is"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def tokenizer():
    """WordPiece over some words and letters, with [CLS] and [SEP]."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [c for letter in "abcdefghijklmnopqrstuvwxyz" for c in (letter, f"##{letter}")]
    tokens = list(dict.fromkeys([*SPECIALS, *WORDS.split(), *letters]))
    ids = {token: i for i, token in enumerate(tokens)}
    found = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    found.normalizer = normalizers.BertNormalizer(lowercase=True)
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    found.enable_padding()  # as many files have it
    return found


def make(target, pooling="mean", normalize=True, name="bert"):
    """Write the folder: a random model and the tokenizer above."""
    folder = copy(name, target)
    (folder / "tokenizer.json").write_text(tokenizer().to_str())
    (folder / "1_Pooling").mkdir()
    flags = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}
    modes = {f"pooling_mode_{flag}": ours == pooling for ours, flag in flags.items()}
    modes |= {"word_embedding_dimension": 32, "pooling_mode_max_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds[: 2 + normalize])
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    sizes = {"max_seq_length": 24, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(sizes))
    prompts = {"prompts": {"query": "red: ", "none": ""}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return folder


def texts(n, longest=40, seed=0):
    """Random texts of 0 to `longest` words, some of them longer than the model takes."""
    rng = np.random.default_rng(seed)
    words = [*WORDS.split(), "zebra", "q"]
    return [" ".join(rng.choice(words, rng.integers(0, longest))) for _ in range(n)]
