"""Random command lines over hostile files: an answer or one line that says what is wrong.

FASTNN_FUZZ=20000 runs as many command lines instead of the few here, FASTNN_FUZZ_SEED others.
"""

import gzip
import io
import os
import random
import re
import sys
import time
from pathlib import Path

import pytest

from fastnn import models, nn, text
from fastnn.cli import main
from fastnn.files import save
from fastnn.files.tensors import write_tensors

RUNS = int(os.environ.get("FASTNN_FUZZ", "250"))
SEED = int(os.environ.get("FASTNN_FUZZ_SEED", "0"))
SECONDS = 15 if RUNS <= 250 else float("inf")

DEEP = "[" * 1000 + "]" * 1000
# Values in place of a number or a text. "9" * 5000 is more than int() reads.
WRONG = ["", "0", "-1", "-0.5", "1.5", "nan", "inf", "-inf", "1e400", "9" * 5000, "x", "None", "²"]
WRONG += [
    "٣",
    "1_000",
    " 2",
    "0x10",
    "-",
    "--",
    "\udcff",
    "a\0b",
    "a\nb",
    "{}",
    "%s",
    "=",
    "é" * 300,
]
# Numbers that cost neither work nor memory, however large.
HUGE = ["1000000000", str(2**31), str(2**63), str(2**64), "1" + "0" * 30]
COUNT, RATE, SHARE = ["1", "2", "3"], ["1e-3", "0.1", "1e30"], ["0", "0.1", "0.9"]
PATHS = ["out", "out.png", "no/where", ".", "", "out\udcff", "a" * 300, "-", "/dev/null", "{epoch}"]
COLUMNS = ["y", "x", "kind", "z", ""]

DIGITS = {"--epochs": COUNT, "--batch-size": [*COUNT, *HUGE], "--lr": RATE, "--hidden": COUNT}
DIGITS |= {"--seed": HUGE, "--threads": [*COUNT, *HUGE], "--output": PATHS, "--plot": PATHS}
TABLE = {"--target": COLUMNS, "--task": ["auto", "classification", "regression"]}
TABLE |= {
    "--drop": COLUMNS,
    "--test-size": SHARE,
    "--dropout": SHARE,
    "--decimal": ["point", "comma"],
}
TABLE |= {"--delimiter": [",", ";", "tab", "|", '"', "\\t", " "]} | DIGITS
TABLE |= {"--use": COLUMNS, "--na-values": ["1", "-999", "a"], "--class-weight": ["balanced"]}
ENCODINGS = ["utf-8", "cp1252", "utf-16", "utf-7", "hex", "idna", "undefined", "\udcff", "a" * 99]
TABLE |= {"--encoding": ENCODINGS, "--json": None, "-q": None}
LM = {"--text": [], "--vocab": ["chars", "bpe"], "--vocab_size": [*COUNT, *HUGE, "60"]}
LM |= {"--n_layer": COUNT, "--n_head": COUNT, "--n_embd": ["6"], "--block_size": [*COUNT, "8"]}
LM |= {"--batch-size": COUNT, "--dropout": SHARE, "--lr": RATE, "--min_lr": RATE}
LM |= {"--warmup_iters": ["0", *COUNT, *HUGE], "--max_iters": COUNT, "--eval_iters": COUNT}
LM |= {"--lr_decay_iters": [*COUNT, *HUGE], "--weight_decay": RATE, "--beta1": SHARE}
LM |= {"--grad_clip": RATE, "--eval_interval": [*COUNT, *HUGE], "--bias": None, "--resume": None}
LM |= {"--seed": HUGE, "--threads": COUNT, "--output": PATHS, "--plot": PATHS}
PAIRS = {
    "--src": [],
    "--tgt": [],
    "--valid-src": [],
    "--valid-tgt": [],
    "--vocab-size": ["40", *HUGE],
}
PAIRS |= {"--d-model": ["4"], "--n-heads": COUNT, "--n-layers": COUNT, "--d-ff": COUNT}
PAIRS |= {"--max-len": [*COUNT, "9"], "--dropout": SHARE, "--label-smoothing": SHARE}
PAIRS |= {
    "--updates": COUNT,
    "--max-tokens": ["9", *HUGE],
    "--lr": RATE,
    "--warmup": [*COUNT, *HUGE],
}
PAIRS |= {
    "--ema": SHARE,
    "--valid-share": SHARE,
    "--seed": HUGE,
    "--output": PATHS,
    "--plot": PATHS,
}
PAIRS |= {"--resume": None, "--threads": COUNT}
GENERATE = {"--prompt": ["ab", "\n", "z", ""], "--max_new_tokens": COUNT, "--temperature": RATE}
GENERATE |= {"--chat": None, "--stop": ["a", ""], "--repetition_penalty": RATE}
GENERATE |= {"--top_k": [*COUNT, *HUGE], "--top_p": SHARE, "--seed": HUGE, "--num_samples": COUNT}
TRANSLATE = {"--beams": [*COUNT, "100"], "--length-penalty": [*RATE, "1e300"], "--output": PATHS}
PREDICT = {
    "--digit": ["0", "1796", *HUGE],
    "--output": PATHS,
    "--proba": None,
    "--delimiter": [","],
    "--keep": COLUMNS,
    "--encoding": ENCODINGS,
    "--json": None,
}

# command -> number of files, its options, and options that let it run further
COMMANDS = {
    "train digits": (0, DIGITS, "--epochs 1 --hidden 2"),
    "train csv": (1, TABLE, "--epochs 1 --hidden 2 --target y"),
    "train lm": (
        0,
        LM,
        "--max_iters 1 --n_embd 6 --n_head 1 --n_layer 1 --eval_iters 1 --text text",
    ),
    "train translate": (
        0,
        PAIRS,
        "--updates 1 --d-model 4 --n-heads 1 --n-layers 1 --d-ff 2 --src lines --tgt lines",
    ),
    "predict": (2, PREDICT, ""),
    "generate": (1, GENERATE, "--max_new_tokens 2"),
    "translate": (2, TRANSLATE, "--beams 1"),
    "info": (0, {"--json": None}, ""),
    "show": (1, {"--json": None}, ""),
    "evaluate": (3, {"--json": None, "--encoding": ENCODINGS, "--delimiter": [","]}, ""),
    "export": (
        1,
        {"m.onnx": None, "m.safetensors": None, "--format": ["onnx", "torch"], "-q": None},
        "",
    ),
    "completion": (0, {"bash": None, "fish": None}, ""),
    "train": (0, {}, ""),
    "": (1, {}, ""),
}


def make_files():
    """Good and bad ones, small ones all."""
    rows = [f"{i},{2 * i},{'ab'[i % 2]}" for i in range(20)]
    table = "\n".join(["x,y,kind", *rows]) + "\n"
    Path("rows.csv").write_text(table)
    Path("rows.gz").write_bytes(gzip.compress(table.encode()))
    Path("comma.csv").write_text("x;y\n" + "1,5;2,5\n3;\n" * 10)
    Path("text").write_text("abc\nab cab\n" * 30)
    Path("lines").write_text("a b\nc\n\nb a\n" * 3)
    for argv in ("--target kind --output table", "--target x --output quantity"):
        argv = ["train", "csv", "rows.csv", "--epochs", "1", "--hidden", "2", *argv.split()]
        assert main(argv) == 0
    save(nn.MLP((64, 10), rng=0), "digits")
    vocab, words = text.CharVocab("\nabc"), text.WordVocab.from_sentences(["a b c"])
    language = models.TransformerLM(4, 4, 2, 1, 8, rng=0)
    save(language, "lm", metadata={"vocabulary": vocab.to_json()})
    save(language, "other", metadata={"vocabulary": words.to_json()})
    save(language, "deep", metadata={"vocabulary": DEEP})
    sizes = {"d_model": 4, "n_heads": 2, "n_layers": 1, "d_ff": 4, "rng": 0}
    seq2seq = models.Seq2SeqTransformer(len(words), **sizes)
    save(seq2seq, "translator", metadata={"vocabulary": words.to_json()})
    language.parameters().data[...] = float("nan")
    save(language, "nan", metadata={"vocabulary": vocab.to_json()})
    write_tensors("deep-model", {}, {"fastnn": f'{{"version":1,"model":{DEEP}}}'})
    write_tensors("foreign", {}, {})
    content = Path("table").read_bytes()
    Path("cut").write_bytes(content[:-3])
    Path("deep-table").write_bytes(b"")
    save(nn.MLP((2, 2), rng=0), "deep-table", metadata={"fastnn.table": DEEP})
    for name, bad in {
        "empty": b"",
        "bytes": bytes(range(256)),
        "nul": b"x,y\n" + b"\0,1\n" * 12,
        "bom": b"\xef\xbb\xbf\n\n\n",
        "quote": b'x,y\n"1,2\n',
        "packed": gzip.compress(content)[:-5],
        "utf16": table.encode("utf-16"),
        "json": DEEP.encode(),
        "sep": b"sep=\n",
        "ragged": b"x,y\n1\n1,2,3\n",
        "numbers": b"x,y\n" + b"1e400,1e308\n-1e308,1e308\n" * 9,
        "long": b"x" * 200_000 + b",y\n1,2\n",
        "lf": b"\n" * 50,
        "cr": b"x,y\r1,2\r",
    }.items():
        Path(name).write_bytes(bad)
    return sorted(os.listdir())


def command_line(rng, files):
    """A command with files and some of its options, most of them right."""
    name = rng.choice(list(COMMANDS))
    n_files, options, usual = COMMANDS[name]
    argv = [*name.split(), *usual.split()]
    hostile = rng.random() < 0.5
    argv += [rng.choice([*files, "-", "nowhere"]) for _ in range(n_files - (rng.random() < 0.2))]
    for option in rng.sample(list(options), min(len(options), rng.randrange(5))):
        values = options[option]
        argv.append(option)
        if values is not None:
            pool = values or [*files, "-", "nowhere"]
            argv.append(rng.choice(WRONG if hostile and rng.random() < 0.3 else pool))
    if hostile and rng.random() < 0.3:
        argv.insert(rng.randrange(len(argv) + 1), rng.choice([*WRONG, "--help", "--version", "-x"]))
    return argv


@pytest.mark.filterwarnings("default")
def test_no_command_line_ends_in_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = make_files()
    rng, end = random.Random(SEED), time.monotonic() + SECONDS
    codes = []
    for run in range(RUNS):
        if time.monotonic() > end:
            break
        argv = command_line(rng, files)
        data = rng.choice([b"", b"x,y\n1,2\n", b"a b\n", b"\xff", b"\x1f\x8b\0"])
        stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)), "utf-8")
        monkeypatch.setattr(sys, "stdin", rng.choice([stdin, stdin, None]))
        capsys.readouterr()
        try:
            code = main(argv)
        except SystemExit as left:  # --help, --version
            code = left.code
        except BaseException as error:
            raise AssertionError(f"run {run}: fastnn {argv!r}") from error
        err = capsys.readouterr().err
        last = err.splitlines()[-1] if err else ""
        told = re.fullmatch(r"fastnn: error: .*\S.*", last)
        assert code in (0, 1, 2) and (code == 0 or told), (run, argv, code, err)
        assert all(len(line) < 2000 for line in err.splitlines()), (run, argv)
        codes.append(code)
    assert 0.1 < sum(code == 0 for code in codes) / len(codes) < 0.9
