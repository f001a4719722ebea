"""Runs of `train lm` and `translate` that end early, resume, diverge, or print escapes."""

import io
import json
import os
import re
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fastnn import models, nn, text
from fastnn.cli import lm, lm_report, main, train_translate, train_translate_report
from fastnn.files import load_metadata, save
from fastnn.train import save_checkpoint

LM = "train lm --text text --n_layer 1 --n_head 2 --n_embd 16 --block_size 8 --batch_size 2"
LM += " --eval_iters 1 --eval_interval 2 --max_iters 5 --dropout 0.1 --threads 1"

TRANSLATE = "train translate --src en --tgt de --d-model 16 --n-heads 2 --n-layers 1 --d-ff 16"
TRANSLATE += " --max-tokens 60 --vocab-size 40 --warmup 2 --updates 12 --threads 1"

# A command, and its callback that is called after each batch.
COMMANDS = [(LM, lm_report.Progress), (TRANSLATE, train_translate_report.Progress)]


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """A folder with training texts, all with a letter that ASCII lacks."""
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("fünf elf zwölf\n" * 30, "utf-8")
    Path("en").write_text("five\neleven twelve\n" * 20, "utf-8")
    Path("de").write_text("fünf\nelf zwölf\n" * 20, "utf-8")
    return tmp_path


def run(capsys, line):
    """Exit code, stdout, stderr."""
    if line.startswith("train translate"):
        pytest.importorskip("tokenizers")
    code = main(line.split())
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def assert_refused(capsys, line, message):
    """One line on stderr that matches, exit code 2."""
    code, _, err = run(capsys, line)
    assert code == 2
    assert re.fullmatch(r"fastnn: error: [^\n]+\n", err), err
    assert re.search(message, err), err


def interrupted(capsys, monkeypatch, line, progress, press, at):
    """The output of a run in which `press` is called at batch `at`."""
    own, batches = progress.on_train_batch_end, []

    def on_train_batch_end(self, batch, logs):
        own(self, batch, logs)
        batches.append(batch)
        if len(batches) == at:
            press()

    with monkeypatch.context() as patch:
        patch.setattr(progress, "on_train_batch_end", on_train_batch_end)
        code, out, _ = run(capsys, line)
    assert code == 130
    return out


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def at_once():
    raise KeyboardInterrupt


@pytest.mark.parametrize(("command", "progress"), COMMANDS)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_ctrl_c_keeps_the_run_and_the_same_bits(capsys, monkeypatch, command, progress, at):
    assert run(capsys, f"{command} --output whole")[0] == 0
    before = signal.getsignal(signal.SIGINT)
    out = interrupted(capsys, monkeypatch, f"{command} --output cut", progress, ctrl_c, at)
    assert f"interrupted after {at} " in out
    assert "model saved to cut, run state saved to cut.run\n" in out
    assert signal.getsignal(signal.SIGINT) is before
    code, out, _ = run(capsys, f"{command} --output cut --resume")
    assert code == 0 and f"resuming after {at} " in out
    assert Path("cut").read_bytes() == Path("whole").read_bytes()


@pytest.mark.parametrize(("command", "progress"), COMMANDS)
def test_no_run_is_claimed_that_was_not_written(capsys, monkeypatch, command, progress):
    out = interrupted(capsys, monkeypatch, f"{command} --output m", progress, at_once, 1)
    assert "model saved to m\n" in out and not Path("m.run").exists()
    assert_refused(capsys, f"{command} --output m --resume", r"--resume: there is no m\.run")
    assert run(capsys, f"{command} --output m")[0] == 0
    earlier = Path("m.run").read_bytes()
    out = interrupted(capsys, monkeypatch, f"{command} --output m", progress, at_once, 1)
    assert "model saved to m\n" in out and Path("m.run").read_bytes() == earlier


@pytest.mark.parametrize("command", [LM, TRANSLATE])
def test_what_is_no_run_of_the_command(capsys, command):
    model = nn.MLP((2, 2), rng=0)
    save(model, "m.run")
    line = f"{command} --output m --resume"
    assert_refused(capsys, line, r"--resume: m\.run .*does not hold a training run")
    save_checkpoint("m.run", model, extra={"callbacks": {}})
    assert_refused(capsys, line, r"--resume: m\.run has no run of this command")
    Path("m.run").write_bytes(b"")
    assert_refused(capsys, line, r"--resume: m\.run")
    assert not Path("m").exists()


@pytest.mark.parametrize(("command", "progress"), COMMANDS)
def test_a_second_ctrl_c_does_not_wait(capsys, monkeypatch, command, progress):
    def twice():
        ctrl_c()
        ctrl_c()

    out = interrupted(capsys, monkeypatch, f"{command} --output m", progress, twice, 3)
    assert "interrupted after 3 " in out and not Path("m.run").exists()


@pytest.mark.parametrize("command", [LM, TRANSLATE])
def test_a_run_that_was_killed_goes_on_from_the_last_file(capsys, monkeypatch, command):
    """Files after the batches 2 and 4, one of them the last of an interval or an epoch."""
    assert run(capsys, f"{command} --output whole")[0] == 0
    monkeypatch.setattr("fastnn.cli.runs.SAVE_EVERY", 2)
    for last in (1, 2):
        written = []

        def killed(self, epoch, logs, last=last, written=written):
            written.append(epoch)
            type(self).__mro__[1]._write(self, epoch, logs)
            if len(written) == last:
                raise SystemExit(9)

        with monkeypatch.context() as patch:
            patch.setattr("fastnn.cli.runs.RunFile._write", killed)
            with pytest.raises(SystemExit):
                run(capsys, f"{command} --output cut")
        capsys.readouterr()
        code, out, _ = run(capsys, f"{command} --output cut --resume")
        assert code == 0 and f"resuming after {2 * last} " in out
        assert Path("cut").read_bytes() == Path("whole").read_bytes()


@pytest.mark.parametrize("command", [LM, TRANSLATE])
def test_a_file_may_have_braces_in_its_name(directory, capsys, command):
    before = {path.name for path in directory.iterdir()}
    line = f"{command} --output a{{1}}.safetensors"
    assert run(capsys, line)[0] == 0
    assert {path.name for path in directory.iterdir()} - before == {
        "a{1}.safetensors",
        "a{1}.safetensors.run",
    }
    assert run(capsys, f"{line} --resume")[0] == 0


@pytest.mark.filterwarnings("default::RuntimeWarning")
@pytest.mark.parametrize("options", [f"{LM} --lr 1e38", f"{TRANSLATE} --lr 1e38 --ema 0"])
def test_a_run_that_diverges(directory, capsys, options):
    code, _, err = run(capsys, f"{options} --output m")
    assert code == 1 and not Path("m").exists()
    assert re.search("^fastnn: error: .* NaN or infinite weights, m is not written", err, re.M)


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_attention_that_is_nan_is_not_drawn(capsys, monkeypatch):
    monkeypatch.setattr(train_translate, "check_learnt", lambda *_: None)
    code, out, err = run(capsys, f"{TRANSLATE} --lr 1e38 --ema 0 --output m --plot m.png")
    assert code == 2 and "model saved to m" in out and not Path("m.png").exists()
    assert "fastnn: error: --plot: sentence 0: the logits have NaN" in err


def test_a_thread_that_is_not_the_main_one_trains_too():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main([*LM.split(), "--output", "m"])))
    thread.start()
    thread.join()
    assert codes == [0] and Path("m.run").exists()


def test_a_model_that_gives_nan_writes_no_sample(capsys):
    """Its weights are finite, but its outputs are not."""
    vocab = text.CharVocab.from_text("abcd")
    model = models.TransformerLM(4, 16, 2, 1, 8, rng=0)
    model.parameters().data[...] = 1e30
    ids = np.array(vocab.encode("abcdabcd"))
    args = lm.argparse.Namespace(block_size=4, batch_size=2, seed=0, plot=None, output="m")
    args.result = {}
    with np.errstate(all="ignore"):
        lm._show(args, model, lm.Corpus(vocab, ids, ids))
    assert "no sample: " in capsys.readouterr().out


def test_a_translation_of_nan_is_no_sample(capsys):
    pytest.importorskip("tokenizers")
    vocab = text.BPE.train(["a b"], 20)
    model = models.Seq2SeqTransformer(len(vocab), d_model=4, n_heads=1, n_layers=1, rng=0)
    model.parameters().data[...] = np.nan
    corpus = train_translate.Corpus(vocab, None, None, train_translate.Pairs(["a"], ["b"]))
    sample = train_translate._Sample(model, corpus, None)
    assert sample.now().startswith("no sample: ")


@pytest.mark.parametrize("command", [LM, TRANSLATE])
def test_what_the_terminal_cannot_show_is_replaced(monkeypatch, command):
    if command is TRANSLATE:
        pytest.importorskip("tokenizers")
    monkeypatch.setattr(sys, "stdout", out := io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert main([*command.split(), "--output", "m"]) == 0
    assert b"?" in out.buffer.getvalue() and b"model saved to m" in out.buffer.getvalue()


def test_options_that_follow_from_others_are_those_of_the_run(capsys):
    longer = LM.replace("--max_iters 5", "--max_iters 8")
    assert run(capsys, f"{longer} --lr_decay_iters 5 --warmup_iters 0 --output whole")[0] == 0
    assert run(capsys, f"{LM} --output m")[0] == 0
    wrong = f"{longer} --output m --resume --lr_decay_iters 8"
    assert_refused(capsys, wrong, "--lr_decay_iters was 5, now it is 8")
    assert run(capsys, f"{longer} --output m --resume")[0] == 0
    recipe = json.loads(load_metadata("m")["recipe"])
    assert (recipe["max_iters"], recipe["lr_decay_iters"], recipe["warmup_iters"]) == (8, 5, 0)
    assert Path("m").read_bytes() == Path("whole").read_bytes()


def test_sizes_are_tried_before_a_vocabulary_is_learnt(capsys, monkeypatch):
    pytest.importorskip("tokenizers")
    monkeypatch.setattr(text.BPE, "train", None)
    for option, message in (
        ("--n-layers 2000", "n_layers must be from 1 to"),
        (f"--max-len {10**19}", ""),
    ):
        assert_refused(capsys, f"{TRANSLATE} {option} --output m", message)
    assert_refused(
        capsys, f"{LM} --vocab bpe --n_layer 2000 --output m", "n_layers must be from 1 to"
    )
