"""Generate text in threads of a C extension that share one language model."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from building import extension  # noqa: E402

import fastnn  # noqa: E402

VOCABULARY, WRITERS, PROMPT, COUNT = 100, 8, 5, 50

model = fastnn.models.TransformerLM(VOCABULARY, 64, 4, 2, PROMPT + COUNT, rng=0)
plan = model.freeze()
prompts = np.random.default_rng(0).integers(0, VOCABULARY, (WRITERS, PROMPT))
written, again = np.full((2, WRITERS, COUNT), -1)

with extension("writers", [HERE / "writers.c"], flags=["-Wall", "-Wextra"]) as writers:
    writers.write(plan, prompts, written, WRITERS)
    writers.write(plan, prompts, again, WRITERS)
    assert (written == again).all() and written.min() >= 0
    # The untrained model is nearly uniform, so its loss is near log(VOCABULARY).
    whole = np.concatenate([prompts, written], axis=1)
    loss, _ = model.loss(whole[:, PROMPT - 1 : -1], written)
    assert abs(loss - np.log(VOCABULARY)) < 0.3, loss
    prompts[3, 2] = VOCABULARY
    try:
        writers.write(plan, prompts, again, WRITERS)
    except ValueError as error:
        print(f"c_generate: {WRITERS} writers, {COUNT} tokens each; a token that is none: {error}")
    else:
        sys.exit("a token outside of the vocabulary went unnoticed")
