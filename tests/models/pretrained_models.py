"""Small random models as transformers saves them, with what it computes from them.

tests/models/pretrained/ has them: config.json, model.safetensors and expected.npz. FASTNN_FIXTURES
names a folder with more of the same kind.
"""

import os
import shutil
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "pretrained"
ENCODERS = {"bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "modernbert"}


def folders(encoders):
    """The folders of encoders, or of language models."""
    more = os.environ.get("FASTNN_FIXTURES")
    found = [*FOLDER.iterdir(), *(Path(more).iterdir() if more else ())]
    arrays = "hidden" if encoders else "logits"
    return sorted(f for f in found if arrays in np.load(f / "expected.npz").files)


def copy(name, target):
    """Copy a model into a folder of its own, to be damaged there."""
    shutil.copytree(FOLDER / name, target)
    return target
