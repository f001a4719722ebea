"""A model for tests of decoding whose logits depend on all tokens a row has read."""

import numpy as np


class History:
    """A cache that holds the tokens themselves."""

    def __init__(self, batch, max_len):
        self.texts = [[] for _ in range(batch)]
        self.max_len = max_len

    @property
    def lengths(self):
        return np.array([len(text) for text in self.texts], np.int64)

    def select(self, rows):
        assert isinstance(rows, np.ndarray) and rows.dtype.kind == "i"
        self.texts = [list(self.texts[row]) for row in rows]


class Oracle:
    """Logits drawn from a stream of (seed, everything read so far)."""

    def __init__(self, vocab=6, max_len=1000, seed=0, dtype=np.float32):
        self.vocab, self.max_len, self.seed, self.dtype = vocab, max_len, seed, dtype
        self.steps = []  # (rows, positions) of each call

    def logits(self, text):
        drawn = np.random.default_rng([self.seed, *text]).normal(0, 2, self.vocab)
        return drawn.astype(self.dtype)

    def new_cache(self, batch):
        return History(batch, self.max_len)

    def step(self, ids, cache, lengths=None):
        assert ids.dtype == np.int64 and ids.ndim == 2 and len(ids) == len(cache.texts)
        self.steps.append(ids.shape)
        counts = [ids.shape[1]] * len(ids) if lengths is None else lengths
        for text, row, count in zip(cache.texts, ids.tolist(), counts, strict=True):
            assert 1 <= count <= len(row) and 0 <= min(row) <= max(row) < self.vocab
            text += row[:count]
            assert len(text) <= cache.max_len
        return np.stack([self.logits(text) for text in cache.texts])


class Fixed(Oracle):
    """The same logits whatever the tokens."""

    def __init__(self, logits, **kwargs):
        super().__init__(len(logits), **kwargs)
        self.fixed = np.asarray(logits, np.float32)

    def logits(self, text):
        return self.fixed
