"""Start a program on several ranks: `fastnn launch`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from .world import INSTALL


class LaunchError(OSError):
    """A program cannot be started on these ranks."""


class Host(NamedTuple):
    """A machine and how many ranks it runs."""

    name: str
    slots: int


class Mpi(NamedTuple):
    """An mpiexec: its path, and "MPICH" (also Intel MPI) or "Open MPI"."""

    path: str
    kind: str


def find_mpi() -> Mpi:
    """Return the mpiexec of this Python's environment, or else the first on the path.

    Raises
    ------
    LaunchError
        There is none, or it is of an unknown implementation.
    """
    for folder in (sysconfig.get_path("scripts"), None):
        path = shutil.which("mpiexec", path=folder)
        if path is not None:
            break
    else:
        raise LaunchError(f"there is no mpiexec, neither beside Python nor on the path: {INSTALL}")
    try:
        found = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"{path} --version does not run: {error}") from error
    text = found.stdout + found.stderr
    if any(name in text for name in ("Open MPI", "OpenRTE", "PRRTE")):
        return Mpi(path, "Open MPI")
    if any(name in text for name in ("HYDRA", "MPICH", "Intel")):
        return Mpi(path, "MPICH")
    raise LaunchError(f"{path} is of none of MPICH, Open MPI and Intel MPI: {text.strip()[:200]!r}")


def read_hosts(path: str) -> list[Host]:
    """Read lines "name", "name:4" or "name slots=4"; # begins a comment.

    Raises
    ------
    LaunchError
        A line is malformed, a host cannot be resolved, or there are none.
    """
    hosts = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].replace(":", " ").replace("slots=", " ").split()
        if not words:
            continue
        slots = words[1] if len(words) > 1 else "1"
        if len(words) > 2 or not slots.isdecimal() or not int(slots):
            raise LaunchError(f"{path}, line {number} must be NAME or NAME:RANKS, got {line!r:.80}")
        try:
            socket.getaddrinfo(words[0], None)
        except OSError as error:
            raise LaunchError(
                f"{path}, line {number}: the host {words[0]!r} cannot be resolved "
                f"({error.strerror}): check the name, or add it to /etc/hosts"
            ) from error
        hosts.append(Host(words[0], int(slots)))
    if not hosts:
        raise LaunchError(f"{path} names no host")
    return hosts


def threads_per_rank(n: int, hosts: Sequence[Host], cores: int) -> int:
    """Return cores / ranks on the host with most ranks, at least 1; hosts are taken to be alike."""
    return max(1, cores // max((host.slots for host in hosts), default=n))


def command_of(mpi: Mpi, n: int, hostfile: str | None, program: Sequence[str]) -> list[str]:
    """Return the command that starts `program`, the arguments of python, on n ranks."""
    command = [mpi.path, "-n", str(n)]
    if mpi.kind == "Open MPI":
        command += ["--bind-to", "none", "--map-by", ":OVERSUBSCRIBE"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-run-as-root")
        if hostfile is None:  # other interfaces, as those of containers, are often dead ends
            command += ["--host", f"localhost:{n}", "--mca", "btl", "self,sm"]
        else:
            command += ["--hostfile", hostfile]
            for name in ("OMP_NUM_THREADS", "PYTHONPATH", "FASTNN_ISA"):
                command += ["-x", name] if name in os.environ else []
    else:
        command += ["-bind-to", "none"]
        # without a host, hydra asks for the address of this machine's name, which may have none
        command += ["-hosts", "localhost"] if hostfile is None else ["-f", hostfile]
    return [*command, sys.executable, "-m", "fastnn.distributed.worker", *program]


def launch(program: Sequence[str], n: int, hosts_file: str | None = None) -> int:
    """Run a program on n ranks and return its exit code.

    Parameters
    ----------
    program : sequence of str
        A script and its arguments, or `-m`, a module and its arguments.
    n : int
    hosts_file : str, optional
        See `read_hosts`; all ranks run on this machine by default.

    Raises
    ------
    LaunchError
        There is no MPI or mpi4py, or a host is unknown.
    """
    mpi = find_mpi()
    hosts = [] if hosts_file is None else read_hosts(hosts_file)
    if hosts and n > sum(host.slots for host in hosts):
        raise LaunchError(
            f"{hosts_file} has room for {sum(host.slots for host in hosts)} ranks, not for {n}: "
            "write NAME:RANKS"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = threads_per_rank(n, hosts, cores or 1)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    with ExitStack() as stack:
        hostfile = None
        if hosts:
            room = " slots=" if mpi.kind == "Open MPI" else ":"
            file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".hosts"))
            file.writelines(f"{host.name}{room}{host.slots}\n" for host in hosts)
            file.flush()
            hostfile = file.name
        return _run(command_of(mpi, n, hostfile, program))


def _run(command: Sequence[str]) -> int:
    """Run a command; Ctrl-C reaches it too, and it decides when to end."""
    process = subprocess.Popen(command)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        if process.poll() is None:
            process.terminate()
    return code if code >= 0 else 128 - code
