"""Batches of pairs by number of tokens: bounds, contents, order, and resuming."""

from itertools import islice, pairwise

import numpy as np
import pytest

from fastnn.data import token_batches

IDS = {"bos_id": 2, "eos_id": 3, "pad_id": 0}


def pairs(n=300, seed=0):
    """Distinct pairs of similar lengths, 0 to 30."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 28, n)
    src = [rng.integers(4, 5000, k) for k in lengths]
    tgt = [rng.integers(4, 5000, k) for k in lengths + rng.integers(0, 3, n)]
    src = [np.append(ids, 5000 + i) for i, ids in enumerate(src)]
    return src, tgt


def unpadded(found, src_eos=True):
    """Check all batches and return their pairs in order."""
    result = []
    for (src, tgt_in, src_lengths), tgt_out in found:
        assert {a.dtype for a in (src, tgt_in, src_lengths, tgt_out)} == {np.dtype(np.int64)}
        assert src_lengths.shape == (len(src),) and tgt_in.shape == tgt_out.shape
        assert len(src) == len(tgt_in) and src.shape[1] == src_lengths.max()
        assert (tgt_out[:, -1] != -100).any()
        for ids, n, goes_in, comes_out in zip(src, src_lengths, tgt_in, tgt_out, strict=True):
            assert (ids[n:] == 0).all() and (ids[:n] != 0).all()
            if src_eos:
                assert ids[n - 1] == 3
                n -= 1
            m = int((comes_out != -100).sum()) - 1
            assert goes_in[0] == 2 and comes_out[m] == 3
            assert (goes_in[m + 1 :] == 0).all() and (comes_out[m + 1 :] == -100).all()
            np.testing.assert_array_equal(goes_in[1 : m + 1], comes_out[:m])
            result.append((tuple(ids[:n].tolist()), tuple(comes_out[:m].tolist())))
    return result


def as_tuples(src, tgt):
    return [(tuple(map(int, a)), tuple(map(int, b))) for a, b in zip(src, tgt, strict=True)]


@pytest.mark.parametrize("src_eos", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("max_tokens", [31, 100, 1000, 10**6])
def test_every_pair_once_per_epoch_within_the_bound(max_tokens, shuffle, src_eos):
    src, tgt = pairs()
    found = token_batches(src, tgt, max_tokens, **IDS, src_eos=src_eos, shuffle=shuffle, seed=1)
    orders = []
    for _ in range(3):
        batches = list(found)
        assert len(batches) == len(found)
        for (s, t, _), _ in batches:
            assert 0 < s.size <= max_tokens and t.size <= max_tokens
        orders.append(unpadded(batches, src_eos))
        assert sorted(orders[-1]) == sorted(as_tuples(src, tgt))
    assert (orders[0] != orders[1]) == shuffle
    assert max_tokens < 10**6 or len(found) == 1


def test_batches_are_full():
    """No batch could take the shortest pair of the next one."""
    src, tgt = pairs()
    longest = [
        (len(s), max(s.shape[1], t.shape[1]))
        for (s, t, _), _ in token_batches(src, tgt, 100, **IDS, shuffle=False)
    ]
    for (rows, _), (_, following) in pairwise(longest):
        assert (rows + 1) * following > 100
    assert [n for _, n in longest] == sorted(n for _, n in longest)


def test_padding():
    src, tgt = pairs(3000)
    found = token_batches(src, tgt, 1000, **IDS, seed=0)
    for _ in range(2):
        cells = tokens = 0
        for (s, t, lengths), out in found:
            cells += s.size + t.size
            tokens += lengths.sum() + (out != -100).sum()
        assert found.padding == pytest.approx(1 - tokens / cells, rel=1e-12)
    assert 0 < found.padding < 0.05
    same = token_batches([[5, 6]] * 10, [[7]] * 10, 9, **IDS, src_eos=False)
    assert same.padding == 0 and len(same) == 3


def test_pairs_of_the_same_lengths_change_their_batch():
    src = tgt = [[i] for i in range(4, 104)]
    found = token_batches(src, tgt, 20, **IDS, seed=0)
    epochs = [{frozenset(s[:, 0].tolist()) for (s, _, _), _ in found} for _ in range(2)]
    assert len(epochs[0]) == len(epochs[1]) == 10 and not epochs[0] & epochs[1]


def test_batches_come_in_a_new_order():
    """All lengths differ, so the batches are the same and only their order varies."""
    src = tgt = [[5] * n for n in range(1, 61)]
    found = token_batches(src, tgt, 61, **IDS, seed=0)
    orders = [[s.shape for (s, _, _), _ in found] for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


def test_the_same_seed_gives_the_same_epochs():
    src, tgt = pairs()
    one = token_batches(src, tgt, 200, **IDS, seed=4)
    two = token_batches(src, tgt, 200, **IDS, seed=np.random.default_rng(4))
    other = token_batches(src, tgt, 200, **IDS, seed=5)
    for _ in range(2):
        assert unpadded(one) == unpadded(two) != unpadded(other)


def test_going_on_from_a_state():
    src, tgt = pairs()
    found = token_batches(src, tgt, 200, **IDS, seed=4)
    list(found)
    state = found.state()
    expected = [unpadded(found) for _ in range(2)]
    again = token_batches(src, tgt, 200, **IDS, seed=9)
    again.load_state(state)
    assert [unpadded(again) for _ in range(2)] == expected


def test_going_on_inside_an_epoch():
    """From the state at its beginning, and the number of its batches that are done."""
    src, tgt = pairs(60)
    found = token_batches(src, tgt, 100, **IDS, seed=4)
    state = found.state()
    expected = unpadded(found), unpadded(found)
    for done in range(len(found) + 1):
        again = token_batches(src, tgt, 100, **IDS)
        again.load_state(state)
        rest = unpadded(islice(again, done, None))
        assert rest == expected[0][len(expected[0]) - len(rest) :]
        assert (len(rest) == 0) == (done == len(found))
        assert unpadded(again) == expected[1]


def test_lists_and_other_integers():
    src, tgt = pairs(40)
    expected = unpadded(token_batches(src, tgt, 100, **IDS, seed=0))
    for given in (
        ([a.tolist() for a in src], [tuple(b.tolist()) for b in tgt]),
        ([a.astype(np.uint16) for a in src], [b.astype(np.int32) for b in tgt]),
    ):
        assert unpadded(token_batches(*given, 100, **IDS, seed=0)) == expected


def test_batches_are_the_callers_own():
    found = token_batches([[5]], [[6]], 10, **IDS)
    for _ in range(2):
        (src, tgt_in, lengths), tgt_out = next(iter(found))
        assert (src.tolist(), tgt_in.tolist()) == ([[5, 3]], [[2, 6]])
        assert (lengths.tolist(), tgt_out.tolist()) == ([2], [[6, 3]])
        for array in (src, tgt_in, lengths, tgt_out):
            array[:] = 77


@pytest.mark.parametrize(
    ("src", "tgt", "options", "message"),
    [
        ([], [], {}, "at least one pair"),
        ([[5]], [[5], [6]], {}, "src has 1 sequences, but tgt has 2"),
        ([[5], []], [[5], [6]], {"src_eos": False}, r"src\[1\] is empty"),
        ([[5], [6] * 10], [[5], [6]], {}, r"src\[1\] has 11 tokens, max_tokens is 10"),
        ([[5], [6]], [[5], [6] * 12], {}, r"tgt\[1\] has 13 tokens, max_tokens is 10"),
        ([[5]], [[6]], {"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ([[5]], [[6]], {"bos_id": -1}, "bos_id must be from 0 to 9223372036854775807, got -1"),
    ],
)
def test_refused_values(src, tgt, options, message):
    with pytest.raises(ValueError, match=message):
        token_batches(src, tgt, **{"max_tokens": 10, **IDS, **options})


@pytest.mark.parametrize(
    ("src", "options", "message"),
    [
        ([[5.0]], {}, r"src\[0\] must be a sequence of integers, got list"),
        (["text"], {}, r"src\[0\] must be a sequence of integers, got str 'text'"),
        ([[[5]]], {}, r"src\[0\] must be a sequence of integers"),
        ([[5]], {"pad_id": None}, "pad_id must be an integer, got None"),
        ([[5]], {"max_tokens": 10.0}, "max_tokens must be an integer, got float 10.0"),
    ],
)
def test_refused_types(src, options, message):
    with pytest.raises(TypeError, match=message):
        token_batches(src, [[6]], **{"max_tokens": 10, **IDS, **options})
