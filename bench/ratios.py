"""Print the ratios of fastnn to the fastest peer, each library in a separate process.

``python -m bench.ratios`` measures and prints; ``--help`` lists the options, and
``bench/README.md`` explains the method.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .cases import SUITES, Case, select
from .libraries import LIBRARIES, WAYS
from .machine import Machine, all_threads, cpu_name
from .report import OURS, Run, as_json, format_report, summarize

ROOT = Path(__file__).resolve().parents[1]
# The thread pools of all libraries.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "FASTNN_NUM_THREADS",
)
BLAS_OF_NUMPY = ("OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# Variables that change a peer's instruction set or blocks are not passed on: each library chooses
# for itself. If FASTNN_ISA caps fastnn at AVX2, the peers are capped with it.
PEER_TUNING = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
)
PEERS_AT_AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}


class WorkerError(RuntimeError):
    """A worker process failed; the message is the end of its output."""


def worker_environment(threads: int, library: str) -> dict[str, str]:
    """Return the environment with that thread count for all, without peers' tuning.

    NumPy computes the references in every worker. Its BLAS gets one thread when another library is
    measured: a second one would keep spinning after the reference and take a CPU from the library,
    which can halve its speed.
    """
    environment = {name: value for name, value in os.environ.items() if name not in PEER_TUNING}
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if library not in ("numpy", "scipy"):
        environment.update(dict.fromkeys(BLAS_OF_NUMPY, "1"))
    if environment.get("FASTNN_ISA") == "avx2":
        environment.update(PEERS_AT_AVX2)
    return environment


def run_worker(python: str, task: str, *arguments: str, threads: int = 1) -> Any:
    """Run ``bench.worker`` with that interpreter and thread count; return its JSON answer."""
    done = subprocess.run(
        [python, "-m", "bench.worker", task, *arguments],
        check=False,
        cwd=ROOT,
        env=worker_environment(threads, task),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise WorkerError("\n".join(done.stderr.splitlines()[-3:]))
    return json.loads(done.stdout.splitlines()[-1])


def find_libraries(wanted: Iterable[str], python_peers: str | None) -> dict[str, str]:
    """Return the interpreter for each importable library: the peers' if it has it."""
    found = dict.fromkeys(run_worker(sys.executable, "--available"), sys.executable)
    if python_peers:
        peers = run_worker(python_peers, "--available")
        found.update({name: python_peers for name in peers if name != "fastnn"})
    found.update({way: found[name] for way, name in WAYS.items() if name in found})
    return {name: found[name] for name in wanted if name in found}


def measure(options: argparse.Namespace, interpreters: dict[str, str]) -> Run:
    """For each thread count and round, measure each library, then the machine's limits.

    The limits are those of the instruction set that fastnn chose, which FASTNN_ISA may cap.
    """
    run = Run(Machine(cpu_name(), "", {}, {}, {}), {}, [])
    common = ["--quick"] if options.quick else []
    cases = ["--suite", options.suite]
    cases += ["--kernel", *options.kernel] if options.kernel else []
    isa: list[str] = []
    total = len(options.threads) * options.rounds * (1 + len(interpreters))
    done = 0

    def turn(name: str, python: str, n: int, *arguments: str) -> Any:
        nonlocal done
        done += 1
        clear, end = ("\r\033[K", "") if sys.stderr.isatty() else ("", "\n")
        print(f"{clear}[{done}/{total}] {name}, {n} threads", end=end, file=sys.stderr, flush=True)
        try:
            return run_worker(python, name, "--threads", str(n), *common, *arguments, threads=n)
        except WorkerError as error:
            run.fail(f"{name}, {n} threads: {error}")
            return None

    for n in options.threads:
        for seed in range(options.rounds):
            for name, python in interpreters.items():
                answer = turn(name, python, n, "--seed", str(seed), *cases)
                if answer:
                    run.add(name, n, answer)
                    if name == OURS:
                        isa = ["--isa", answer["isa"]]
            limits = turn("machine", sys.executable, n, *isa)
            if limits:
                run.machine.isa = limits["isa"]
                run.machine.raise_to(Machine(**limits))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return run


def write_whole(path: Path, content: bytes) -> None:
    """Write the file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[Case]]:
    """Return the validated options and the cases they select."""
    parser = argparse.ArgumentParser(prog="python -m bench.ratios", description=__doc__)
    parser.add_argument(
        "--suite", choices=SUITES, default="default", help="table of cases (default: %(default)s)"
    )
    parser.add_argument("--kernel", nargs="+", help="of its kernels, or parts of case names")
    parser.add_argument(
        "--libraries",
        nargs="+",
        choices=(*LIBRARIES, *WAYS),
        help="those to compare (default: the suite's)",
    )
    parser.add_argument(
        "--threads",
        nargs="+",
        type=int,
        default=sorted({1, all_threads()}),
        help="thread counts (default: 1 and all CPUs)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each library (default: 5)")
    parser.add_argument("--quick", action="store_true", help="short samples, 2 rounds at most")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    parser.add_argument(
        "--python-peers", metavar="PYTHON", help="interpreter that has PyTorch and other peers"
    )
    options = parser.parse_args(argv)
    if min(options.threads) < 1 or options.rounds < 1:
        parser.error("--threads and --rounds are positive")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: there is no directory {options.json.parent}")
    if options.quick:
        options.rounds = min(options.rounds, 2)
    options.libraries = options.libraries or SUITES[options.suite].libraries
    try:
        return options, select(options.suite, options.kernel)
    except ValueError as error:
        parser.error(str(error))


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table; return 1 if a case or a worker failed."""
    options, cases = parse(argv)
    try:
        interpreters = find_libraries(options.libraries, options.python_peers)
        run = measure(options, interpreters)
    except (WorkerError, OSError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    rows = summarize(run, cases, options.threads)
    print(format_report(run, rows, list(interpreters)))
    if options.json:
        write_whole(options.json, json.dumps(as_json(run, rows), indent=1).encode())
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
