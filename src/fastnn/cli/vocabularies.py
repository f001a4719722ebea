"""Load model files that contain a vocabulary."""

from __future__ import annotations

from typing import TypeVar

from ..files import ModelFileError, load, load_metadata
from ..models import Seq2SeqTransformer, TransformerLM
from ..text import Vocab, from_json
from .errors import UsageError

# Metadata key of a model's vocabulary.
VOCABULARY_KEY = "vocabulary"

Model = TypeVar("Model", TransformerLM, Seq2SeqTransformer)


def load_with_vocabulary(path: str, kind: type[Model], task: str) -> tuple[Model, Vocab]:
    """Load a model of `fastnn train TASK` and its vocabulary; UsageError for any other file."""
    try:
        model, described = load(path), load_metadata(path).get(VOCABULARY_KEY)
    except ModelFileError as error:
        raise UsageError(str(error)) from error
    if not isinstance(model, kind) or described is None:
        what = "has no vocabulary" if isinstance(model, kind) else f"holds {type(model).__name__}"
        raise UsageError(f"{path} was not written by `fastnn train {task}`: it {what}")
    try:
        vocab = from_json(described)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    for table in (model.embedding, getattr(model, "tgt_embedding", model.embedding)):
        if table.num != len(vocab):
            raise UsageError(
                f"{path}: its vocabulary has {len(vocab)} tokens, its model {table.num}"
            )
    return model, vocab
