"""Random arrays: their shapes, values, and places in memory."""

import numpy as np

SIZES = (0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 63)
SIZES = (*SIZES, 64, 65, 96, 97, 127, 128, 129, 192, 255, 256, 257, 511, 513, 1023, 1025, 4097)
THREADS = (1, 2, 3, 8)
# How the elements of a case's arrays are drawn, and how often.
PROFILES = {"plain": 8, "special": 3, "offset": 2, "small": 1, "large": 1, "integers": 2}


class Draw:
    """One case's source of chance: every choice follows from the seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.real = np.dtype(self.one((np.float32, np.float32, np.float64)))
        weights = np.array(list(PROFILES.values()), float)
        self.profile = str(self.rng.choice(list(PROFILES), p=weights / weights.sum()))
        # elements of the largest array, or multiplications of a product
        self.budget = int(self.one((300, 300, 300, 2000, 2000, 20_000, 150_000)))
        if self.chance(0.02):
            self.budget = 1_000_000

    def one(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def maybe(self, value):
        return value if self.chance(0.5) else None

    def dims(self, n, low=0, share=1.0):
        """n sizes whose product is within a share of the budget."""
        found = [max(low, self.one(SIZES)) for _ in range(n)]
        while np.prod(found, dtype=float) > max(1, self.budget * share):
            largest = int(np.argmax(found))
            found[largest] = max(1, found[largest] // 2 + int(self.rng.integers(2)) - 1)
        return found

    def shape(self, low=0, high=4, last=0):
        """A shape of `low` to `high` axes, the last one of at least `last`."""
        found = self.dims(int(self.rng.integers(low, high + 1)))
        if found and found[-1] < last:
            found[-1] = last
        return tuple(found)

    def values(self, shape, like=None):
        """Elements by the case's profile."""
        profile, rng = like or self.profile, self.rng
        x = rng.standard_normal(shape)
        if profile == "offset":
            x = x + self.one((1, -1)) * 10.0 ** rng.integers(1, 10)
        elif profile == "small":
            x = x * (1e-40 if self.real == np.float32 else 1e-310)
        elif profile == "large":
            x = x * (1e18 if self.real == np.float32 else 1e152)
        elif profile == "integers":
            x = rng.integers(-2, 3, shape).astype(float)
        x = np.asarray(x, self.real)
        if profile == "special" and x.size:
            for _ in range(int(rng.integers(1, 4))):
                x.flat[rng.integers(x.size)] = self.special()
        return x

    def special(self):
        limits = np.finfo(self.real)
        tiny = limits.smallest_subnormal
        values = [np.nan, np.inf, -np.inf, -0.0, 0.0, tiny, -tiny, limits.max, limits.min]
        return self.one([*values, limits.tiny, 1.0, -1.0, 1e-3, 88.0, -104.0, 30.0])

    def array(self, *shape, like=None):
        """An input: values in some layout; now and then equal along an axis, with stride 0."""
        if shape and self.chance(0.08):
            axis = int(self.rng.integers(len(shape)))
            one = (*shape[:axis], min(1, shape[axis]), *shape[axis + 1 :])
            return np.broadcast_to(self.values(one, like), shape)
        return self.laid_out(self.values(shape, like))

    def solid(self, *shape, like=None):
        """A C-contiguous array."""
        return np.ascontiguousarray(self.values(shape, like)).reshape(shape)

    def laid_out(self, x):
        """Equal elements elsewhere: transposed, sliced, reversed, an element off alignment."""
        how = int(self.rng.integers(8)) if x.size and x.ndim else 7
        if how == 0:
            y = np.empty(x.shape[::-1], x.dtype).T
        elif how == 1:
            step = [int(self.rng.integers(1, 4)) for _ in x.shape]
            wide = np.empty([s * n + 1 for s, n in zip(step, x.shape, strict=True)], x.dtype)
            y = wide[tuple(slice(1, None, s) for s in step)]
        elif how == 2:
            y = np.empty(x.shape, x.dtype)[tuple(slice(None, None, -1) for _ in x.shape)]
        elif how == 3:
            y = np.empty(x.size + 1, x.dtype)[1:].reshape(x.shape)
        elif how == 4:
            order = self.rng.permutation(x.ndim)
            y = np.empty([x.shape[i] for i in order], x.dtype).transpose(np.argsort(order))
        elif how == 5:
            return self.padded(x)
        else:
            y = np.empty(x.shape, x.dtype)
        y[...] = x
        return y

    def padded(self, x):
        """Equal elements in rows that do not follow one another."""
        if not x.size:
            return x.copy()
        y = np.empty((*x.shape[:-1], x.shape[-1] + 3), x.dtype)[..., : x.shape[-1]]
        y[...] = x
        return y

    def weights(self, *shape):
        """Weights: finite and at least 0, some of them 0."""
        x = np.abs(self.rng.standard_normal(shape)) + 0.01
        return np.asarray(np.where(self.rng.random(shape) < 0.1, 0, x), self.real)

    def p(self):
        """A probability of dropout."""
        return float(self.one((0.0, 0.1, 0.5, 0.9, 1.0)))

    def seed(self):
        return int(self.rng.integers(2**63)) * 2 + 1
