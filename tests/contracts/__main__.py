"""Compare random calls with the oracle for a time: python -m tests.contracts --seconds 3600."""

import argparse
import sys
import time

from . import run


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.contracts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="CPU time")
    parser.add_argument("--seed", type=int, default=1, help="another seed draws other calls")
    parser.add_argument("--only", help="a name of the table, such as softmax")
    parser.add_argument("--case", type=int, help="repeat one case by the number in its report")
    options = parser.parse_args()
    if options.case is not None:
        print(dict(run.one(options.case, options.only)))
        return
    if options.only:
        run.NAMES[:] = [name for name in run.NAMES if name == options.only]
    stop = time.process_time() + options.seconds
    counts = run.seeds(options.seed * 10**9, 10**9, stop, lambda error: print(error, flush=True))
    print(", ".join(f"{n:,} {what}" for what, n in counts.items()))
    sys.exit(bool(counts["differences"]))


if __name__ == "__main__":
    main()
