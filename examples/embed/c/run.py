"""Score ragged sentences in a C extension."""

import sys
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from building import extension  # noqa: E402

import fastnn  # noqa: E402

VOCABULARY, WIDTH, CLASSES, SENTENCES = 1000, 48, 5, 500

rng = np.random.default_rng(0)
table = rng.standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
model = fastnn.nn.MLP((WIDTH, 64, CLASSES), rng=0)
lengths = rng.integers(0, 30, SENTENCES)
starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
tokens = rng.integers(0, VOCABULARY, starts[-1]).astype(np.int32)
scores = np.full((SENTENCES, CLASSES), np.nan, np.float32)

with extension("sentences", [HERE / "sentences.c"], flags=["-Wall", "-Wextra"]) as sentences:
    plan = model.freeze(32)
    sentences.score(plan, table, tokens, starts, scores)
    means = [
        table[tokens[a:b]].mean(axis=0) if b > a else np.zeros(WIDTH, np.float32)
        for a, b in pairwise(starts)
    ]
    np.testing.assert_allclose(scores, fastnn.softmax(model(np.array(means))), rtol=1e-4, atol=1e-6)
    tokens[7] = VOCABULARY
    try:
        sentences.score(plan, table, tokens, starts, scores)
    except ValueError as error:
        print(f"c: {SENTENCES} sentences scored; a token that is none: {error}")
    else:
        sys.exit("a token outside of the vocabulary went unnoticed")
