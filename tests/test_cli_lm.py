"""`fastnn train lm` and `fastnn generate`."""

import json
import re
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from fastnn import models, nn, text
from fastnn.cli import lm, lm_report, main, report, runs
from fastnn.cli.generate import spelled
from fastnn.data import load_text
from fastnn.files import load, load_metadata, save

from .command_line import assert_refused, run

TINY = ["--n_layer", 1, "--n-head", 2, "--n_embd", 16, "--block-size", 8, "--batch_size", 2]
TINY += ["--eval_iters", 1, "--threads", 1, "--out", "a"]
SHORT = ["--max_iters", 5, "--eval_interval", 2]


pytestmark = pytest.mark.usefixtures("directory")


def a_model(path, vocab=None):
    vocab = vocab or text.CharVocab.from_text("\nabcdefgh [/]")
    model = models.TransformerLM(len(vocab), 16, 2, 1, 8, bias=False, rng=0)
    save(model, path, metadata={"vocabulary": vocab.to_json()})
    return model, vocab


def test_training_learns_reports_and_saves(directory, capsys):
    Path("text").write_text("abcdefgh [/]\n" * 100)
    argv = ["--text", "text", "--max_iters", 150, "--eval_interval", 60, "--lr", 0.02]
    code, out, err = run(capsys, "train", "lm", *TINY, *argv, "--plot", "maps.png")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("1 layer, 2 heads, width 16: 3,456 parameters, 1 thread")
    assert lines[1] == ("1,170 training tokens, 130 validation tokens; vocabulary: 13 characters")
    losses = r"loss (\d\.\d{4})  validation loss (\d\.\d{4})  [\d,]+ tokens/s  0:\d\d left"
    for done, line in zip((60, 120, 150), lines[2:8:2], strict=True):
        assert re.fullmatch(rf"iteration {done:3d}/150  {losses}", line), line
    found = re.search(r"validation loss (\d\.\d{4}) over the whole validation text", out)
    # within a line each character determines the next, except at the start of a window
    assert float(found[1]) < 0.3
    assert "efgh [/]\nabcdefgh" in out.partition("sample:")[2]
    model, vocab = load("a"), text.from_json(load_metadata("a")["vocabulary"])
    ids = vocab.encode(Path("text").read_text()[1170:])
    assert lm.whole_loss(model, ids, 8, 2) == pytest.approx(float(found[1]), abs=1e-4)
    recipe = json.loads(load_metadata("a")["recipe"])
    assert (recipe["min_lr"], recipe["warmup_iters"], recipe["lr_decay_iters"]) == (0.002, 7, 150)
    assert Path("maps.png").read_bytes().startswith(b"\x89PNG\r\n")
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["a", "a.run", "maps.png", "text"]


def test_a_run_resumed_ends_with_the_same_bits(directory, capsys, monkeypatch):
    monkeypatch.setattr(runs, "SAVE_EVERY", 2)
    argv = ["train", "lm", *TINY, *SHORT, "--dropout", 0.1, "--bias"]
    assert run(capsys, *argv)[0] == 0
    whole = Path("a").read_bytes(), Path("a.run").read_bytes()
    on_epoch_end = lm_report.Progress.on_epoch_end

    def press(self, epoch, logs):
        if epoch == 1:  # before the run is saved with this evaluation
            raise KeyboardInterrupt
        on_epoch_end(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(lm_report.Progress, "on_epoch_end", press)
        code, out, _ = run(capsys, *argv)
    assert code == 130 and "interrupted after 4 of 5 iterations" in out
    assert "model saved to a" in out and Path("a").read_bytes() != whole[0]
    code, out, _ = run(capsys, *argv, "--resume")
    assert code == 0 and "iteration 2/5" not in out and "iteration 4/5" in out
    assert (Path("a").read_bytes(), Path("a.run").read_bytes()) == whole
    code, out, _ = run(capsys, *argv, "--resume")  # nothing is left to do
    assert code == 0 and "iteration 5/5" not in out and Path("a").read_bytes() == whole[0]


def test_a_goal_that_lies_behind_loses_nothing(capsys, monkeypatch):
    fixed = ["--lr_decay_iters", 10, "--warmup_iters", 0, "--eval_interval", 4, "--dropout", 0.1]
    argv = ["train", "lm", *TINY, *fixed, "--max_iters"]
    assert run(capsys, *argv, 10)[0] == 0
    whole = Path("a").read_bytes()
    after_batch = lm_report.Progress.on_train_batch_end

    def press(self, batch, logs):
        after_batch(self, batch, logs)
        if self.optimizer.steps == 6:  # two batches into the second epoch
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(lm_report.Progress, "on_train_batch_end", press)
        assert run(capsys, *argv, 10)[0] == 130
    for goal in (5, 6):
        code, out, _ = run(capsys, *argv, goal, "--resume")
        assert code == 0 and f"trained for 6 of {goal} iterations" in out
    assert run(capsys, *argv, 10, "--resume")[0] == 0
    assert Path("a").read_bytes() == whole


def test_a_run_goes_on_with_its_recipe_and_may_get_longer(capsys):
    fixed = ["--lr_decay_iters", 5, "--warmup_iters", 0]
    argv = ["train", "lm", *TINY, "--eval_interval", 2, *fixed]
    assert run(capsys, *argv, "--max_iters", 3)[0] == 0
    assert_refused(capsys, [*argv, "--resume", "--lr", 1], "--learning_rate was 0.001, now it is 1")
    Path("text").write_text(load_text() + "!")
    assert_refused(capsys, [*argv, "--resume", "--text", "text"], "the checksum of the text was")
    assert_refused(capsys, [*argv, "--resume", "--n_embd", 32], "--n_embd was 16, now it is 32")
    code, out, _ = run(capsys, *argv, "--max_iters", 6, "--resume")
    assert code == 0 and re.findall(r"iteration (\d)/6", out) == ["5", "6"]


def test_bpe(capsys):
    pytest.importorskip("tokenizers")
    argv = ["train", "lm", *TINY, "--max_iters", 1, "--vocab", "bpe", "--vocab_size", 90]
    code, out, _ = run(capsys, *argv, "--plot", "maps.svg")
    assert code == 0 and "; vocabulary: 90 tokens" in out
    vocab = text.from_json(load_metadata("a")["vocabulary"])
    ids = vocab.encode("But soft!  What light\nthrough yonder window")
    pieces = "".join(spelled(vocab, ids[:3], ids[3:]))
    assert vocab.decode(ids[:3]) + pieces == vocab.decode(ids)
    code, out, _ = run(capsys, "generate", "a", "--prompt", "O Romeo", "--max_new_tokens", 5)
    assert code == 0 and out.startswith("O Romeo")
    assert_refused(capsys, ["generate", "a", "--prompt", "é"], "'é' has characters the model never")


def test_generate_streams_what_the_model_says(capsys, monkeypatch):
    model, vocab = a_model("m")
    argv = ["generate", "m", "--prompt", "abc", "--max_new_tokens", 20]
    _, out, err = run(capsys, *argv, "--temperature", 0)
    greedy = model.generate([vocab.encode("abc")], 20, temperature=0)[0]
    assert (out, err) == (f"abc{vocab.decode(greedy)}\n", "")
    argv += ["--top_k", 5, "--top-p", 0.9, "--num_samples", 2]
    outputs = [run(capsys, *argv, "--seed", seed)[1] for seed in (1, 1, 2)]
    assert outputs[0] == outputs[1] != outputs[2]
    first, _, second = outputs[0].partition("---------------\n")
    assert first != second and len(first) == len(second) == 24
    assert outputs[2].startswith(second)  # the second of seed 1 is the first of seed 2
    flushed = []
    monkeypatch.setattr(sys.stdout, "flush", lambda: flushed.append(1))
    main(list(map(str, argv)))
    assert len(flushed) >= 40


def test_a_text_begins_with_a_token_that_the_model_knows(capsys):
    for characters, begins in (("ab\n", "\n"), ("ab ", " "), ("cb", "b")):
        a_model("m", text.CharVocab.from_text(characters))
        code, out, err = run(capsys, "generate", "m", "--max_new_tokens", 3)
        assert (code, err) == (0, "") and out.startswith(begins) and len(out) == 5
    a_model("m", text.WordVocab.from_sentences(["hi hi lo"]))
    assert run(capsys, "generate", "m", "--max_new_tokens", 3)[1].startswith("hi")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--text", "none"], "none: No such file"),
        (["--text", "short"], "short: its training part has 9 tokens, .* --block_size 64"),
        (["--text", "short", "--block_size", 1], "short: its validation part has 1 tokens"),
        (["--text", "bad"], "bad, line 1: not UTF-8 text"),
        (["--text", "empty"], "empty: there are no characters"),
        (["--text", "short", "--out", "short"], "--text and --output are the same file"),
        (["--text", "short", "--out", "x", "--plot", "x.run"], "FILE.run and --plot are the same"),
        (["--out", "no/where"], "no/where: No such file"),
        (["--plot", "maps.txt"], "must end in .png"),
        (["--n_head", 3], "--n_embd 128 must be a multiple of --n_head 3"),
        (["--n_layer", 2000], "n_layers must be from 1 to"),
        (["--warmup_iters", 5, "--max_iters", 5], "--warmup_iters 5 must be below"),
        (["--vocab_size", 99], "--vocab_size is for --vocab bpe"),
        (["--resume"], r"--resume: there is no lm\.safetensors\.run to resume"),
        (["--beta1", 1], "--beta1: must be at least 0 and below 1, got 1"),
        (["--grad-clip", -1], "--grad-clip: must be at least 0 and finite"),
        (["--seed", 2**64], "--seed"),
    ],
)
def test_what_cannot_be_trained(directory, capsys, argv, message):
    Path("short").write_text("0123456789")
    Path("bad").write_bytes(b"\xff\xfe")
    Path("empty").write_text("")
    assert_refused(capsys, ["train", "lm", *argv], message)
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["bad", "empty", "short"]


def test_what_cannot_be_gone_on_with(capsys):
    model, vocab = a_model("m")
    save(nn.MLP((4, 2), rng=0), "mlp")
    save(model, "plain")
    save(model, "odd", metadata={"vocabulary": "{}"})
    save(model, "small", metadata={"vocabulary": text.CharVocab.from_text("ab").to_json()})
    model.parameters().data[...] = np.nan
    save(model, "nan", metadata={"vocabulary": vocab.to_json()})
    for argv, message in [
        (["none"], "none: No such file"),
        (["mlp"], "mlp was not written by `fastnn train lm`: it holds MLP"),
        (["plain"], "plain was not written by `fastnn train lm`: it has no vocabulary"),
        (["odd"], "odd: not a vocabulary"),
        (["small"], "its vocabulary has 2 tokens, its model 13"),
        (["nan"], "the largest logit is nan"),
        (["m", "--prompt", "abz"], r"--prompt: the character 'z' \(U\+007A\) at 2"),
        (["m", "--prompt", ""], "--prompt: must not be empty"),
        (["m", "--top_p", 1.5], "top_p must be above 0 and at most 1"),
        (["m", "--top_k", 0], "must be at least 1, got 0"),
        (["m", "--temperature", -1], "--temperature"),
    ]:
        assert_refused(capsys, ["generate", *argv], message)


def test_a_terminal_gets_a_progress_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    Path("text").write_text("[/b] [red]\n" * 100)  # would be markup
    code, out, _ = run(capsys, "train", "lm", *TINY, *SHORT, "--text", "text")
    assert code == 0
    shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", out)
    assert "iteration 5/5  loss" in shown and "5/5 batches" in shown and "tokens/s" in shown


def test_clock():
    assert [report.clock(s) for s in (0, 7.4, 61, 3723)] == ["0:00", "0:07", "1:01", "1:02:03"]


def test_attention_weights_explain_the_output():
    model = models.TransformerLM(11, 16, 4, 3, 8, position="rotary", n_kv_heads=2, rng=0)
    ids = np.random.default_rng(0).integers(11, size=(2, 6))
    found = model.attention_weights(ids)
    assert [w.shape for w in found] == [(2, 4, 6, 6)] * 3
    for w in found:
        np.testing.assert_allclose(w.sum(-1), 1, rtol=1e-5)
        assert not np.triu(w, 1).any()
    # the second block's, by hand: what the first left, normalized, through its projections
    block = model.blocks.blocks[1]
    x = model.blocks.blocks[0](model.embed(ids))
    _, by_hand = block.attention(block.norms[0](None, x)[0], causal=True, need_weights=True)
    np.testing.assert_allclose(found[1], by_hand, atol=1e-5)


def test_attention_maps_have_a_row_per_layer_and_a_column_per_head():
    pytest.importorskip("matplotlib")
    from fastnn import plot

    weights = [np.full((3, 2, 4), 0.25) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot.attention_maps(weights, "maps.png", xlabels=["$a", "_b$", "c", "d"])
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 6 and Path("maps.png").exists()
    assert {axes.get_gridspec().get_geometry() for axes in maps} == {(2, 3)}
    assert [label.get_text() for label in maps[-1].get_xticklabels()] == ["$a", "_b$", "c", "d"]
    for wrong in ([], [np.zeros((2, 3))], [np.zeros((1, 2, 2)), np.zeros((2, 2, 2))]):
        with pytest.raises(ValueError, match="weights must be"):
            plot.attention_maps(wrong)
    with pytest.raises(ValueError, match="1 ylabels do not fit"):
        plot.attention_maps(weights, ylabels=["a"])
