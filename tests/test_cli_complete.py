"""`fastnn generate` with a folder of a pretrained model: texts, conversations, errors."""

import io

import pytest

from fastnn import models
from fastnn.cli import main

from .models.test_text_model import folder

__all__ = ["folder"]

GREEDY = ["--temperature", "0", "--max_new_tokens", "6"]


def test_a_prompt_is_continued(folder, capsys):
    assert main(["generate", str(folder), "--prompt", "one two", *GREEDY]) == 0
    out, err = capsys.readouterr()
    text = models.TextModel.load(folder).generate("one two", 6, temperature=0)
    assert out == f"one two{text}\n"
    assert err.startswith("6 tokens, ") and err.endswith(" tokens/s\n")


def test_options_of_the_text(folder, capsys):
    model = models.TextModel.load(folder)
    second = model.generate("one two", 6, temperature=0).split()[1]
    command = ["generate", str(folder), "--prompt", "one two", *GREEDY]
    assert main([*command, "--stop", second]) == 0
    assert second not in capsys.readouterr().out
    assert main([*command, "--repetition_penalty", "1.5"]) == 0
    text = model.generate("one two", 6, temperature=0, repetition_penalty=1.5)
    assert capsys.readouterr().out == f"one two{text}\n"


def test_a_conversation(folder, capsys, monkeypatch):
    pytest.importorskip("jinja2")
    assert main(["generate", str(folder), "--chat", "--prompt", "hello", *GREEDY]) == 0
    once = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n\nworld\n"))
    assert main(["generate", str(folder), "--chat", *GREEDY]) == 0
    out = capsys.readouterr().out
    assert out.startswith(once) and out.count("\n") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "needs --prompt or --chat"),
        (["--prompt", " "], "prompt has no tokens"),
        (["--prompt", "one " * 99], "99 tokens, more than the model's 64"),
        (["--prompt", "one", "--top_p", "2"], "top_p"),
    ],
)
def test_wrong_options(folder, capsys, options, message):
    assert main(["generate", str(folder), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_damaged(folder, capsys):
    (folder / "tokenizer.json").write_text("{")
    assert main(["generate", str(folder), "--prompt", "one"]) == 2
    assert "is not a tokenizer, or damaged" in capsys.readouterr().err


def test_a_file_of_ours_has_no_chat(tmp_path, capsys):
    for option in (["--chat"], ["--stop", "x"]):
        assert main(["generate", str(tmp_path / "lm.safetensors"), *option]) == 2
        assert f"{option[0]} is for a folder with a pretrained model" in capsys.readouterr().err
