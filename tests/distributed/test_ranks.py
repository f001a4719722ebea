"""The same bits on any number of ranks and threads, also of runs that are resumed on another."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from .ranks import PROGRAM, command, environment, needs_mpi, result, run

pytestmark = needs_mpi

# Task -> ranks and threads that are compared with one process.
TASKS = {task: [(2, 2), (3, 1), (4, 1), (5, 1)] for task in ("mlp", "lm", "seq2seq")}
TASKS |= {task: [(3, 1)] for task in ("accumulated", "loop")}


@pytest.mark.parametrize("task", TASKS)
def test_bits_do_not_depend_on_the_ranks(task, tmp_path):
    expected = result(0, tmp_path, task)
    for n, threads in TASKS[task]:
        assert result(n, tmp_path, task, threads=threads) == expected, n


def test_eight_ranks(tmp_path):
    assert result(8, tmp_path, "mlp") == result(1, tmp_path, "mlp", threads=2)


@pytest.mark.parametrize("shards", [3, 6, "ranks"])
def test_other_numbers_of_shards(tmp_path, shards):
    one = result(0, tmp_path, "lm", "--shards", 3 if shards == "ranks" else shards)
    assert result(3, tmp_path, "lm", "--shards", shards) == one


@pytest.mark.parametrize("task", ["mlp", "lm", "seq2seq"])
def test_resumed_on_other_ranks(task, tmp_path):
    whole = result(0, tmp_path, task)
    save = tmp_path / "run"
    for before, after in [(4, 2), (2, 1), (1, 3)]:
        result(before, tmp_path, task, "--epochs", 2, "--save", save)
        assert result(after, tmp_path, task, "--resume", save) == whole, (before, after)
        save.unlink()


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("weights", "the ranks differ in the first weights"),
        ("data", "the ranks differ in the data"),
        ("optimizer", "the ranks differ in the optimizer"),
        ("options", "the ranks differ in the options of fit"),
        ("batches", "read different batches in step 2 of epoch 0"),
        ("isa_float", "the ranks differ in the instruction set"),
    ],
)
def test_ranks_that_differ(how, what, tmp_path):
    done = run(2, "differ", tmp_path / "out", "--how", how)
    assert done.returncode != 0
    assert f"RuntimeError: {what}" in done.stderr or what in done.stderr


def test_ranks_whose_sets_have_the_same_floats(tmp_path):
    done = run(2, "differ", tmp_path / "out", "--how", "isa")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def start():
    """Start the program in the background; end it after the test."""
    started = []

    def run(*arguments):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command(*arguments), env=environment(), **quiet))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=10)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not os.path.exists("/proc"), reason="looks up processes in /proc")
@pytest.mark.parametrize("seed", range(int(os.environ.get("FASTNN_KILLS", "3"))))
def test_a_killed_rank_ends_all_and_the_run_resumes(seed, start, tmp_path):
    whole, save, out = result(0, tmp_path, "mlp"), tmp_path / "run", tmp_path / "out"
    rng = random.Random(seed)
    process = start(3, "mlp", out, "--save", save, "--pause", 0.05)
    deadline = time.monotonic() + 60
    while not save.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(rng.uniform(0, 0.5))
    pids = [int((tmp_path / f"out.{rank}.pid").read_text()) for rank in range(3)]
    was_running = process.poll() is None
    os.kill(rng.choice(pids), signal.SIGKILL)
    killed = time.monotonic()
    code = process.wait(timeout=30)
    while any(map(is_alive, pids)) and time.monotonic() < killed + 30:
        time.sleep(0.02)
    assert was_running
    assert code != 0
    assert time.monotonic() < killed + 5
    assert result(rng.choice([1, 2, 4]), tmp_path, "mlp", "--resume", save) == whole


def test_an_interrupt_of_one_rank_ends_all_after_a_step(start, tmp_path):
    save, out = tmp_path / "run", tmp_path / "out"
    process = start(2, "mlp", out, "--save", save, "--pause", 0.05)
    deadline = time.monotonic() + 60
    while not save.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int((tmp_path / "out.1.pid").read_text()), signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert json.loads(out.read_text())["interrupted"]


def test_an_exception_on_one_rank_ends_all(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from fastnn import distributed\n"
        "comm = distributed.world()\n"
        "if comm.rank == 1:\n"
        "    raise ValueError('only here')\n"
        "comm.barrier()\n"
    )
    words = [str(script) if word == str(PROGRAM) else word for word in command(2)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "ValueError: only here" in done.stderr
