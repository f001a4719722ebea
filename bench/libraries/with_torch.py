"""PyTorch: eager, ``out=`` where it has one, fused optimizers, no autograd where none is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

from ..operations import ADAM, ADAMW_DECAY, SGD, Arrays
from . import Call

VERSION = f"torch {torch.__version__}"
ISA = torch.backends.cpu.get_cpu_capability()


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let PyTorch use n threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tensors(inputs: Arrays, *names: str) -> list[torch.Tensor]:
    """The inputs of those names, sharing their memory and their strides."""
    return [torch.from_numpy(inputs[name]) for name in names]


def _matmul(inputs: Arrays) -> Call:
    a, b = _tensors(inputs, "a", "b")
    y = a.new_empty(a.shape[0], b.shape[1])
    return lambda: (torch.matmul(a, b, out=y),)


def _matmul_bias_relu(inputs: Arrays) -> Call:
    a, b, bias = _tensors(inputs, "a", "b", "bias")
    y = a.new_empty(a.shape[0], b.shape[1])
    return lambda: (torch.addmm(bias, a, b, out=y).relu_(),)


def _frobenius_norm(inputs: Arrays) -> Call:
    (x,) = _tensors(inputs, "x")
    return lambda: (torch.linalg.vector_norm(x),)


def _relu(inputs: Arrays) -> Call:
    (x,) = _tensors(inputs, "x")
    y = torch.empty_like(x)
    return lambda: (torch.clamp_min(x, 0, out=y),)  # what torch.relu does; that has no out=


def _relu_backward(inputs: Arrays) -> Call:
    dy, y = _tensors(inputs, "dy", "y")
    dx = torch.empty_like(dy)
    backward = torch.ops.aten.threshold_backward.grad_input
    return lambda: (backward(dy, y, 0, grad_input=dx),)


def _softmax(inputs: Arrays) -> Call:
    (x,) = _tensors(inputs, "x")
    y = torch.empty_like(x)
    return lambda: (torch.softmax(x, 1, out=y),)


def _softmax_backward(inputs: Arrays) -> Call:
    dy, y = _tensors(inputs, "dy", "y")
    dx = torch.empty_like(dy)
    backward = torch.ops.aten._softmax_backward_data.out
    return lambda: (backward(dy, y, 1, y.dtype, grad_input=dx),)


def _cross_entropy(inputs: Arrays) -> Call:
    logits, targets = _tensors(inputs, "logits", "targets")
    logits.requires_grad_()

    def call():
        loss = functional.cross_entropy(logits, targets)
        (dlogits,) = torch.autograd.grad(loss, logits)
        return loss.detach(), dlogits

    return call


def _adamw(inputs: Arrays) -> Call:
    p, g = _tensors(inputs, "p", "g")
    p = torch.nn.Parameter(p)
    p.grad = g
    optimizer = torch.optim.AdamW([p], **ADAM, weight_decay=ADAMW_DECAY, fused=True)

    def call():
        optimizer.step()
        state = optimizer.state[p]
        return p.detach(), state["exp_avg"], state["exp_avg_sq"]

    return call


def _sgd(inputs: Arrays) -> Call:
    p, g = _tensors(inputs, "p", "g")
    p = torch.nn.Parameter(p)
    p.grad = g
    optimizer = torch.optim.SGD([p], **SGD, fused=True)

    def call():
        optimizer.step()
        return p.detach(), optimizer.state[p]["momentum_buffer"]

    return call


def _train_step(inputs: Arrays) -> Call:
    x, targets = _tensors(inputs, "x", "targets")
    w1, b1, w2, b2 = _tensors(inputs, "w1", "b1", "w2", "b2")
    model = torch.nn.Sequential(
        torch.nn.Linear(*w1.shape), torch.nn.ReLU(), torch.nn.Linear(*w2.shape)
    ).to(x.dtype)
    parameters = list(model.parameters())
    with torch.no_grad():  # PyTorch keeps weights as (out, in)
        for parameter, value in zip(parameters, (w1.T, b1, w2.T, b2), strict=True):
            parameter.copy_(value)
    optimizer = torch.optim.Adam(parameters, **ADAM, fused=True)

    def call():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), targets)
        loss.backward()
        optimizer.step()
        return (
            loss.detach(),
            *[p.grad.T if p.ndim == 2 else p.grad for p in parameters],
            *[p.detach().T if p.ndim == 2 else p.detach() for p in parameters],
        )

    return call


def _call_relu(inputs: Arrays) -> Call:
    (x,) = _tensors(inputs, "x")
    return lambda: (torch.relu(x),)


def _call_matmul(inputs: Arrays) -> Call:
    a, b = _tensors(inputs, "a", "b")
    return lambda: (torch.matmul(a, b),)


PREPARE = {
    "matmul": _matmul,
    "matmul_bias_relu": _matmul_bias_relu,
    "frobenius_norm": _frobenius_norm,
    "relu": _relu,
    "relu_backward": _relu_backward,
    "softmax": _softmax,
    "softmax_backward": _softmax_backward,
    "cross_entropy": _cross_entropy,
    "adamw": _adamw,
    "sgd": _sgd,
    "train_step": _train_step,
    "call_relu": _call_relu,
    "call_matmul": _call_matmul,
}
