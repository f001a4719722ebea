"""The command line: what it prints and writes, its one-line errors and its exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.cli import main, report, training
from fastnn.data import load_digits
from fastnn.files import load, save

from . import command_line
from .command_line import run_lines as run

QUICK = ["--epochs", "2", "--hidden", "16"]


def assert_refused(capsys, argv, message, expected=2):
    """As of any command, and nothing on stdout."""
    assert command_line.assert_refused(capsys, argv, message, expected) == ""


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "digits.safetensors"
    assert main(["train", "digits", "--output", str(path)]) == 0
    return path


def test_the_main_job_reads_digits(model_path, capsys):
    model = load(model_path)
    x, y = load_digits(split="test")
    n_right = int(np.count_nonzero(model(x).argmax(axis=1) == y))
    assert n_right >= 0.975 * len(y)
    index = next(i for i in range(360) if model(x[i : i + 1]).argmax() == y[i])
    code, out, err = run(capsys, "predict", model_path, "--digit", 5 * index)
    assert code == 0 and err == ""
    assert out[-1].endswith(f"label {y[index]}: right")


def test_train_reports_each_epoch_and_the_test(directory, capsys):
    code, out, err = run(capsys, "train", "digits", *QUICK, "--plot", "curve.png")
    assert code == 0 and err == ""
    assert out[0].startswith("MLP 64-16-10, 1,210 parameters, ")
    assert out[1] == "1,437 training images, 360 test images"
    numbers = r"loss \d\.\d{4}  accuracy +\d+\.\d %"
    for i in (1, 2):
        assert re.fullmatch(rf"epoch {i}/2  {numbers}  test {numbers}", out[i + 1])
    found = re.fullmatch(r"test accuracy (\d+\.\d) % \((\d+) of 360\)", out[5])
    assert float(found[1]) == round(100 * int(found[2]) / 360, 1)
    model = load("digits.safetensors")
    x, y = load_digits(split="test")
    assert np.count_nonzero(model(x).argmax(axis=1) == y) == int(found[2])
    assert (directory / "curve.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert sorted(path.name for path in directory.iterdir()) == ["curve.png", "digits.safetensors"]


def test_options_of_train(directory, capsys):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        argv = ["--output", name, "--seed", seed, "--lr", 0.01, "--batch-size", 64, "--threads", 1]
        code, out, _ = run(capsys, "train", "digits", "--epochs", 1, "--hidden", 8, 6, *argv)
        assert code == 0 and out[0].endswith(", 1 thread")
    a, b, c = ((directory / name).read_bytes() for name in "abc")
    assert a == b and a != c
    assert load("a").sizes == (64, 8, 6, 10)


def test_ctrl_c_still_tests_and_saves(directory, capsys, monkeypatch):
    def press(self, epoch, logs):
        raise KeyboardInterrupt

    monkeypatch.setattr(report.Lines, "on_epoch_end", press)
    code, out, err = run(capsys, "train", "digits", *QUICK, "--plot", "curve.svg")
    assert code == 130 and err == ""
    assert out[2].startswith("interrupted after 1 of 2 epochs")
    assert out[3].startswith("test accuracy") and out[4] == "model saved to digits.safetensors"
    assert (directory / "curve.svg").exists()


def test_ctrl_c_before_the_first_epoch_is_over(directory, capsys, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["fastnn.train.run"], "_train_epoch", press)
    code, out, _ = run(capsys, "train", "digits", *QUICK, "--plot", "curve.png")
    assert code == 130 and out[2].startswith("interrupted after 0 of 2 epochs")
    assert (directory / "digits.safetensors").exists() and not (directory / "curve.png").exists()


def test_a_terminal_gets_a_progress_bar(directory, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = run(capsys, "train", "digits", *QUICK)
    assert code == 0
    text = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", "\n".join(out))
    assert "epoch 2/2  loss" in text and "90/90 batches" in text


def test_predict_shows_the_digit(model_path, capsys):
    code, out, err = run(capsys, "predict", model_path, "--digit", 1796)
    assert code == 0 and err == ""
    assert out[0] == "digit 1796 (training image)"
    picture = [line.ljust(18)[2:] for line in out[2:10]]
    assert all(len(row) == 16 and set(row) <= set(" ░▒▓█") for row in picture)
    ink = load_digits()[0][1796].reshape(8, 8) > 0.75
    shown = np.array([[row[2 * i] in "▓█" for i in range(8)] for row in picture])
    assert shown[ink].all()
    shares = [float(re.match(r" +\d +(\d+\.\d) %", line)[1]) for line in out[11:21]]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    best, share, label = re.fullmatch(
        r"prediction (\d) \((\d+\.\d) %\), label (\d): (?:right|wrong)", out[22]
    ).groups()
    assert shares[int(best)] == max(shares) == float(share) and label == "8"


def test_predict_without_block_characters(model_path, capsys, monkeypatch):
    monkeypatch.setattr("fastnn.cli.predict._plain_terminal", lambda: True)
    _, out, _ = run(capsys, "predict", model_path, "--digit", 0)
    assert all(line.isascii() for line in out)
    assert any("##" in line for line in out)


def test_info(capsys):
    code, out, err = run(capsys, "info", "--json")
    facts = json.loads("\n".join(out))
    assert code == 0 and err == ""
    assert facts["numpy"] == np.__version__
    assert facts["isa"] in facts["isa_found"] and facts["isa"] in facts["isa_compiled"]
    assert facts["threads"]["num_threads"] >= 1 and facts["threads"]["source"]
    code, out, err = run(capsys, "info")
    assert code == 0 and err == ""
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in out)
    assert rows["isa"] == facts["isa"] and rows["version"] == facts["version"]
    assert rows["openmp"] == ("yes" if facts["openmp"] else "no")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fly"], "'fly'"),
        (["trian"], "'trian'.*; did you mean train\\?"),
        (["train", "letters"], "'letters'"),
        (["train", "digit"], "'digit'.*; did you mean digits\\?"),
        (["train", "digits", "--epoch-s", "2"], "--epoch-s; did you mean --epochs\\?"),
        (["train", "digits", "--leraning-rate=2"], "unrecognized argument --leraning-rate$"),
        (["predict", "m", "--probs"], "--probs; did you mean --proba\\?"),
        (["--verson"], "--verson; did you mean --version\\?"),
        (["info", "extra"], "unrecognized argument extra$"),
        (["generate", "m", "--prompt", "\udcff"], r"--prompt: must be UTF-8 text, got '\\udcff'"),
        (["train", "csv", "f", "--target", "\udcff"], "--target: must be UTF-8 text"),
        (["predict", "a\0b", "c"], "an argument has a NUL character: 'a.x00b'"),
        (["train", "digits", "--output", "-"], "--output must be a file"),
        (
            ["train", "digits", "--epochs", "0"],
            "--epochs: must be at least 1, got 0",
        ),
        (["train", "digits", "--epochs", "many"], "--epochs: .* got str 'many'"),
        (["train", "digits", "--batch-size", "-3"], "--batch-size"),
        (["train", "digits", "--lr", "0"], "--lr: must be above 0 and finite, got"),
        (["train", "digits", "--lr", "nan"], "--lr"),
        (["train", "digits", "--hidden"], "--hidden"),
        (["train", "digits", "--hidden", "8", "0"], "--hidden: .* got 0"),
        (["train", "digits", "--hidden", "65537"], "--hidden: must be from 1 to 65536, got 65537"),
        (["train", "digits", "--seed", "-1"], "--seed"),
        (["train", "digits", "--threads", "0"], "--threads"),
        (["train", "digits", "--colour"], "--colour"),
        (["predict", "model"], "--digit"),
        (["predict", "model", "--digit", "seven"], "'seven'"),
        (["predict", "model", "--digit", "1797"], "--digit: must be 0 to 1796, got 1797"),
        (["predict", "model", "--digit", "-1"], "--digit: must be 0 to 1796, got -1"),
        (["predict", "model", "--digit", "1"], "model: No such file"),
        (["predict", ".", "--digit", "1"], "Is a directory"),
    ],
)
def test_bad_options(directory, capsys, argv, message):
    assert_refused(capsys, argv, message)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output", "nowhere/model"], "error: nowhere/model: No such file"),
        (["--output", "."], r"error: \.: Is a directory"),
        (["--plot", "nowhere/curve.png"], r"error: nowhere/curve\.png: No such file"),
        (["--plot", "curve.txt"], r"curve\.txt: .* must end in \.png"),
    ],
)
def test_outputs_are_checked_before_the_training(directory, capsys, argv, message, monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    assert_refused(capsys, ["train", "digits", *argv], message)
    assert list(directory.iterdir()) == []


def test_missing_extras_say_what_to_install(directory, capsys, monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "safetensors", None)
        assert_refused(capsys, ["train", "digits"], "depends on safetensors, .*: pip install")
        (directory / "model").write_bytes(b"")
        assert_refused(capsys, ["predict", "model", "--digit", "1"], "pip install safetensors")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        argv = ["train", "digits", "--plot", "curve.png"]
        assert_refused(capsys, argv, r"matplotlib: pip install 'fastnn-cpu\[plot\]'")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        patch.setitem(sys.modules, "rich.progress", None)
        assert_refused(capsys, ["train", "digits"], r"rich: pip install 'fastnn-cpu\[cli\]'")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.MLP((32, 10), rng=0), r"does not take the 64 pixels .*\(1, 64\)"),
        (nn.MLP((64, 3), rng=0), "gives 3 outputs"),
        (nn.ReLU(), "gives 64 outputs"),
    ],
)
def test_models_for_something_else(directory, capsys, model, message):
    save(model, "model")
    assert_refused(capsys, ["predict", "model", "--digit", "1"], message)


def test_a_model_whose_training_went_wrong(directory, capsys):
    model = nn.MLP((64, 10), rng=0)
    model.parameters().data.fill(np.nan)
    save(model, "model")
    assert_refused(capsys, ["predict", "model", "--digit", "1"], "gives NaN for this digit", 1)


def test_a_damaged_model(directory, capsys):
    save(nn.MLP((64, 10), rng=0), "model")
    content = (directory / "model").read_bytes()
    for damaged in (content[:-1], content[:40], b"", b"not a model\n" * 9):
        (directory / "model").write_bytes(damaged)
        assert_refused(
            capsys, ["predict", "model", "--digit", "1"], "model is not a safetensors file"
        )


def test_help_of_every_command(capsys):
    commands = ["train"], ["train", "lm"], ["predict"], ["generate"], ["info"]
    for argv in (["--help"], *([*command, "--help"] for command in commands)):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 0
        assert capsys.readouterr().out.startswith("usage: fastnn")


def test_as_a_program(tmp_path):
    command = [sys.executable, "-m", "fastnn"]
    done = subprocess.run([*command, "info", "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "isa" in json.loads(done.stdout)
    bad = [*command, "predict", "nowhere", "--digit", "1"]
    done = subprocess.run(bad, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "fastnn: error: nowhere: No such file or directory\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
def test_a_pipe_whose_reader_has_gone(model_path):
    command = [sys.executable, "-m", "fastnn", "predict", model_path, "--digit", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


def test_a_name_that_the_encoding_of_the_output_lacks(directory):
    """What a training prints on its way is escaped, what is asked for is refused."""
    Path("table.csv").write_text("größe,kind\n" + "1,a\n2,b\n" * 10, encoding="utf-8")
    command = [sys.executable, "-m", "fastnn"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    how = {"capture_output": True, "text": True, "env": environment, "timeout": 60}
    train = ["train", "csv", "table.csv", "--target", "größe", "--epochs", "1"]
    done = subprocess.run([*command, *train], **how)
    assert done.returncode == 0 and "target gr\\xf6\\xdfe (classification" in done.stdout
    assert Path("model.safetensors").exists()
    done = subprocess.run([*command, "predict", "model.safetensors", "table.csv"], **how)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"fastnn: error: 'ascii' codec can't encode [^\n]+\n", done.stderr)


def test_without_a_command_it_prints_help(capsys):
    for argv, usage in (([], "usage: fastnn [-h]"), (["train"], "usage: fastnn train [-h]")):
        code, out, err = run(capsys, *argv)
        assert (code, err) == (0, "") and out[0].startswith(usage)
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"fastnn {fastnn.__version__}\n"


def test_options_with_several_values_may_come_twice(directory, capsys):
    argv = ["train", "digits", "--epochs", 1, "--hidden", 8, 4, "--hidden", 3]
    assert "MLP 64-8-4-3-10" in run(capsys, *argv)[1][0]


@pytest.mark.filterwarnings("default:the loss of epoch:RuntimeWarning")
def test_a_loss_of_nan_is_one_line_on_stderr(directory, capsys):
    code, _, err = run(capsys, "train", "digits", "--lr", 1e30, "--epochs", 3)
    assert code == 1
    warning, error = err.splitlines()
    assert re.match(r"fastnn: warning: the loss of epoch [12] is (nan|inf)", warning)
    assert error.startswith("fastnn: error: the training ended with NaN or infinite weights")


def test_optional_packages_are_imported_only_when_needed(tmp_path):
    code = (
        "import sys; from fastnn import cli, data, nn, optim, plot, train;"
        "cli.main(['info']);"
        "sys.exit(bool({'rich', 'matplotlib', 'safetensors', 'torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
