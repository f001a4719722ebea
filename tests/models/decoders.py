"""Decoders of tests/models/pretrained/, filled array by array to see that each part is covered."""

import json

import numpy as np

from fastnn.models import families
from fastnn.models.foreign import read


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def filled(folder, dtype=np.float32, **changes):
    """The model of a folder."""
    model, names, family = families.build(config_of(folder) | changes, dtype)
    own = dict(model.parameters().named())
    covered = {name: np.zeros(p.data.shape, int) for name, p in own.items()}
    for name, values in read(folder).items():
        short = next((name[len(p) :] for p in family.PREFIXES if name.startswith(p)), name)
        part = names.pop(short)
        values = values if part.order is None else values[part.order]
        place = np.s_[..., part.start : part.stop]
        own[part.ours].data[place] = values.T if part.transpose else values
        covered[part.ours][place] += 1
    assert not names and all((count == 1).all() for count in covered.values())
    return model
