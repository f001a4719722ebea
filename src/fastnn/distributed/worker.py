"""What every rank of `fastnn launch` runs: `python -m fastnn.distributed.worker PROGRAM ...`.

The arguments are those of `python`: a script, or `-m` and a module. Ranks other than the first
print nothing unless they fail, and an exception or exit code on any rank ends all of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time

from .world import INSTALL, told_rank

# Seconds that other ranks wait with their error: usually all have the same one, and the first rank
# then ends them all before they repeat it.
PATIENCE = 0.5


def main() -> None:
    """Run the program in `sys.argv[1:]`."""
    try:
        from mpi4py import run
    except ImportError:
        raise SystemExit(f"fastnn launch: mpi4py is not installed: {INSTALL}") from None
    rank, stderr = told_rank(), sys.stderr
    if rank:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        sys.stderr = held = io.StringIO()
    try:
        run.run_command_line(sys.argv[1:])
    except BaseException as error:
        failed = not isinstance(error, SystemExit) or bool(error.code)
        if rank and failed:
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(PATIENCE)
            print(f"rank {rank}:", held.getvalue(), end="\n", file=stderr, flush=True)
            sys.stderr = stderr
        run.set_abort_status(error if isinstance(error, SystemExit) else 1)
        raise


if __name__ == "__main__":
    main()
