"""SIGKILL at a random moment of a run, which then resumes and must end with the same bits."""

import functools
import importlib
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

from fastnn import load
from fastnn.cli import main, runs
from tests.models import test_killed_run

TEMPORARY = tempfile.TemporaryDirectory(prefix="fastnn-")  # goes with the process
SAVE_EVERY = 3  # batches; a run is short
LM = "--text text --max_iters 30 --eval_interval 10 --eval_iters 1 --n_embd 6 --n_head 1"
LM += " --n_layer 1 --block_size 8 --batch-size 2 --warmup_iters 1 --output model"
TRANSLATE = "--src lines --tgt lines --updates 30 --d-model 4 --n-heads 1 --n-layers 1 --d-ff 4"
TRANSLATE += " --vocab-size 14 --max-tokens 24 --output model"
CSV = "train csv rows.csv --target kind --epochs 8 --hidden 4 --output model"


def texts(folder):
    """The files that the commands read."""
    (folder / "text").write_text("abc\nab cab\n" * 60)
    (folder / "lines").write_text("a b\nc\n\nb a\nc c a\n" * 8)
    rows = [f"{i},{i * i % 17},{'abc'[i % 3]}" for i in range(90)]
    (folder / "rows.csv").write_text("\n".join(["x,y,kind", *rows]) + "\n")


def command(line):
    """A run of the command line, here."""
    runs.SAVE_EVERY = SAVE_EVERY
    assert main(line.split()) == 0


def fit(resume):
    _, weights, average = test_killed_run.run(test_killed_run.language, ".", resume)
    np.stack([weights, average]).tofile("model")


def lm(resume):
    command(f"train lm {LM}" + " --resume" * resume)


def translate(resume):
    command(f"train translate {TRANSLATE}" + " --resume" * resume)


def csv(resume):
    command(CSV)  # which has no run to resume: the same command again


# Loaded here, once: a child that loads them would often be killed before its work begins.
for _name in ("cli.lm", "cli.table", "cli.train_translate"):
    importlib.import_module(f"fastnn.{_name}")
for _name in ("rich.progress", "safetensors", "tokenizers"):
    importlib.import_module(_name)

CHECKPOINTS = {fit: "run.safetensors", lm: "model.run", translate: "model.run", csv: None}


def begin(run, folder, resume):
    """Start a run in a child and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(folder)
        told = os.open("told", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(told, 1)
        os.dup2(told, 2)
        run(resume)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(run, folder, resume=False):
    """Run to the end in a child; return the model."""
    _, status = os.waitpid(begin(run, folder, resume), 0)
    told = (folder / "told").read_text(errors="replace")[-3000:]
    assert status == 0, f"status {status}, resume={resume}: {told}"
    assert not parts(folder), "leftovers after the next write"
    return (folder / "model").read_bytes()


def parts(folder):
    return [name for name in os.listdir(folder) if name.endswith(".part")]


@functools.cache
def expected(run):
    """The model of a run that nothing disturbs, and its seconds."""
    folder = new_folder()
    start = time.monotonic()
    return finish(run, folder), time.monotonic() - start


def new_folder():
    folder = Path(tempfile.mkdtemp(dir=TEMPORARY.name))
    texts(folder)
    return folder


def killed(run, folder, seconds, rng):
    """Kill a run after some time or in the middle of a write; False if it was over."""
    pid = begin(run, folder, False)
    end = time.monotonic() + rng.random() * seconds
    if rng.random() < 0.5:
        time.sleep(max(0.0, end - time.monotonic()))
    else:  # a file that is being written after that time
        while not (parts(folder) and time.monotonic() > end):
            if os.waitpid(pid, os.WNOHANG)[0]:
                return False
            time.sleep(5e-5)  # the child may need this core
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def one(run, seed):
    """Kill once, look at what is there, and let it end."""
    rng = random.Random(seed)
    model, seconds = expected(run)
    folder = new_folder()
    while not killed(run, folder, 1.1 * seconds, rng):
        shutil.rmtree(folder)
        folder = new_folder()
    if (folder / "model").exists():
        assert (folder / "model").read_bytes() == model
    left, name = bool(parts(folder)), CHECKPOINTS[run]
    resume = name is not None and (folder / name).exists()
    if resume:
        load(folder / name)
    assert finish(run, folder, resume) == model, "other bits"
    shutil.rmtree(folder)
    return ("resumed" if resume else "begun again") + ", in a write" * left


def of_fit(seed):
    return one(fit, seed)


def of_lm(seed):
    return one(lm, seed)


def of_translate(seed):
    return one(translate, seed)


def of_csv(seed):
    return one(csv, seed)
