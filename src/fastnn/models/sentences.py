"""Sentence encoders: from texts to vectors, with a memory that does not grow with the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import check_bytes, check_choice, check_count, check_flag, given, value_of
from ..files.atomic import PathLike
from ..keywords import explained
from .encoder import TransformerEncoderModel
from .pooled import POOLINGS, PooledEncoder, pool
from .similar import Found, cosines, search, unit
from .text_batches import Frozen, printed, windows

Array = NDArray[Any]
Ids = NDArray[np.int64]
Progress = Callable[[int, int | None], object]

# A longer text is cut to this many characters per token, and to more if that is not enough: so many
# tokens behind the last one that counts do not change it.
CHARACTERS, MARGIN = 32, 16


@explained
class SentenceEncoder:
    """A text encoder, its tokenizer, and how the vectors of tokens become one of the text.

    A text has the same vector, bit by bit, in any company. Reimers and Gurevych, "Sentence-BERT",
    EMNLP 2019.

    Parameters
    ----------
    model : TransformerEncoderModel
    tokenizer : tokenizers.Tokenizer
        Its padding and truncation are set here.
    pooling : {"mean", "cls", "last"}
        The mean of a text's vectors, or that of its first or last token.
    normalize : bool
        True if vectors have the norm 1.
    max_len : int, optional
        Tokens of a text that count; by default, and at most, those of the model.
    prompts : mapping of str to str, optional
        Name -> what is put before a text, such as {"query": "query: "}.
    default_prompt : str, optional
        Name of the prompt that is used if none is given.
    lowercase : bool
        True if texts are lowercased before the tokenizer sees them.
    weights : str, optional
        "bf16", "int8" or "int8_g32": `encode` uses weights of 16 or 8 bits, see `nn.freeze` and
        docs/low-precision.md.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is not one of its choices, or the model cannot be frozen.

    Examples
    --------
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = {"a": 0, "cat": 1, "dog": 2, "tax": 3}
    >>> tokenizer = Tokenizer(models.WordLevel(words, unk_token="a"))
    >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> model = fastnn.models.TransformerEncoderModel(4, 16, 2, 1, 32, 8, rng=0)
    >>> encoder = fastnn.models.SentenceEncoder(model, tokenizer)
    >>> vectors = encoder.encode(["a cat", "a dog", "tax"])
    >>> vectors.shape, encoder.search("a dog", vectors, top_k=1).indices
    ((3, 16), array([1]))
    """

    def __init__(
        self,
        model: TransformerEncoderModel,
        tokenizer: Any,
        *,
        pooling: str = "mean",
        normalize: bool = True,
        max_len: int | None = None,
        prompts: dict[str, str] | None = None,
        default_prompt: str | None = None,
        lowercase: bool = False,
        weights: str | None = None,
    ) -> None:
        if not isinstance(model, TransformerEncoderModel):
            raise TypeError(f"model must be a TransformerEncoderModel, got {given(model)}")
        self.model, self.tokenizer = model, tokenizer
        self.pooling = check_choice("pooling", pooling, POOLINGS)
        self.normalize = check_flag("normalize", normalize)
        self.lowercase = check_flag("lowercase", lowercase)
        most = model.max_len
        self.max_len = most if max_len is None else min(check_count("max_len", max_len), most)
        self.prompts = dict(prompts or {})
        self.default_prompt = default_prompt
        self.beside: dict[str, Any] = {}  # files of the tokenizer that `save` writes back
        self._prompt(None, default_prompt)
        self._hidden = Frozen(model, weights)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_len)

    @classmethod
    def load(
        cls, folder: PathLike, *, dtype: DTypeLike = "float32", weights: str | None = None
    ) -> SentenceEncoder:
        """Read a folder as sentence-transformers saves it.

        Besides what `models.load` reads it has tokenizer.json, and modules.json with the pooling;
        without modules.json it is the mean. `weights` is that of the constructor.

        Raises
        ------
        ModelFileError, OSError
            As `models.load`; a module or a way of pooling is not supported.
        ModuleNotFoundError
            tokenizers is not installed.
        """
        from .sentence_files import read

        model, tokenizer, options, beside = read(folder, dtype)
        encoder = cls(model, tokenizer, weights=weights, **options)
        encoder.beside = beside
        return encoder

    def save(self, folder: PathLike, *, weights: str | None = None) -> None:
        """Write a folder that `load`, sentence-transformers and transformers read.

        With weights "bf16" the arrays are bfloat16, as in `models.save`.

        Raises
        ------
        ValueError, OSError
            As `models.save`.
        """
        from .sentence_files import write

        write(self, folder, weights)

    @property
    def weights(self) -> str | None:
        """Format of the weights that `encode` uses."""
        return self._hidden.weights

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.model.embedding.dim

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        normalize: bool | None = None,
        batch_tokens: int = 2048,
        memory: int | str = "256MB",
        progress: Progress | bool = False,
    ) -> Array:
        """Return the vectors (n, dim) of texts, or (dim,) of one text.

        Texts are sorted by length and run one after the other without padding.

        Parameters
        ----------
        texts : str or iterable of str
            Of any number and length; a text longer than max_len is cut.
        prompt : str, optional
            Put before every text.
        prompt_name : str, optional
            Name of a prompt in `prompts`.
        normalize : bool, optional
            By default that of the encoder.
        batch_tokens : int
            Tokens that run at a time; more take more memory.
        memory : int or str
            Limits them, too: bytes, or a number with a unit such as "256MB" or "1GiB".
        progress : callable or bool
            Called with the texts done and their number (None if it is not known); True prints it
            to stderr.

        Raises
        ------
        TypeError, ValueError
            A text is not a str, an argument is out of range, or memory is too little for the
            longest text that is possible.
        """
        if isinstance(texts, str):
            one = self.encode([texts], prompt=prompt, prompt_name=prompt_name, normalize=normalize)
            first: Array = one[0]
            return first
        how: dict[str, Any] = {"prompt": prompt, "prompt_name": prompt_name, "normalize": normalize}
        blocks = self.blocks(texts, **how, batch_tokens=batch_tokens, memory=memory)
        total = len(texts) if isinstance(texts, Sequence) else None
        show = printed if progress is True else progress or None
        found, done = [], 0
        vectors = np.empty((total or 0, self.dim), self.model.norm.dtype)
        for block in blocks:
            if total is None:
                found.append(block)
            else:
                vectors[done : done + len(block)] = block
            done += len(block)
            if show is not None:
                show(done, total)
        return np.concatenate([vectors, *found]) if total is None else vectors

    def blocks(
        self,
        texts: Iterable[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        normalize: bool | None = None,
        batch_tokens: int = 2048,
        memory: int | str = "256MB",
    ) -> Iterator[Array]:
        """Return an iterator over the vectors of `encode` in pieces (n, dim), in order.

        It reads the texts as it goes on, so that neither they nor the vectors have to fit into
        memory.
        """
        if not isinstance(texts, Iterable):
            raise TypeError(f"texts must be str, got {given(texts)}")
        before = self._prompt(prompt, prompt_name or self.default_prompt)
        normal = self.normalize if normalize is None else check_flag("normalize", normalize)
        rows = min(check_count("batch_tokens", batch_tokens), self._rows(memory))
        pieces = windows(texts, before, CHARACTERS * self.max_len)
        return (self._vectors(some, rows, normal) for some in pieces)

    def tokenize(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of texts, with special tokens, cut to max_len."""
        texts = [text.lower() for text in texts] if self.lowercase else list(texts)
        limit, ids = CHARACTERS * self.max_len, [np.zeros(0, np.int64)] * len(texts)
        left = list(range(len(texts)))
        while left:
            short = []
            for i, encoding in zip(
                left, self._split([texts[i][:limit] for i in left]), strict=True
            ):
                more = sum(len(part.ids) for part in encoding.overflowing)
                if len(texts[i]) > limit and more < MARGIN:
                    short.append(i)
                ids[i] = np.array(encoding.ids, np.int64)
            left, limit = short, 2 * limit
        return ids

    def _split(self, texts: list[str]) -> list[Any]:
        """Return what the tokenizer makes of texts; its errors have no type of their own."""
        encode = getattr(self.tokenizer, "encode_batch_fast", self.tokenizer.encode_batch)
        try:
            found: list[Any] = encode(texts)
        except Exception as error:
            raise ValueError(f"the tokenizer refuses a text: {error}") from error
        return found

    def layer(self) -> PooledEncoder:
        """Return the model with pooling and normalization as a layer, to train it further.

        It shares the parameters: what is trained is what `encode` uses, by a frozen copy that is
        made again after a change. What your own code writes into an array that it holds, as by
        ``p.data[0] = 1``, is not noticed: assign to ``p.data``, or make a new encoder.
        """
        return PooledEncoder(self.model, self.pooling, self.normalize)

    def ids(self, texts: Iterable[str], *, prompt_name: str | None = None) -> Ids:
        """Return the ids (n, T) of texts for `layer`, with -1 behind shorter ones."""
        before = self._prompt(None, prompt_name or self.default_prompt)
        pieces = windows(texts, before, CHARACTERS * self.max_len)
        ids = [x for some in pieces for x in self.tokenize(some)]
        padded = np.full((len(ids), max(map(len, ids), default=0)), -1)
        for row, x in zip(padded, ids, strict=True):
            row[: len(x)] = x
        return padded

    def similarity(self, a: Any, b: Any) -> Array:
        """Return the cosines (n, m) of texts or vectors a (n, dim) and b (m, dim).

        Raises
        ------
        TypeError, ValueError
            An argument holds neither texts nor vectors of this size.
        """
        return cosines(*(np.atleast_2d(self._as_vectors(x)) for x in (a, b)))

    def search(
        self, queries: Any, vectors: Any, top_k: int = 10, *, prompt_name: str | None = None
    ) -> Found:
        """Return the texts that are most similar to each query: see `models.search`.

        Parameters
        ----------
        queries : str, list of str, or vectors (q, dim)
        vectors : ndarray (n, dim)
            Of `encode`; may be mapped into memory, ``np.load(path, mmap_mode="r")``.
        top_k : int
        prompt_name : str, optional
            Of the queries.
        """
        return search(self._as_vectors(queries, prompt_name), vectors, top_k)

    def _as_vectors(self, texts: Any, prompt_name: str | None = None) -> Array:
        if isinstance(texts, np.ndarray) and texts.dtype.kind == "f":
            return texts
        return self.encode(texts, prompt_name=prompt_name)

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        if prompt is not None:
            if not isinstance(prompt, str):
                raise TypeError(f"prompt must be a str, got {given(prompt)}")
            return prompt
        if name is None:
            return ""
        if name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise ValueError(f"prompt_name is {value_of(name)}; this encoder has {known}")
        return self.prompts[name]

    def _rows(self, memory: int | str) -> int:
        """Return how many tokens fit into so much memory; raise ValueError if a text may not."""
        found, each = check_bytes("memory", memory), self._hidden.row_bytes()
        if found < each * self.max_len:
            raise ValueError(
                f"memory is {value_of(memory)}, but a text of {self.max_len} tokens takes "
                f"{-(-each * self.max_len // 10**6)}MB"
            )
        return found // each

    def _vectors(self, texts: list[str], rows: int, normalize: bool) -> Array:
        """Return the vectors of texts, at most `rows` tokens or one text at a time."""
        ids = self.tokenize(texts)
        lengths = np.array([len(x) for x in ids])
        vectors = np.zeros((len(ids), self.dim), self.model.norm.dtype)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]  # a tokenizer without special tokens makes none of ""
        while len(order):
            n = max(1, int(np.searchsorted(np.cumsum(lengths[order]), rows, "right")))
            some, order = order[:n], order[n:]
            hidden = self._hidden([ids[i] for i in some], lengths[some])
            vectors[some] = pool(hidden, lengths[some], self.pooling)
        return unit(vectors) if normalize else vectors
