"""Texts from a language model: pieces, stop strings, the cache of prompts, chat, and folders."""

import json
import shutil

import numpy as np
import pytest

from fastnn import models
from fastnn.files import ModelFileError
from fastnn.models.text_model import until

from .pretrained_models import FOLDER
from .steppers import Fixed

tokenizers = pytest.importorskip("tokenizers")

TEMPLATE = (
    "{% for m in messages %}{{ m.role }} {{ m.content }}{{ eos_token }} {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
WORDS = ["<unk>", "</s>", "user", "assistant", "hello", "world", "one", "two", "three"]


def tokenizer_of(size=96):
    words = [*WORDS, *(f"w{i}" for i in range(size - len(WORDS)))]
    found = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
    )
    found.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    found.add_special_tokens(["</s>"])
    return found


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / "model"
    shutil.copytree(FOLDER / "llama", target)
    tokenizer_of().save(str(target / "tokenizer.json"))
    settings = {"eos_token": {"content": "</s>"}, "chat_template": TEMPLATE}
    (target / "tokenizer_config.json").write_text(json.dumps(settings))
    return target


def test_a_folder_continues_texts_as_its_model_does(folder):
    model = models.TextModel.load(folder)
    expected = np.load(folder / "expected.npz")
    prompt, greedy = expected["prompt"][0], expected["greedy"][0]
    decode = model.tokenizer.decode
    text = model.generate(decode(prompt.tolist()), 12, temperature=0)
    assert text.split() == decode(greedy[len(prompt) :].tolist()).split()
    assert text.startswith(" ") and model.new_tokens == 12
    assert model.stop == {1, 2}  # </s>, and the eos_token_id of the config


class Counting:
    """A model that notes how many tokens each step reads."""

    def __init__(self, model):
        self.model, self.max_len, self.steps = model, model.max_len, []

    def new_cache(self, batch, max_len):
        self.steps.append("new")
        return self.model.new_cache(batch, max_len)

    def step(self, ids, cache):
        self.steps.append(ids.shape[1])
        return self.model.step(ids, cache)


def test_a_prompt_is_read_from_where_it_differs():
    tokenizer = tokenizer_of()
    lm = models.TransformerLM(96, 16, 2, 1, 64, rng=0)
    counting = Counting(lm)
    model = models.TextModel(counting, tokenizer)
    first = model.generate("one two three", 4, temperature=0)
    assert counting.steps == ["new", 3, 1, 1, 1]
    for prompt, read in (
        ("one two three" + first, 1),  # the last of the new tokens has not been read
        ("one two w1", 1),
        ("one two w1", 1),  # the last token gives the logits
        ("two", 1),
    ):
        del counting.steps[:]
        found = model.generate(prompt, 2, temperature=0)
        assert counting.steps == [read, 1]
        assert found == models.TextModel(lm, tokenizer).generate(prompt, 2, temperature=0)


def test_a_conversation_goes_on(folder):
    pytest.importorskip("jinja2")
    model = models.TextModel.load(folder)
    messages = [{"role": "user", "content": "hello world"}]
    answer = "".join(model.chat(messages, 5, temperature=0))
    ids = model.tokenizer.encode("user hello world</s> assistant").ids
    new = models.generate(model.model, [ids], 5, temperature=0, stop=model.stop)[0].tolist()
    assert answer.split() == model.tokenizer.decode([t for t in new if t not in model.stop]).split()
    messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "one"}]
    again = "".join(model.chat(messages, 5, temperature=0))
    fresh = models.TextModel.load(folder)
    assert again == "".join(fresh.chat(messages, 5, temperature=0))


@pytest.mark.parametrize(
    ("pieces", "ends", "expected"),
    [
        (["a b", " c"], ["b"], "a "),
        (["a", "b", "c"], ["bc"], "a"),
        (["ab", "ab", "abc"], ["abc"], "abab"),
        (["aa", "ab"], ["aab"], "a"),
        (["x", "yz"], ["zz", "q"], "xyz"),
        (["one two"], ["two", "one"], ""),
        ([], ["a"], ""),
        (["abc"], [], "abc"),
    ],
)
def test_stop_strings(pieces, ends, expected):
    assert "".join(until(iter(pieces), ends)) == expected


def test_pieces_are_yielded_as_soon_as_they_are_certain():
    assert list(until(iter(["one", " E", "ND two"]), ["END"])) == ["one", " "]
    assert list(until(iter(["one", " E", "x"]), ["END"])) == ["one", " ", "Ex"]


def test_characters_of_several_tokens_come_whole():
    bytes_of = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {c: i for i, c in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))}, []
        )
    )
    bytes_of.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_of.decoder = tokenizers.decoders.ByteLevel()
    ids = bytes_of.encode("né✓").ids
    model = models.TextModel(models.TransformerLM(256, 16, 2, 1, 8, rng=0), bytes_of)
    assert len(ids) == 6
    assert list(model._pieces(ids[0], iter(ids[1:]))) == ["é", "✓"]


def test_wrong_arguments(folder):
    model = models.TextModel.load(folder)
    for call, error, message in (
        (lambda: model.generate(""), ValueError, "prompt has no tokens"),
        (lambda: model.generate(3), TypeError, "prompt must be a str"),
        (lambda: model.generate("one " * 65), ValueError, "65 tokens, more than the model's 64"),
        (lambda: model.generate("one", 0), ValueError, "max_new_tokens"),
        (lambda: model.generate("one", stop=""), ValueError, "stop must be texts"),
        (lambda: model.generate("one", repetition_penalty=0), ValueError, "repetition_penalty"),
        (lambda: model.generate("one", temperature=-1), ValueError, "temperature"),
        (lambda: model.chat("hello"), TypeError, "messages must be a sequence of mappings"),
        (lambda: model.chat([]), TypeError, "messages must be a sequence of mappings"),
        (lambda: models.TextModel(model.model, 3), TypeError, "tokenizer must have 'encode'"),
        (lambda: models.TextModel(3, model.tokenizer), TypeError, "model must have `step`"),
    ):
        with pytest.raises(error, match=message):
            call()
    model = models.TextModel(model.model, model.tokenizer)
    with pytest.raises(ValueError, match="no chat template"):
        model.chat([{"role": "user", "content": "hello"}])


def test_templates_run_in_a_sandbox():
    pytest.importorskip("jinja2")
    tokenizer, lm = tokenizer_of(9), Fixed(np.zeros(9))
    messages = [{"role": "user", "content": "hello"}]
    for template, message in (
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% if %}", "fails on these messages"),
        ("{{ messages[0].content + 3 }}", "fails on these messages"),
    ):
        model = models.TextModel(lm, tokenizer, template=template)
        with pytest.raises(ValueError, match=message):
            model.chat(messages)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("tokenizer.json", "{", "is not a tokenizer"),
        ("tokenizer_config.json", "[1]", "must be an object"),
        ("tokenizer_config.json", '{"eos_token": 3}', "a special token must be a text"),
        ("tokenizer_config.json", '{"chat_template": 3}', "chat_template must be a text"),
        ("generation_config.json", '{"eos_token_id": [-1]}', "eos_token_id"),
    ],
)
def test_damaged_folders(folder, file, content, message):
    (folder / file).unlink(missing_ok=True)
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(ModelFileError, match=message):
        models.TextModel.load(folder)


def test_templates_of_their_own_file_and_of_several(folder):
    named = [{"name": "tool", "template": "x"}, {"name": "default", "template": "one"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert models.TextModel.load(folder).template.source == "one"
    (folder / "chat_template.jinja").write_text("two")
    assert models.TextModel.load(folder).template.source == "two"
    with pytest.raises(ModelFileError, match="generates no text"):
        models.TextModel.load(FOLDER / "bert")
