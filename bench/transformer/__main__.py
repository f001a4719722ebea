"""Measure training steps, decode and peak memory of small Transformers, and print the targets.

``python -m bench.transformer [options of bench.ratios]``. Compiling PyTorch's steps for the first
time takes minutes; ``--libraries fastnn torch`` skips it.
"""

from __future__ import annotations

import subprocess
import sys

from ..families.transformer import STEPS, TOKENS, TRANSLATION
from ..ratios import ROOT, find_libraries, measure, parse, worker_environment
from ..report import summarize

ASKED = {
    ("lm_step", STEPS[0]): 1.8,
    ("lm_step", STEPS[1]): 1.35,
    ("seq2seq_step", TRANSLATION[0]): 1.5,
    **{("decode", shape): 3.0 for shape in TOKENS},
}
ASKED_MEMORY = 0.8


def peak_memory(python: str, library: str, threads: int) -> int:
    """Return the peak bytes of the large step above the import, in a separate process."""
    command = [python, "-m", "bench.transformer.memory", library, *map(str, STEPS[1])]
    environment = worker_environment(threads, library)
    done = subprocess.run(
        command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    return int(done.stdout)


def main() -> int:
    options, cases = parse(["--suite", "transformer", *sys.argv[1:]])
    interpreters = find_libraries(options.libraries, options.python_peers)
    run = measure(options, interpreters)
    print(f"{'case':52}thr  {'fastnn':>9}{'peer':>10}  ratio (min)  asked")
    for row in summarize(run, cases, options.threads):
        if row.ratio is None or row.best_peer is None:
            continue
        asked = ASKED.get((row.case.kernel, row.case.shape))
        times = row.median["fastnn"], row.median[row.best_peer]
        print(
            f"{row.case.group:52}{row.threads:3}  {times[0] * 1e3:6.2f} ms{times[1] * 1e3:7.2f} ms"
            f"  {row.ratio:4.2f} ({row.ratio_of_least:4.2f})  {asked or '-':>5}  {row.best_peer}"
        )
    peaks = {
        name: peak_memory(interpreters[name], name, max(options.threads))
        for name in ("fastnn", "torch")
        if name in interpreters
    }
    for name, peak in peaks.items():
        print(f"peak memory of {STEPS[1]}, {name}: {peak / 1e6:.0f} MB above the import")
    if len(peaks) == 2:
        share = peaks["fastnn"] / peaks["torch"]
        print(f"fastnn takes {share:.2f} of PyTorch's, at most {ASKED_MEMORY} is asked")
    print(*run.failures, sep="\n")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
