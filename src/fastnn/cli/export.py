"""Write a model in another format, or with weights of fewer bits: `fastnn export MODEL OUT`."""

from __future__ import annotations

import argparse
import io
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import models, nn
from ..files import ModelFileError, load, load_metadata, save
from ..files.atomic import check_writable, write_atomically
from ..files.model import METADATA_KEY, RUN_KEY
from ..files.tensors import write_tensors
from .checks import check_apart
from .errors import Failure, UsageError

# Ending of a file -> what is written.
ENDINGS = {".onnx": "onnx", ".safetensors": "torch", ".pt": "torch", ".pth": "torch"}

# Largest difference from onnxruntime, relative to the largest output.
CLOSE = 1e-3

POSITIONS = 4  # of the sequences that onnxruntime is tried on


def export(args: argparse.Namespace) -> None:
    """Write OUT: an ONNX graph, a state for PyTorch, or, with --weights, a smaller model file."""
    if args.weights is not None:
        return _export_rounded(args)
    ending = os.path.splitext(args.out)[1].lower()
    kind = args.format or ENDINGS.get(ending)
    if kind is None:
        raise UsageError(f"{args.out}: the name must end in {', '.join(ENDINGS)}, or give --format")
    check_apart({"MODEL": args.model, "OUT": args.out})
    check_writable(args.out)
    try:
        model = load(args.model)
        if kind == "onnx":
            made = models.to_onnx(model)
        else:
            state = torch_state(model)
    except (ModelFileError, TypeError, ValueError) as error:
        raise UsageError(f"{args.model}: {error}") from error
    if kind == "torch":
        _write_state(state, args.out, ending)
        print(f"{len(state)} arrays under PyTorch's names written to {args.out}")
        args.result |= {"format": "torch", "out": args.out, "names": list(state)}
        return
    difference = _check(made, model)
    write_atomically(args.out, made.SerializeToString())
    inputs = [each.name for each in made.graph.input]
    print(f"ONNX graph, opset 17, inputs {', '.join(inputs)}, output y, written to {args.out}")
    if difference is None:
        print("not run: checking its outputs needs pip install onnxruntime")
    else:
        print(f"run by onnxruntime: outputs differ by at most {difference:.1e} of the largest")
    args.result |= {"format": "onnx", "out": args.out, "inputs": inputs, "difference": difference}


def _export_rounded(args: argparse.Namespace) -> None:
    """Write a file of fastnn with the same metadata."""
    if args.format is not None:
        raise UsageError("argument --weights: OUT is then a file of fastnn, without --format")
    check_apart({"MODEL": args.model, "OUT": args.out})
    check_writable(args.out)
    try:
        model, metadata = load(args.model), load_metadata(args.model)
        own = {k: v for k, v in metadata.items() if k not in (METADATA_KEY, RUN_KEY)}
        save(model, args.out, metadata=own, weights=args.weights)
    except (ModelFileError, TypeError) as error:  # TypeError: of float64
        raise UsageError(f"{args.model}: {error}") from error
    size = os.path.getsize(args.out)
    print(f"model with matrices in {args.weights} written to {args.out}, {size:,} bytes")
    args.result |= {"format": "fastnn", "out": args.out, "weights": args.weights, "bytes": size}


def torch_state(model: nn.Module) -> dict[str, NDArray[Any]]:
    """Return a state under PyTorch's names; TypeError or ValueError if there is none.

    A TransformerLM gets the names of GPT-2 in transformers, a Seq2SeqTransformer those of
    ``torch.nn.Transformer`` with its embeddings, and its positions if they are learned.
    """
    if isinstance(model, models.TransformerLM):
        return dict(models.to_gpt2(model))
    if not isinstance(model, models.Seq2SeqTransformer):
        return models.to_torch(model)
    state = {"src_embedding.weight": model.embedding.weight.data}
    state["tgt_embedding.weight"] = model.tgt_embedding.weight.data.copy()
    if model.positions.weight is not None:
        state["positions.weight"] = model.positions.weight.data
    for side, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        state |= {f"{side}.{name}": array for name, array in models.to_torch(stack).items()}
    if model.head is not None:
        state["head.weight"] = np.ascontiguousarray(model.head.weight.data.T)
    return state


def _write_state(state: dict[str, NDArray[Any]], path: str, ending: str) -> None:
    if ending not in (".pt", ".pth"):
        write_tensors(path, state, {"format": "pt"})
        return
    try:
        import torch
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{path}: this format needs PyTorch; a name ending in .safetensors does not"
        ) from error
    content = io.BytesIO()
    torch.save({name: torch.from_numpy(array.copy()) for name, array in state.items()}, content)
    write_atomically(path, content.getvalue())


def _check(made: Any, model: nn.Module) -> float | None:
    """Return the relative difference from onnxruntime on random inputs; None if not installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    rng = np.random.default_rng(0)
    inputs = _inputs(made, model, rng)
    how = {"providers": ["CPUExecutionProvider"]}
    (y,) = onnxruntime.InferenceSession(made.SerializeToString(), **how).run(["y"], inputs)
    expected = model(*inputs.values())
    difference = float(np.abs(y - expected).max() / max(float(np.abs(expected).max()), 1e-30))
    if not difference < CLOSE:
        raise Failure(f"the ONNX graph gives other outputs, by {difference:.1e} of the largest")
    return difference


def _inputs(made: Any, model: Any, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    if isinstance(model, models.Seq2SeqTransformer):
        sides = {"src": model.embedding, "tgt": model.tgt_embedding}
        ids = {name: rng.integers(0, table.num, (2, POSITIONS)) for name, table in sides.items()}
        return {**ids, "src_lengths": np.array([POSITIONS, 1])}
    axes = [axis.dim_value for axis in made.graph.input[0].type.tensor_type.shape.dim]
    if axes[-1]:
        shape = (2, *[POSITIONS] * (len(axes) - 2), axes[-1])
        return {"x": rng.normal(size=shape).astype(model.parameters().dtype)}
    tables = [module for _, module in model.modules() if isinstance(module, nn.Embedding)]
    length = min(POSITIONS, getattr(model, "max_len", POSITIONS))
    return {"x": rng.integers(0, tables[0].num, (2, length))}
