"""Run `fastnn bench`, or what needs a checkout: `python -m bench [command] [options]`.

python -m bench [options of fastnn bench]
python -m bench keep [results.json]    keep results as bench/results/<machine>.json
python -m bench figures                draw the figures of README and docs from kept results
python -m bench accuracy               worst errors in ulp over all float32 inputs
python -m bench tuning                 both sides of each threshold of docs/tuning.md
python -m bench steps                  where each microsecond of a training step goes
python -m bench embedding              the cost of calls from C
python -m bench sentences MODEL        vectors of texts beside onnxruntime, or by weights
python -m bench caches                 generation with keys and values of 16 and 8 bits
"""

from __future__ import annotations

import importlib
import sys

from fastnn.bench.cases import BenchError

MODULES = ("figures", "accuracy", "tuning", "steps", "embedding", "sentences", "caches")


def main(arguments: list[str]) -> int:
    """Run the command that the first argument names."""
    name = arguments[0] if arguments else ""
    if name != "keep" and name not in MODULES:
        from fastnn.bench.command import main as measure

        return measure(arguments)
    module = importlib.import_module(f"bench.{'figures' if name == 'keep' else name}")
    try:
        return getattr(module, "keep" if name == "keep" else "main")(arguments[1:]) or 0
    except BenchError as error:
        print(f"python -m bench {name}: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
