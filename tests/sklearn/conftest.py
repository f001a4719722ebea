"""Skip this folder without scikit-learn."""

import importlib.util

if importlib.util.find_spec("sklearn") is None:
    collect_ignore_glob = ["test_*.py"]
