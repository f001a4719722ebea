"""The sentence encoder as a transformer of scikit-learn."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from fastnn import models
from fastnn.sklearn import SentenceEncoder

pytest.importorskip("tokenizers")

from ..models.sentence_models import make, texts

TEXTS = texts(30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("models") / "m")


def test_in_a_pipeline(folder):
    y = ["cat" in text.split() for text in TEXTS]
    model = make_pipeline(SentenceEncoder(folder), LogisticRegression(C=1e4))
    assert model.fit(np.array(TEXTS), y).score(TEXTS, y) > 0.9


def test_its_vectors_are_those_of_the_encoder(folder):
    encoder = models.SentenceEncoder.load(folder)
    expected = encoder.encode(TEXTS, prompt_name="query", normalize=False)
    for model in (folder, encoder):
        found = SentenceEncoder(model, prompt_name="query", normalize=False)
        np.testing.assert_array_equal(found.fit_transform(TEXTS), expected)
        assert list(found.get_feature_names_out()[:2]) == ["sentenceencoder0", "sentenceencoder1"]
        assert found.n_features_out_ == 32


def test_cloned_and_pickled(folder):
    found = SentenceEncoder(folder).fit()
    with pytest.raises(NotFittedError):
        clone(found).transform(TEXTS)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.transform(TEXTS), found.transform(TEXTS))


def test_errors(folder):
    found = SentenceEncoder(folder).fit()
    with pytest.raises(TypeError, match="X must be a list of texts, got one str"):
        found.transform("a cat")
    with pytest.raises(TypeError, match=r"texts\[1\] is int 3"):
        found.transform(["a", 3])
    with pytest.raises(FileNotFoundError, match="No such folder"):
        SentenceEncoder(folder / "none").fit()
