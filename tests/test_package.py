"""What importing the package does, and does not do."""

import ctypes
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()


def test_subnormals_survive_the_import():
    """Linking with fast-math would set flush-to-zero for the whole process.

    The values are made at run time, since literals may be folded before the import.
    """
    code = """
import sys, numpy as np
x, y = np.array([sys.float_info.min]), np.array([np.finfo(np.float32).tiny], np.float32)
import fastnn, fastnn.nn, fastnn.optim
fastnn.matmul(np.ones((200, 200), np.float32), np.ones((200, 200), np.float32))
print(float((x / 2)[0]) != 0.0, float((y / np.float32(2))[0]) != 0.0)
"""
    assert run(code) == ["True", "True"]


def test_import_needs_numpy_alone():
    code = """
import sys
import fastnn
heavy = {"scipy", "matplotlib", "rich", "safetensors", "torch", "sklearn", "threadpoolctl"}
heavy |= {"argparse", "json", "multiprocessing"}
import numpy
print(*sorted(heavy & set(sys.modules)))
"""
    with_fastnn = set(run(code))
    with_numpy = set(run(code.replace("import fastnn\n", "")))
    assert with_fastnn == with_numpy


def test_public_names_exist_and_are_documented():
    for name in fastnn.__all__:
        needs = {"plot": "matplotlib", "sklearn": "sklearn"}.get(name)
        if needs is None or importlib.util.find_spec(needs):
            thing = getattr(fastnn, name)
            assert name == "__version__" or inspect.getdoc(thing), name
    for name in fastnn.kernels.__all__:
        assert inspect.getdoc(getattr(fastnn.kernels, name)), name
    assert set(fastnn.__all__) <= set(dir(fastnn))
    with pytest.raises(AttributeError, match="no attribute 'matmull'"):
        _ = fastnn.matmull


def test_the_top_level_has_all_kernels_but_some():
    """Building blocks of layers, losses and optimizers are left out: `nn` and `optim` wrap them."""
    losses = {"bce_with_logits", "huber", "l1", "mse"}
    updates = {f"{name}_update" for name in ("adagrad", "adam", "adamw", "ema", "rmsprop", "sgd")}
    parts = {"ACTIVATIONS", "Builder", "NotLowerable", "Program", "philox", "scale", "thread_info"}
    parts |= {"additive_scores", "additive_scores_backward", "narrow", "widen"}
    parts |= {"attention_pooling", "attention_pooling_backward"}
    assert set(fastnn.kernels.__all__) - set(fastnn.__all__) == losses | updates | parts


def test_stubs_match_the_modules():
    """Kernel modules and their stubs have the same functions with the same parameters."""
    import ast

    from fastnn.kernels.rowwise import activation_arrays

    folder = Path(fastnn.kernels.__file__).parent
    stubs = sorted(folder.glob("*/*.pyi"))
    assert len(stubs) > 20
    for stub in stubs:
        module = importlib.import_module(f"fastnn.kernels.{stub.parent.name}.{stub.stem}")
        functions = {
            node.name: node
            for node in ast.parse(stub.read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        public = {
            n
            for n, f in vars(module).items()
            if callable(f)
            and not n.startswith("_")
            and getattr(f, "__module__", "") == module.__name__
        }
        classes = {
            node.name for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ClassDef)
        }
        # what is made from a table need not be in the stub, but has to agree where it is
        made = set(module.__all__) if module is activation_arrays else set()
        assert public - {"Block"} | made == set(functions) | classes | made, stub.name
        for name, node in functions.items():
            declared = [a.arg for a in node.args.args + node.args.kwonlyargs]
            assert declared == list(inspect.signature(getattr(module, name)).parameters), (
                f"{stub.stem}.{name}"
            )


def test_types_and_pointer_faces_are_shipped():
    package = Path(fastnn.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "kernels" / "api.pxd").exists()
    assert (package / "include" / "fastnn_activations.h").exists()


def test_pointer_faces_have_plain_c_signatures():
    """Cython compares these strings when another extension imports the functions."""
    from fastnn.kernels import api

    def signature(name):
        get_name = ctypes.pythonapi.PyCapsule_GetName
        get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
        return get_name(api.__pyx_capi__[name]).decode()

    assert signature("frobenius_norm_f32") == "int (int64_t, float const *, double *)"
    assert not any("__pyx" in name or "__pyx" in signature(name) for name in api.__pyx_capi__)
