"""`fastnn embed` and `fastnn search`."""

import io
import json

import numpy as np
import pytest

from fastnn.models import SentenceEncoder

pytest.importorskip("tokenizers")

from .command_line import assert_refused, run
from .models.sentence_models import make, texts

LINES = texts(20)


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Where model/ and texts.txt are."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "model")
    (tmp_path / "texts.txt").write_text("".join(f"{line}\n" for line in LINES), "utf-8")
    return tmp_path


def test_embed(directory, capsys):
    code, out, _ = run(capsys, "embed", "model", "texts.txt", "-o", "v.npy", "--threads", "1")
    assert (code, out) == (0, "20 vectors of 32 numbers written to v.npy\n")
    expected = SentenceEncoder.load("model").encode(LINES)
    np.testing.assert_array_equal(np.load("v.npy"), expected)


def test_embed_standard_input_with_a_prompt(directory, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the cat\na dog")))
    code, out, _ = run(
        capsys, "embed", "model", "-", "-o", "v.npy", "--prompt-name", "query", "--json"
    )
    assert code == 0
    assert json.loads(out) == {"texts": 2, "dim": 32, "output": "v.npy"}
    expected = SentenceEncoder.load("model").encode(["red: the cat", "red: a dog"])
    np.testing.assert_array_equal(np.load("v.npy"), expected)


def test_embed_of_an_empty_file(directory, capsys):
    (directory / "texts.txt").write_text("")
    assert run(capsys, "embed", "model", "texts.txt", "-o", "v.npy")[0] == 0
    assert np.load("v.npy").shape == (0, 32)


def test_search(directory, capsys):
    code, out, _ = run(capsys, "search", "model", "texts.txt", LINES[4], "--top-k", "3")
    assert code == 0
    first, *others = out.splitlines()
    assert first == f"1.0000\t5\t{LINES[4]}"
    assert len(others) == 2
    run(capsys, "embed", "model", "texts.txt", "-o", "v.npy")
    again = run(capsys, "search", "model", "texts.txt", LINES[4], "--top-k=3", "--vectors=v.npy")
    assert again == (0, out, "")
    code, out, _ = run(capsys, "search", "model", "texts.txt", LINES[4], "--top-k=1", "--json")
    found = json.loads(out)
    assert found == [{"score": pytest.approx(1, abs=1e-6), "line": 5, "text": LINES[4]}]


def test_errors(directory, capsys):
    embed = ("embed", "model", "texts.txt", "-o", "v.npy")
    assert_refused(capsys, ["embed", "none", *embed[2:]], "none: No such folder")
    assert_refused(capsys, ["embed", "model", "none", "-o", "v.npy"], "none: No such file")
    assert_refused(capsys, ["embed", "model", "texts.txt", "-o", "texts.txt"], "same file")
    assert_refused(capsys, ["embed", "model", "texts.txt", "-o", "-"], "--output must be a file")
    assert_refused(capsys, [*embed, "--memory", "1kB"], "memory is '1kB', but a text of 24 tokens")
    assert_refused(capsys, [*embed, "--prompt-name", "q"], "prompt_name is 'q'; this encoder has")
    assert_refused(capsys, ["embed", "model", "texts.txt"], "required: -o")
    (directory / "latin.txt").write_bytes(b"\xe9")
    assert_refused(capsys, ["search", "model", "latin.txt", "a"], "latin.txt.*not UTF-8")
    np.save("v.npy", np.zeros((3, 32), np.float32))
    search = ("search", "model", "texts.txt", "a")
    message = r"v.npy has the shape \(3, 32\), but there"
    assert_refused(capsys, [*search, "--vectors", "v.npy"], message)
    assert_refused(capsys, [*search, "--vectors", "texts.txt"], "is not a .npy file")
    (directory / "model" / "tokenizer.json").unlink()
    assert_refused(capsys, [*embed], "has no tokenizer.json")
    assert not list(directory.glob("*.part"))
