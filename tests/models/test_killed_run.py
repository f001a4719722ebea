"""Runs killed at any moment resume from their checkpoint and end with the same bits."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from fastnn import data, models, optim
from fastnn.train import ModelCheckpoint

EPOCHS = 6
PAIRS = [[4 + i % 5, 5 + i % 3, 4] for i in range(24)]
MARKS = {"bos_id": 2, "eos_id": 3, "pad_id": 0}


def translation():
    """A model, its batches by tokens and those of the validation."""
    sizes = {"d_model": 8, "n_heads": 2, "n_layers": 2, "n_decoder_layers": 1, "max_len": 9}
    batches = data.token_batches(PAIRS, PAIRS[::-1], 24, seed=3, **MARKS)
    validation = data.token_batches(PAIRS, PAIRS, 24, shuffle=False, **MARKS)
    return models.Seq2SeqTransformer(11, **sizes, dropout=0.2, rng=0), batches, validation


def language():
    """A model, random crops of a text, and the windows of the validation."""
    ids = np.arange(400) ** 2 % 11
    model = models.TransformerLM(11, 8, 2, 2, 6, dropout=0.2, position="rotary", rng=0)
    return model, data.crops(ids, 6, 4, steps=5, seed=3), data.windows(ids[:50], 6, 4)


def run(build, folder, resume=False, callbacks=()):
    """Dropout, clipping, averages of the weights, a checkpoint every other batch."""
    model, batches, validation = build()
    model.seed(4)
    average = optim.ExponentialMovingAverage(model.parameters(), 0.9)
    path = os.path.join(folder, "run.safetensors")
    history = model.fit(
        batches,
        optimizer=optim.AdamW(model.parameters(), lr=1e-2),
        epochs=EPOCHS,
        label_smoothing=0.1,
        clip_norm=1.0,
        ema=average,
        validation_data=validation,
        callbacks=[ModelCheckpoint(path, save_freq=2), *callbacks],
        resume=path if resume else None,
        verbose=0,
    )
    return history, model.parameters().data.copy(), average.average.copy()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("build", [translation, language])
def test_a_killed_run_goes_on_with_the_same_bits(build, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected = run(build, tmp_path / "a")
    program = f"""
        import sys, time
        sys.path.insert(0, {os.getcwd()!r})
        from tests.models.test_killed_run import run, {build.__name__}
        slow = lambda epoch, logs: print(epoch, flush=True) or time.sleep(0.2)
        run({build.__name__}, {str(tmp_path / "b")!r}, callbacks=[slow])
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE
    ) as process:
        for _ in range(3):
            assert process.stdout.readline()
        time.sleep(0.21)
        process.send_signal(signal.SIGKILL)
    history, weights, average = run(build, tmp_path / "b", resume=True)
    assert history.history == expected[0].history and len(history.epoch) == EPOCHS
    np.testing.assert_array_equal(weights, expected[1])
    np.testing.assert_array_equal(average, expected[2])
