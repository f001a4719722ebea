"""A pretrained sentence encoder as a transformer of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..keywords import explained
from ..models import SentenceEncoder as Encoder


@explained
class SentenceEncoder(TransformerMixin, BaseEstimator):
    """Turn texts into vectors, in front of a classifier, a clustering or a search.

    Nothing is learned: `fit` loads the model.

    Parameters
    ----------
    model : path-like or models.SentenceEncoder
        A folder as sentence-transformers saves it.
    prompt_name : str, optional
        Name of a prompt of the model.
    normalize : bool, optional
        True for vectors of norm 1; by default that of the model.
    batch_tokens : int
    memory : int or str
        As in `models.SentenceEncoder.encode`.
    weights : str, optional
        "bf16", "int8" or "int8_g32", for a folder: as in `models.SentenceEncoder`.

    Attributes
    ----------
    encoder_ : models.SentenceEncoder
    n_features_out_ : int

    Examples
    --------
    >>> from tokenizers import Tokenizer, models
    >>> model = fastnn.models.TransformerEncoderModel(2, 16, 2, 1, 32, 8, rng=0)
    >>> tokenizer = Tokenizer(models.WordLevel({"good": 0, "bad": 1}, unk_token="bad"))
    >>> encoder = fastnn.models.SentenceEncoder(model, tokenizer)
    >>> fastnn.sklearn.SentenceEncoder(encoder).fit_transform(["good", "bad"]).shape
    (2, 16)
    """

    def __init__(
        self,
        model: Any,
        *,
        prompt_name: str | None = None,
        normalize: bool | None = None,
        batch_tokens: int = 2048,
        memory: int | str = "256MB",
        weights: str | None = None,
    ) -> None:
        self.model = model
        self.prompt_name = prompt_name
        self.normalize = normalize
        self.batch_tokens = batch_tokens
        self.memory = memory
        self.weights = weights

    def fit(self, X: Any = None, y: Any = None) -> SentenceEncoder:
        """Load the model; X and y are ignored.

        Raises
        ------
        ModelFileError, OSError, ModuleNotFoundError, TypeError, ValueError
            As `models.SentenceEncoder.load`; or `weights` are asked of a loaded encoder.
        """
        if not isinstance(self.model, Encoder):
            self.encoder_ = Encoder.load(self.model, weights=self.weights)
        elif self.weights is None:
            self.encoder_ = self.model
        else:
            raise ValueError("weights are for a folder: load the encoder with them")
        self.n_features_out_ = self.encoder_.dim
        return self

    def transform(self, X: Any) -> NDArray[np.floating]:
        """Return the vectors of texts X (n,), an array of shape (n, dim).

        Raises
        ------
        TypeError, ValueError
            X holds something else than str, or a parameter is out of range.
        sklearn.exceptions.NotFittedError
        """
        check_is_fitted(self, "encoder_")
        if isinstance(X, str):
            raise TypeError(f"X must be a list of texts, got one str: [{X!r:.40}]")
        return self.encoder_.encode(
            [str(x) if isinstance(x, np.str_) else x for x in X],
            prompt_name=self.prompt_name,
            normalize=self.normalize,
            batch_tokens=self.batch_tokens,
            memory=self.memory,
        )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns: sentenceencoder0, sentenceencoder1, ..."""
        check_is_fitted(self, "encoder_")
        return np.array([f"sentenceencoder{i}" for i in range(self.n_features_out_)], object)
