"""The command line as a program: closed and full streams, pipes, gzip, broken environments."""

import errno
import gzip
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn import models, nn, text
from fastnn.cli import main
from fastnn.files import save

pytestmark = pytest.mark.skipif(os.name != "posix", reason="streams as POSIX has them")
FASTNN = [sys.executable, "-m", "fastnn"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model of each command, and its input."""
    folder = tmp_path_factory.mktemp("files")
    before = os.getcwd()
    os.chdir(folder)
    try:
        rows = [f"{x},{2 * x},{'ab'[x % 2]}" for x in range(40)]
        Path("rows.csv").write_text("\n".join(["x,y,kind", *rows]) + "\n")
        argv = ["train", "csv", "rows.csv", "--target", "kind", "--epochs", "1", "--hidden", "4"]
        assert main([*argv, "--output", "table"]) == 0
        save(nn.MLP((64, 10), rng=0), "digits")
        vocab = text.CharVocab.from_text("abc\n")
        language = models.TransformerLM(4, 8, 2, 1, 8, rng=0)
        save(language, "lm", metadata={"vocabulary": vocab.to_json()})
        words = text.WordVocab.from_sentences(["a b c"])
        seq2seq = models.Seq2SeqTransformer(len(words), d_model=8, n_heads=2, n_layers=1, d_ff=8)
        save(seq2seq, "translator", metadata={"vocabulary": words.to_json()})
        Path("lines").write_text("a b\nc\n")
        Path("text").write_text("abc\nab cab\n" * 60)
    finally:
        os.chdir(before)
    return folder


RESULTS = {
    "info": "info",
    "predict": "predict table rows.csv",
    "digit": "predict digits --digit 3",
    "generate": "generate lm --prompt ab --max_new_tokens 5 --seed 0",
    "translate": "translate translator lines",
}
TRAININGS = {
    "digits": "train digits --epochs 1 --hidden 4",
    "csv": "train csv rows.csv --target kind --epochs 1 --hidden 4",
    "lm": "train lm --text text --max_iters 1 --n_embd 8 --n_head 2 --n_layer 1 --block_size 8",
    "translate": "train translate --src lines --tgt lines --updates 1 --d-model 8 --n-heads 2 "
    "--n-layers 1 --d-ff 8 --valid-share 0",
}


def shell(command, folder, **options):
    """Run `fastnn` by the shell; no traceback, whatever happens."""
    line = " ".join([*FASTNN, command])
    options = {"capture_output": True, "timeout": 120, **options}
    done = subprocess.run(["sh", "-c", line], cwd=folder, **options)
    assert b"Traceback" not in (done.stderr or b"") and b"ignored" not in (done.stderr or b"")
    return done


@pytest.mark.parametrize("name", ["info", "predict", "generate"])
def test_a_closed_output_is_told_where_it_loses_the_result(files, name):
    done = shell(f"{RESULTS[name]} >&-", files)
    assert done.returncode == 2
    assert done.stderr == (
        b"fastnn: error: the standard output is closed: there is nowhere to write to\n"
    )


@pytest.mark.parametrize("name", ["csv", "lm"])
def test_a_training_needs_no_output(files, name, tmp_path):
    done = shell(f"{TRAININGS[name]} --output {tmp_path}/model >&- 2>&-", files)
    assert done.returncode == 0 and (tmp_path / "model").stat().st_size > 200


def test_results_in_files_need_no_output(files, tmp_path):
    for command in ("predict table rows.csv", "translate translator lines"):
        done = shell(f"{command} --output {tmp_path}/out >&- 2>&- <&-", files)
        assert done.returncode == 0 and (tmp_path / "out").read_bytes().count(b"\n") >= 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", [RESULTS["info"], RESULTS["predict"], TRAININGS["csv"], ""])
def test_a_full_output_is_named(files, command, tmp_path):
    output = f"--output {tmp_path}/model" if command.startswith("train ") else ""
    done = shell(f"{command} {output} >/dev/full", files)
    if command:  # without one, argparse prints the help and lets the error pass
        assert done.returncode == 1
        assert done.stderr == b"fastnn: error: standard output: No space left on device\n"


def test_errors_that_nobody_reads(files):
    for where in ("2>&-", "2>/dev/full" if os.path.exists("/dev/full") else "2>&-"):
        for unbuffered in ("", "1"):  # at exit Python writes again what is in a buffer
            env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
            done = shell(f"predict nowhere --digit 1 {where}", files, env=env)
            assert done.returncode == 2


class Broken(io.BytesIO):
    """A device that fails while it is read."""

    def read(self, *_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    readline = __next__ = read


@pytest.fixture
def inside(files, monkeypatch, capsysbinary):
    """Run a command in this process, with bytes or an object as its input: code, output, errors."""

    def run(command, stdin=None):
        raw = io.BufferedReader(io.BytesIO(stdin)) if isinstance(stdin, bytes) else stdin
        monkeypatch.setattr(sys, "stdin", raw and io.TextIOWrapper(raw, "utf-8"))
        code = main(command.split())
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()

    monkeypatch.chdir(files)
    return run


INPUTS = [
    "translate translator",
    "translate translator - --output OUT",
    "predict table -",
    "train csv - --target kind --output OUT",
    "train lm --text - --output OUT",
    "train translate --src - --tgt lines --output OUT",
]


@pytest.mark.parametrize("command", INPUTS)
def test_inputs_that_are_closed_broken_or_empty(inside, command, tmp_path):
    command = command.replace("OUT", str(tmp_path / "out"))
    closed = "fastnn: error: the standard input is closed\n"
    assert inside(command, None) == (2, b"", closed)
    broken = "fastnn: error: standard input: Input/output error\n"
    assert inside(command, Broken()) == (1, b"", broken)
    code, _, err = inside(command, b"")
    if command.startswith("translate"):
        assert (code, err) == (0, "")
    else:
        assert code == 2 and re.fullmatch(r"fastnn: error: [^\n]+\n", err), err


@pytest.mark.parametrize(
    ("command", "source"),
    [
        ("predict table INPUT", "rows.csv"),
        ("translate translator INPUT --beams 1", "lines"),
        (TRAININGS["csv"].replace("rows.csv", "INPUT"), "rows.csv"),
        (TRAININGS["lm"].replace("--text text", "--text INPUT"), "text"),
        (TRAININGS["translate"].replace("--src lines", "--src INPUT"), "lines"),
    ],
)
def test_files_pipes_and_gzip_are_the_same(inside, tmp_path, command, source):
    content = Path(source).read_bytes()
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(content, mtime=0))
    model, found = tmp_path / "model", []
    output = f" --output {model}" if command.startswith("train ") else ""
    for name, stdin in (
        (source, b""),
        (packed, b""),
        ("-", content),
        ("-", packed.read_bytes()),
    ):
        code, out, err = inside(command.replace("INPUT", str(name)) + output, stdin)
        assert code == 0
        assert err == "" or "no better than guessing" in err  # a short training
        found.append(model.read_bytes() if output else out)
    assert found[0] and found == [found[0]] * len(found)


def test_a_device_is_read_as_the_pipe_behind_it(files):
    command = "predict table /dev/stdin"
    done = shell(command, files, input=(files / "rows.csv").read_bytes())
    assert done.returncode == 0 and done.stdout == shell("predict table rows.csv", files).stdout
    assert done.stdout.startswith(b"kind\n")


def test_an_output_called_dash_is_the_standard_output(files):
    for command in ("predict table rows.csv", "translate translator lines"):
        plain, dash = shell(command, files), shell(f"{command} --output -", files)
        assert (plain.stdout, plain.returncode) == (dash.stdout, 0) and plain.stdout
    assert not (files / "-").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], r"damaged gzip stream"),
        (b"\x1f\x8b rubbish", r"damaged gzip stream"),
        (
            "größe,b\n".encode("latin-1"),
            r"line 1: not UTF-8 text \(byte 0xf6\); save it as UTF-8",
        ),
        (
            "a,b\n1,2\n".encode("utf-16"),
            r"line 1: not UTF-8 text \(byte 0xff\); save it as UTF-8",
        ),
        (b"PK\x03\x04\xff\xff", r"not UTF-8 text"),
    ],
)
def test_bytes_that_are_no_text(inside, tmp_path, content, message):
    path = tmp_path / "bytes"
    path.write_bytes(content)
    for command in (
        "predict table PATH",
        "train csv PATH --target kind --output OUT",
        "train lm --text PATH --output OUT",
        "train translate --src PATH --tgt lines --output OUT",
        "translate translator PATH",
    ):
        command = command.replace("OUT", str(tmp_path / "model"))
        for name, shown in ((str(path), str(path)), ("-", "standard input")):
            code, _, err = inside(command.replace("PATH", name), content)
            assert code == 2
            if content.startswith(b"\xff\xfe") and ("table" in command or "csv" in command):
                continue  # a table may be UTF-16: this one has other columns
            assert re.search(f"{shown}.*{message}", err), err
    assert os.listdir(tmp_path) == ["bytes"]


@pytest.mark.parametrize("variable", ["FASTNN_ISA=avx99", "FASTNN_ISA=", "OMP_NUM_THREADS=x"])
@pytest.mark.parametrize("command", ["info", "--version", "predict digits --digit 1"])
def test_variables_that_are_wrong(files, variable, command):
    name, _, value = variable.partition("=")
    done = shell(command, files, env=os.environ | {name: value})
    if value == "avx99":
        assert done.returncode == 2 and done.stdout == b""
        assert re.fullmatch(rb"fastnn: error: FASTNN_ISA=avx99 is not an [^\n]+\n", done.stderr)
    else:
        assert done.returncode == 0 and done.stdout


def test_a_wrong_instruction_set_is_an_error_for_programs_too(files):
    environment = os.environ | {"FASTNN_ISA": "avx99"}
    done = subprocess.run(
        [sys.executable, "-c", "import fastnn"], capture_output=True, env=environment, timeout=60
    )
    assert done.returncode == 1 and b"ImportError: FASTNN_ISA=avx99" in done.stderr


def test_a_prompt_that_is_not_utf8(files):
    done = subprocess.run(
        [*FASTNN, "generate", "lm", "--prompt", b"a\xff"],
        cwd=files,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert re.fullmatch(rb"fastnn: error: [^\n]+ must be UTF-8 text[^\n]+\n", done.stderr)


def test_paths_that_are_not_utf8(files, tmp_path):
    path = os.fsencode(tmp_path) + b"/m\xff"
    argv = [*FASTNN, *TRAININGS["csv"].split(), "--output", path]
    done = subprocess.run(argv, cwd=files, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert np.any([name == b"m\xff" for name in os.listdir(os.fsencode(tmp_path))])
    argv = [*FASTNN, "predict", path, "rows.csv"]
    done = subprocess.run(argv, cwd=files, capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith(b"kind\n")
