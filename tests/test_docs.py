"""Every public callable has an example, and the examples of the docstrings are true."""

import doctest
import importlib.util
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.nn import registry

DOCS = Path(__file__).parent.parent / "docs"
if not (DOCS / "public.py").exists():
    pytest.skip("needs the sources", allow_module_level=True)
for needed in ("matplotlib", "sklearn"):
    pytest.importorskip(needed)

spec = importlib.util.spec_from_file_location("public", DOCS / "public.py")
public = sys.modules["public"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(public)

CALLABLES = public.callables()
NEEDS = {  # what an example imports, if its function is of use without it
    "fastnn.capi.low_level_callable": "scipy",
    "fastnn.models.SentenceEncoder": "tokenizers",
    "fastnn.models.TextModel": "tokenizers",
    "fastnn.sklearn.SentenceEncoder": "tokenizers",
    "fastnn.text.BPE": "tokenizers",
    "fastnn.text.bleu": "sacrebleu",
}


def test_all_rooms_are_walked():
    rooms = "kernels nn nn.init optim optim.schedules train data models text plot capi".split()
    assert {f"fastnn.{room}" for room in rooms} <= set(public.modules())
    assert len(CALLABLES) > 200


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_example(name, tmp_path, monkeypatch):
    """The docstring has an example, and running it prints what it says."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    # Layers that an example registers are known in it alone.
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    thing = CALLABLES[name]
    names = {"np": np, "fastnn": fastnn, "nn": fastnn.nn, "optim": fastnn.optim}
    text = inspect.cleandoc(thing.__doc__ or "")
    example = doctest.DocTestParser().get_doctest(text, names, name, name, 0)
    assert example.examples, f"{name} has no example"
    found = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(example, out=found.append)
    assert not found, "".join(found)
