"""The repetition penalty of generation."""

import numpy as np
import pytest

from fastnn import models

from .steppers import Fixed


def test_tokens_that_were_read_are_less_likely():
    model = Fixed([0.0, 3.0, 2.0, -1.0, 1.9, -5.0])
    how = {"temperature": 0, "repetition_penalty": 2.0}
    # 3 / 2 < 1.9 and 1.9 / 2 < 3 / 2 once all are known
    assert models.generate(model, [[0]], 4, **how)[0].tolist() == [1, 2, 4, 1]
    assert list(models.stream(model, [1], 3, **how)) == [2, 4, 1]
    assert models.generate(model, [[0], [1]], 1, **how)[1].tolist() == [2]
    assert models.generate(model, [[0]], 2, temperature=0)[0].tolist() == [1, 1]


def test_negative_logits_fall_and_nothing_is_changed_in_place():
    model = Fixed([-1.0, -1.5])
    assert models.generate(model, [[0]], 1, temperature=0, repetition_penalty=2)[0].tolist() == [1]
    np.testing.assert_array_equal(model.fixed, np.float32([-1, -1.5]))


@pytest.mark.parametrize("penalty", [0, -1.0, float("nan")])
def test_penalties_out_of_range(penalty):
    for call in (models.generate, models.stream):
        prompts = [[0]] if call is models.generate else [0]
        with pytest.raises(ValueError, match="repetition_penalty must be above 0"):
            call(Fixed([1.0]), prompts, 1, repetition_penalty=penalty)
