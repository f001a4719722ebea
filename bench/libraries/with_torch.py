"""PyTorch: eager, with ``out=`` if available, fused optimizers, autograd only if needed."""

from __future__ import annotations

import timeit
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from ..operations import ADAM, ADAMW_DECAY, SGD, Arrays, network_layers
from . import Call

VERSION = f"torch {torch.__version__}"
ISA = torch.backends.cpu.get_cpu_capability()
# Trials of each alternative in PyTorch; the fastest is taken.
TRIALS, TRIAL_CALLS = 5, 3


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let PyTorch use n threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tensors(inputs: Arrays, *names: str) -> list[Tensor]:
    """Return named inputs as tensors that share memory and strides."""
    return [torch.from_numpy(inputs[name]) for name in names]


def _matmul(inputs: Arrays) -> Call:
    a, b = _tensors(inputs, "a", "b")
    y = a.new_empty(a.shape[0], b.shape[1])
    return lambda: (torch.mm(a, b, out=y),)


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


def _linear_by_autograd(x: Tensor, dy: Tensor, w: Tensor, b: Tensor) -> Call:
    """Run the layer as in a training step, with PyTorch's weight layout (out, in)."""
    x, w, b = (t.detach().requires_grad_() for t in (x, w.T.contiguous(), b))

    def call():
        y = functional.relu(functional.linear(x, w, b))
        dx, dw, db = torch.autograd.grad(y, (x, w, b), dy)
        return y.detach(), dx, dw.T, db

    return call


def _linear_by_hand(x: Tensor, dy: Tensor, w: Tensor, b: Tensor) -> Call:
    """Run operators with ``out=`` and no autograd; ``w`` (in, out) in any memory order."""
    y, dx, dw, db = (
        torch.empty_like(dy),
        torch.empty_like(x),
        torch.empty_like(w),
        torch.empty_like(b),
    )
    dz = torch.empty_like(dy)
    backward = torch.ops.aten.threshold_backward.grad_input

    def call():
        torch.addmm(b, x, w, out=y).relu_()
        backward(dy, y, 0, grad_input=dz)
        torch.mm(x.T, dz, out=dw)
        torch.sum(dz, 0, out=db)
        torch.mm(dz, w.T, out=dx)
        return y, dx, dw, db

    return call


def _linear(inputs: Arrays) -> Call:
    """Prepare the fastest of autograd and manual operators, with either weight order."""
    x, dy, w, b = _tensors(inputs, "x", "dy", "w1", "b1")
    ways = (
        _linear_by_autograd(x, dy, w, b),
        _linear_by_hand(x, dy, w, b),
        _linear_by_hand(x, dy, w.T.contiguous().T, b),
    )
    return min(ways, key=lambda way: min(timeit.repeat(way, number=TRIAL_CALLS, repeat=TRIALS)))


def _model(inputs: Arrays) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for w, b in network_layers(inputs):
        dense = torch.nn.Linear(*w.shape, dtype=torch.from_numpy(w).dtype)
        with torch.no_grad():  # PyTorch keeps weights as (out, in)
            dense.weight.copy_(torch.from_numpy(w).T)
            dense.bias.copy_(torch.from_numpy(b))
        layers += [dense, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _as_in_out(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return weights (out, in) as views (in, out), and biases unchanged."""
    return [p.T if p.ndim == 2 else p for p in parameters]


def _mlp(inputs: Arrays) -> Call:
    x, dy = _tensors(inputs, "x", "dy")
    model = _model(inputs)
    parameters = list(model.parameters())

    def call():
        y = model(x)
        grads = torch.autograd.grad(y, parameters, dy)
        return y.detach(), *_as_in_out(grads)

    return call


def _train_step(inputs: Arrays) -> Call:
    x, targets = _tensors(inputs, "x", "targets")
    model = _model(inputs)
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, **ADAM, fused=True)

    def call():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), targets)
        loss.backward()
        optimizer.step()
        return (
            loss.detach(),
            *_as_in_out(p.grad for p in parameters),
            *_as_in_out(p.detach() for p in parameters),
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
    "matmul_prepacked": _matmul,
    "matmul_bias_relu": _matmul_bias_relu,
    "frobenius_norm": _frobenius_norm,
    "relu": _relu,
    "relu_backward": _relu_backward,
    "softmax": _softmax,
    "softmax_backward": _softmax_backward,
    "cross_entropy": _cross_entropy,
    "adamw": _adamw,
    "sgd": _sgd,
    "linear": _linear,
    "mlp": _mlp,
    "train_step": _train_step,
    "call_relu": _call_relu,
    "call_matmul": _call_matmul,
}
