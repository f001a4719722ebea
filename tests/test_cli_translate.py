"""`fastnn train translate` and `fastnn translate`: a toy language, resumed runs, pipes, errors."""

import io
import json
import re

import numpy as np
import pytest

from fastnn import models, text
from fastnn.cli import main, runs, train_translate_report
from fastnn.cli.corpus import Pairs, hold_out, read_pairs, sentences
from fastnn.cli.report import report
from fastnn.cli.vocabularies import load_with_vocabulary
from fastnn.files import load, load_metadata, save
from fastnn.nn import MLP

from .command_line import assert_refused
from .command_line import run_lines as run

pytest.importorskip("tokenizers")

ENGLISH = "zero one two three four five six seven eight nine".split()
GERMAN = "null eins zwei drei vier fünf sechs sieben acht neun".split()

TINY = "--d-model 32 --n-heads 2 --n-layers 1 --d-ff 64 --max-tokens 400 --warmup 30 --dropout 0"
TINY += " --lr 0.01 --vocab-size 100 --threads 1"


def corpus(n, seed=0):
    """Lines of digits by name, in both languages."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(10, size=rng.integers(1, 7)) for _ in range(n)]
    return [
        "\n".join(" ".join(names[i] for i in row) for row in rows) + "\n"
        for names in (ENGLISH, GERMAN)
    ]


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Where a.en and a.de are, 300 pairs."""
    monkeypatch.chdir(tmp_path)
    for name, content in zip(("a.en", "a.de"), corpus(300), strict=True):
        (tmp_path / name).write_text(content, "utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A folder with a model of 600 pairs in m, its picture, and what the training printed."""
    folder = tmp_path_factory.mktemp("learnt")
    for name, (n, seed) in {"a": (600, 0), "v": (50, 1)}.items():
        for side, content in zip(("en", "de"), corpus(n, seed), strict=True):
            (folder / f"{name}.{side}").write_text(content, "utf-8")
    line = f"train translate --src {folder}/a.en --tgt {folder}/a.de {TINY} --updates 220"
    line += f" --valid-src {folder}/v.en --valid-tgt {folder}/v.de"
    line += f" --output {folder}/m --plot {folder}/m.png"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out := io.StringIO())
        assert main(line.split()) == 0
    (folder / "out").write_text(out.getvalue(), "utf-8")
    return folder


def test_it_learns_a_toy_language(learnt, capsys):
    new = [side.splitlines() for side in corpus(100, seed=2)]
    (learnt / "new.en").write_text("\n".join(new[0]) + "\n")
    code, _, err = run(
        capsys, f"translate {learnt}/m {learnt}/new.en --output {learnt}/new.de --threads 1"
    )
    assert code == 0 and err == ""
    found = (learnt / "new.de").read_text("utf-8").splitlines()
    assert len(found) == 100
    assert sum(a == b for a, b in zip(found, new[1], strict=True)) >= 70


def test_what_training_prints_and_writes(learnt):
    out = (learnt / "out").read_text("utf-8").splitlines()
    assert out[0].startswith("600 training pairs, 50 validation pairs; vocabulary: ")
    assert re.fullmatch(
        r"Transformer, 1 \+ 1 layers, width 32: [\d,]+ parameters, 1 thread; "
        r"\d+ epochs of \d+ batches",
        out[1],
    )
    assert out[2].startswith("sample  ")
    lines = [line for line in out if line.startswith("epoch")]
    pattern = (
        r"epoch +\d+/\d+  loss \d\.\d{4}  validation loss \d\.\d{4}  "
        r"[\d,]+ tokens/s  \d+:\d\d left"
    )
    assert all(re.fullmatch(pattern, line) for line in lines) and len(lines) > 10
    validation = [float(line.split("validation loss ")[1].split()[0]) for line in lines]
    assert validation[-1] < 0.3 < 2 < validation[0]
    assert (learnt / "m.png").read_bytes().startswith(b"\x89PNG\r\n")
    metadata = load_metadata(learnt / "m")
    options = json.loads(metadata["fastnn.translate"])
    assert options["d_model"] == 32 and options["updates"] == 220
    assert len(text.from_json(metadata["vocabulary"])) == load(learnt / "m").embedding.num


def test_from_a_pipe_to_a_pipe(learnt, capsys, monkeypatch):
    coming = io.TextIOWrapper(io.BytesIO(b"one  two three \r\n\n \nfour"))
    monkeypatch.setattr("sys.stdin", coming)
    code, out, err = run(capsys, f"translate {learnt}/m --beams 2 --length-penalty 0 --threads 1")
    assert code == 0 and err == ""
    model, vocab = load_with_vocabulary(str(learnt / "m"), models.Seq2SeqTransformer, "translate")
    how = {"beams": 2, "length_penalty": 0.0}
    expected = models.translate(model, vocab, ["one two three", "four"], **how)
    assert out == [expected[0], "", "", expected[1]]


def test_chunks_make_no_difference(learnt, capsys, monkeypatch):
    line = f"translate {learnt}/m {learnt}/v.en --beams 1 --threads 1"
    whole = run(capsys, line)[1]
    monkeypatch.setattr("fastnn.cli.translate.CHUNK", 7)
    assert run(capsys, line)[1] == whole and len(whole) == 50


def test_a_resumed_run_ends_with_the_same_bits(directory, capsys, monkeypatch):
    line = f"train translate --src a.en --tgt a.de {TINY} --dropout 0.1 --updates 24"
    assert run(capsys, f"{line} --output whole")[0] == 0
    # one that stops earlier and is asked for more
    assert run(capsys, f"{line} --output more --updates 9")[0] == 0
    assert run(capsys, f"{line} --output more --resume")[0] == 0
    # and one that Ctrl-C ends in the middle of an epoch, after a file of the run
    monkeypatch.setattr(runs, "SAVE_EVERY", 7)

    def interrupt(self, batch, logs):
        self.done += 1
        if self.done == 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_translate_report.Progress, "on_train_batch_end", interrupt)
        code, out, _ = run(capsys, f"{line} --output cut")
    assert code == 130 and "interrupted after 10 steps" in "\n".join(out)
    assert isinstance(load("cut"), models.Seq2SeqTransformer)
    assert run(capsys, f"{line} --output cut --resume")[0] == 0
    expected = (directory / "whole").read_bytes()
    assert (directory / "more").read_bytes() == expected
    assert (directory / "cut").read_bytes() == expected


def test_a_run_goes_on_with_the_same_options_and_text_only(directory, capsys):
    line = f"train translate --src a.en --tgt a.de {TINY} --output m"
    assert_refused(capsys, f"{line} --resume", r"there is no m\.run")
    assert run(capsys, f"{line} --updates 1")[0] == 0
    assert_refused(capsys, f"{line} --resume --lr 0.02", r"--lr was 0\.01, now it is 0\.02")
    assert_refused(capsys, f"{line} --resume --d-model 16", "--d-model was 32, now it is 16")
    for side, content in zip(("en", "de"), corpus(300, seed=5), strict=True):
        (directory / f"a.{side}").write_text(content, "utf-8")
    assert_refused(capsys, f"{line} --resume", r"the text was|m\.run")


def test_long_and_empty_pairs_are_left_out(directory, capsys):
    with open("a.en", "a") as en, open("a.de", "a", encoding="utf-8") as de:
        en.write("one\n" + "one " * 20 + "\n")
        de.write("\n" + "eins " * 20 + "\n")
    line = f"train translate --src a.en --tgt a.de {TINY} --output m --updates 1 --max-len 16"
    code, out, _ = run(capsys, f"{line} --valid-share 0 --ema 0")
    assert code == 0
    assert out[0] == "a.en: 1 pair with an empty side left out"
    assert out[1] == "1 training pair with more than 15 tokens left out"
    assert out[2].startswith("300 training pairs, 0 validation pairs")


def test_what_training_refuses(directory, capsys):
    (directory / "short").write_text("one\n")
    (directory / "empty").write_text("")
    (directory / "latin").write_bytes("eins\nf\xfcnf\n".encode("latin-1"))
    line = "train translate --tgt a.de --output m"
    assert_refused(capsys, f"{line} --src none", "none: No such file")
    assert_refused(capsys, f"{line} --src short", r"short has 1 line and a\.de has 300")
    assert_refused(capsys, "train translate --src empty --tgt empty", "no line with text in both")
    assert_refused(capsys, f"{line} --src latin", "latin, line 2: not UTF-8 text")
    assert_refused(capsys, f"{line} --src a.en --valid-src a.en", "go together")
    assert_refused(capsys, f"{line} --src m", "--src and --output are the same file")
    assert_refused(capsys, f"{line} --src m.run", r"--src and FILE\.run are the same file")
    assert_refused(capsys, f"{line} --src a.en --n-heads 3", "must be a multiple of --n-heads 3")
    assert_refused(capsys, f"{line} --src a.en --vocab-size 6", "--vocab-size: vocab_size is 6")
    assert_refused(capsys, f"{line} --src a.en --max-len 1", "all pairs are longer")
    assert_refused(capsys, f"{line} --src a.en --lr 0", "--lr: must be above 0 and finite, got")
    assert_refused(capsys, f"{line} --src a.en --plot m.bmp", "must end in")
    assert_refused(capsys, "train translate --src short --tgt short", "no training pairs left")
    assert not (directory / "m").exists() and not (directory / "m.run").exists()


def test_what_translating_refuses(learnt, directory, capsys):
    save(MLP((2, 2), rng=0), "mlp")
    assert_refused(capsys, "translate none", "none: No such file")
    assert_refused(capsys, "translate a.en", r"a\.en")
    assert_refused(
        capsys,
        "translate mlp a.en",
        "mlp was not written by `fastnn train translate`: it holds MLP",
    )
    save(models.Seq2SeqTransformer(9, d_model=4, n_heads=1, n_layers=1, rng=0), "bare")
    assert_refused(
        capsys, "translate bare a.en", "bare was not written by .*: it has no vocabulary"
    )
    assert_refused(capsys, f"translate {learnt}/m none", "none: No such file")
    assert_refused(capsys, f"translate {learnt}/m a.en --output a.en", "are the same file")
    (directory / "long").write_text("one\n" + "one " * 300 + "\n")
    assert_refused(capsys, f"translate {learnt}/m long", "long, line 2 has 300 tokens.* takes 255")


def test_a_line_that_cannot_be_translated_is_found_first(learnt, directory, capsys, monkeypatch):
    """The line number counts the whole input, earlier chunks included."""
    monkeypatch.setattr("fastnn.cli.translate.CHUNK", 3)
    good = b"one\ntwo\n\nthree\n"
    for name, bad, message in (
        ("latin", b"f\xfcnf\n", "line 5: not UTF-8 text (byte 0xfc)"),
        ("long", b"one " * 300, "line 5 has 300 tokens"),
    ):
        (directory / name).write_bytes(good + bad)
        for options in ("", " --output o"):
            code, out, err = run(capsys, f"translate {learnt}/m {name}{options}")
            assert code == 2 and not out and f"{name}, {message}" in err
            # input is translated as it arrives, unless the output is a file
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(good + bad)))
            code, out, err = run(capsys, f"translate {learnt}/m{options}")
            assert code == 2 and f"standard input, {message}" in err
            assert len(out) == (0 if options else 3)
    assert not (directory / "o").exists()


def test_length_penalties(learnt, capsys):
    for zero in ("0", "0.0", "0.00", "0e0"):
        assert run(capsys, f"translate {learnt}/m {learnt}/v.en --length-penalty {zero}")[0] == 0
    assert_refused(capsys, f"translate {learnt}/m --length-penalty -1", "from 0 to 32, got -1")


def test_a_model_that_gives_nan(learnt, directory, capsys):
    model = load(learnt / "m")
    model.parameters().data[...] = np.nan
    save(model, "nan", metadata={"vocabulary": load_metadata(learnt / "m")["vocabulary"]})
    assert_refused(capsys, "translate nan a.en", "nan: sentence 0: the logits have NaN")


def test_without_tokenizers(directory, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    wanted = r"pip install 'fastnn-cpu\[text\]'"
    assert_refused(capsys, "train translate --src a.en --tgt a.de", wanted)


def test_lines_end_with_a_newline_alone(tmp_path):
    assert sentences("\ufeffa  b\u2028c\x0bd\r\n\n e\n".encode(), "x") == ["a b c d", "", "e"]
    (tmp_path / "a").write_bytes(b"a\n\nc")
    (tmp_path / "b").write_bytes(b"A\nB\nC\n")
    assert read_pairs(str(tmp_path / "a"), str(tmp_path / "b")) == (["a", "c"], ["A", "C"])


def test_held_out_pairs_are_not_learnt_from():
    pairs = Pairs([str(i) for i in range(50)], [str(-i) for i in range(50)])
    train, held = hold_out(pairs, 0.1, seed=3)
    assert len(held.src) == 5 and sorted(train.src + held.src) == sorted(pairs.src)
    assert all(int(a) == -int(b) for a, b in zip(*held, strict=True))
    assert hold_out(pairs, 0.1, seed=3) == (train, held) != hold_out(pairs, 0.1, seed=4)


def test_a_sample_is_no_markup(monkeypatch, capsys):
    """Above a bar, brackets and colons of a sentence stay as they are."""
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with report(1, 1) as shown:
        shown.write("see [/b] and [red] :smile:")
    assert "see [/b] and [red] :smile:" in capsys.readouterr().out
