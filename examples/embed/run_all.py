"""Build and run every example against the fastnn of this Python; exits with 1 if one fails.

python run_all.py [--require] [name ...]
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MISSING = 77  # exit code of run.py if a compiler or package is missing


def main():
    names = [name for name in sys.argv[1:] if not name.startswith("-")]
    failed = []
    for script in sorted(HERE.glob("*/run.py")):
        name = script.parent.name
        if names and name not in names:
            continue
        code = subprocess.run([sys.executable, str(script)]).returncode
        if code == MISSING and "--require" not in sys.argv:
            print(f"{name}: skipped")
        elif code != 0:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
