"""The networks in PyTorch: autograd as in a training step, or operators with ``out=``."""

from __future__ import annotations

import timeit
from collections.abc import Iterable
from typing import Any

from ..operations import ADAM, Arrays, Call, autograd
from . import network_layers

# Trials of each alternative; the fastest is taken.
TRIALS, TRIAL_CALLS = 5, 3


def _linear_by_autograd(torch: Any, x: Any, dy: Any, w: Any, b: Any) -> Call:
    """Run the layer as in a training step, with PyTorch's weight layout (out, in)."""
    functional = torch.nn.functional
    x, w, b = (t.detach() for t in (x, w.T.contiguous(), b))
    call = autograd(torch, lambda: functional.relu(functional.linear(x, w, b)), (x, w, b), dy)

    def transposed() -> tuple[Any, ...]:
        y, dx, dw, db = call()
        return y, dx, dw.T, db

    return transposed


def _linear_by_hand(torch: Any, x: Any, dy: Any, w: Any, b: Any) -> Call:
    """Run operators with ``out=`` and no autograd; ``w`` (in, out) in any memory order."""
    y, dx, dw, db, dz = (torch.empty_like(t) for t in (dy, x, w, b, dy))
    backward = torch.ops.aten.threshold_backward.grad_input

    def call() -> tuple[Any, ...]:
        torch.addmm(b, x, w, out=y).relu_()
        backward(dy, y, 0, grad_input=dz)
        torch.mm(x.T, dz, out=dw)
        torch.sum(dz, 0, out=db)
        torch.mm(dz, w.T, out=dx)
        return y, dx, dw, db

    return call


def linear(torch: Any, x: Any, dy: Any, w1: Any, b1: Any) -> Call:
    """Prepare the fastest of autograd and manual operators, with either weight order."""
    ways = (
        _linear_by_autograd(torch, x, dy, w1, b1),
        _linear_by_hand(torch, x, dy, w1, b1),
        _linear_by_hand(torch, x, dy, w1.T.contiguous().T, b1),
    )
    return min(ways, key=lambda way: min(timeit.repeat(way, number=TRIAL_CALLS, repeat=TRIALS)))


def _model(torch: Any, inputs: Arrays) -> Any:
    layers: list[Any] = []
    for w, b in network_layers(inputs):
        dense = torch.nn.Linear(*w.shape, dtype=torch.from_numpy(w).dtype)
        with torch.no_grad():  # PyTorch keeps weights as (out, in)
            dense.weight.copy_(torch.from_numpy(w).T)
            dense.bias.copy_(torch.from_numpy(b))
        layers += [dense, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _as_in_out(parameters: Iterable[Any]) -> list[Any]:
    """Return weights (out, in) as views (in, out), and biases unchanged."""
    return [p.T if p.ndim == 2 else p for p in parameters]


def mlp(torch: Any, x: Any, dy: Any, inputs: Arrays) -> Call:
    model = _model(torch, inputs)
    parameters = list(model.parameters())

    def call() -> tuple[Any, ...]:
        y = model(x)
        return y.detach(), *_as_in_out(torch.autograd.grad(y, parameters, dy))

    return call


def step(torch: Any, x: Any, targets: Any, inputs: Arrays, compiled: bool = False) -> Call:
    model = _model(torch, inputs)
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, **ADAM, fused=True)

    def loss_of(x: Any, targets: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(x), targets)

    run = torch.compile(loss_of) if compiled else loss_of

    def call() -> tuple[Any, ...]:
        optimizer.zero_grad()
        loss = run(x, targets)
        loss.backward()
        optimizer.step()
        grads = _as_in_out(p.grad for p in parameters)
        return loss.detach(), *grads, *_as_in_out(p.detach() for p in parameters)

    return call


def forward(torch: Any, x: Any, inputs: Arrays, compiled: bool = False, bf16: bool = False) -> Call:
    model = _model(torch, inputs).eval()
    if bf16:
        model, x = model.bfloat16(), x.bfloat16()
    run = torch.compile(model) if compiled else model

    def call() -> tuple[Any, ...]:
        with torch.inference_mode():
            return (run(x),)

    return call
