"""`fastnn launch`: hosts, threads, commands of each MPI, output of one rank, errors."""

import hashlib
import os
import subprocess
import sys

import pytest

from fastnn import cli
from fastnn.distributed import launch
from fastnn.distributed.launch import Host, LaunchError, Mpi, command_of, read_hosts

from .ranks import SECONDS, environment, needs_mpi


@pytest.fixture
def hosts(tmp_path):
    """Write a file of hosts, and return its path."""

    def write(text):
        (tmp_path / "hosts").write_text(text)
        return str(tmp_path / "hosts")

    return write


def test_hosts(hosts):
    path = hosts("# machines\nlocalhost:4\n\n127.0.0.1 slots=2  # the second\nlocalhost\n")
    assert read_hosts(path) == [Host("localhost", 4), Host("127.0.0.1", 2), Host("localhost", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no host"),
        ("localhost:x", r"line 1 must be NAME or NAME:RANKS, got 'localhost:x'"),
        ("localhost:0", "line 1 must be NAME"),
        ("localhost\na b c", "line 2 must be NAME"),
        ("localhost\nnowhere.invalid:2", "line 2: the host 'nowhere.invalid' cannot be resolved"),
    ],
)
def test_wrong_hosts(hosts, text, message):
    with pytest.raises(LaunchError, match=message):
        read_hosts(hosts(text))


def test_threads_share_the_cores():
    threads = launch.threads_per_rank
    assert threads(4, [], 8) == 2
    assert threads(4, [], 2) == 1
    assert threads(4, [Host("a", 2), Host("b", 2)], 8) == 4


def test_commands_of_each_mpi(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    rank = [sys.executable, "-m", "fastnn.distributed.worker", "a.py"]
    mpich = command_of(Mpi("mpiexec", "MPICH"), 3, None, ["a.py"])
    assert mpich == ["mpiexec", "-n", "3", "-bind-to", "none", "-hosts", "localhost", *rank]
    ompi = command_of(Mpi("mpiexec", "Open MPI"), 3, "hosts", ["a.py"])
    assert ompi[-len(rank) :] == rank
    assert {"--allow-run-as-root", ":OVERSUBSCRIBE", "--hostfile"} <= set(ompi)


@pytest.mark.skipif(sys.platform == "win32", reason="a script of sh")
def test_no_mpi4py(tmp_path, monkeypatch, capsys):
    path = tmp_path / "mpiexec"
    path.write_text("#!/bin/sh\necho HYDRA\n")
    path.chmod(0o755)
    monkeypatch.setattr(launch.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("FASTNN_SHARDS", "8")
    assert cli.main(["launch", "-n", "2", "train", "digits"]) == 2
    assert "mpi4py is not installed: pip install" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("HYDRA build details:\n Version: 5.0.2", "MPICH"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.19", "MPICH"),
        ("mpiexec (Open MPI) 5.0.11", "Open MPI"),
        ("mpiexec (OpenRTE) 4.1.4", "Open MPI"),
        ("something else", None),
    ],
)
def test_each_mpi_is_recognized(tmp_path, monkeypatch, version, kind):
    path = tmp_path / "mpiexec"
    path.write_text(f"#!/bin/sh\nprintf '%s' '{version}'\n")
    path.chmod(0o755)
    monkeypatch.setattr(launch.sysconfig, "get_path", lambda name: str(tmp_path))
    if kind is None:
        with pytest.raises(LaunchError, match="of none of MPICH, Open MPI"):
            launch.find_mpi()
    else:
        assert launch.find_mpi() == Mpi(str(path), kind)


def test_no_mpi(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launch.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FASTNN_SHARDS", "8")
    assert cli.main(["launch", "-n", "2", "train", "digits"]) == 2
    message = "there is no mpiexec, neither beside Python nor on the path: pip install"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "2"], "launch needs a script.py, or train"),
        (["-n", "2", "nothing.py"], "there is no script 'nothing.py'"),
        (["-n", "0", "train"], "must be at least 1, got 0"),
        (["-n", "2", "--shards", "some", "train"], "--shards: must be an integer"),
        (["train"], "required: -n"),
    ],
)
def test_wrong_options(arguments, message, capsys):
    assert cli.main(["launch", *arguments]) == 2
    assert message in capsys.readouterr().err


def fastnn(folder, *arguments, threads=1):
    return subprocess.run(
        [sys.executable, "-m", "fastnn", *map(str, arguments)],
        env=environment(threads),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


LM = "--max_iters 6 --eval_interval 3 --eval_iters 2 --warmup_iters 1 --n_embd 16 --n_head 2"
LM += " --n_layer 1 --block_size 8 --batch_size 10 --dropout 0.1 --output"


@needs_mpi
def test_training_commands_give_the_same_files(tmp_path):
    sums = set()
    for n in (1, 3):
        done = fastnn(tmp_path, "launch", "-n", n, "train", "lm", *LM.split(), f"lm{n}.safetensors")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("model saved to") == 1
        sums.add(hashlib.md5((tmp_path / f"lm{n}.safetensors").read_bytes()).hexdigest())
    assert len(sums) == 1
    again = [*LM.replace("max_iters 6", "max_iters 8").split(), "lm3.safetensors", "--resume"]
    again += ["--lr_decay_iters", "6"]
    done = fastnn(tmp_path, "launch", "-n", 2, "train", "lm", *again)
    assert done.returncode == 0, done.stderr
    assert "resuming after 6 iterations" in done.stdout
    done = fastnn(tmp_path, "train", "lm", *again)
    assert done.returncode == 2
    assert "the number of shards (fastnn launch) was 8, now it is None" in done.stderr


@needs_mpi
def test_tables_and_translations(tmp_path):
    lines = [f"{i},{i * i % 7},{'ab'[i % 2]}\n" for i in range(60)]
    (tmp_path / "table.csv").write_text("i,j,target\n" + "".join(lines))
    words = [" ".join("one two three four".split()[: 1 + i % 4]) for i in range(40)]
    (tmp_path / "src").write_text("\n".join(words) + "\n")
    csv = ["table.csv", "--target", "target", "--epochs", "2", "--dropout", "0.2"]
    pairs = "--src src --tgt src --updates 3 --vocab-size 40 --d-model 16 --n-heads 2 --n-layers 1"
    for task, options in {"csv": csv, "translate": pairs.split()}.items():
        found = set()
        for n in (1, 2):
            out = f"{task}{n}.safetensors"
            done = fastnn(tmp_path, "launch", "-n", n, "train", task, *options, "--output", out)
            assert done.returncode == 0, done.stderr
            found.add((tmp_path / out).read_bytes())
        assert len(found) == 1


@needs_mpi
def test_errors_appear_once(tmp_path):
    done = fastnn(tmp_path, "launch", "-n", 3, "train", "lm", "--text", "nothing")
    assert done.returncode == 2
    assert done.stderr.count("nothing: No such file or directory") == 1
    done = fastnn(tmp_path, "launch", "-n", 2, "train", "csv", "-", "--target", "y")
    assert "ranks cannot share the standard input" in done.stderr
    done = fastnn(tmp_path, "launch", "-n", 3, "--shards", "2", "train", "digits")
    assert "3 ranks cannot share 2 shards" in done.stderr
