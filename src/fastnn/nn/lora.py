"""LoRA: a frozen model with a trained product of two thin matrices beside its weights."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import check_count, check_generator, check_number, check_probability, given
from ..parameters import Parameter
from .activation import FUNCTIONS
from .dropout import new_stream
from .init import initial, uniform
from .linear import Linear, Seed, affine
from .module import Module, Shapes
from .randomness import RandomStream
from .registry import parameter_shapes, prefixed, register

Array = NDArray[Any]
Drop = tuple[float, int, int]  # probability, seed and step


class Branch:
    """z += scale * dropout(x) A B, beside a linear layer that computed z = x W + b.

    It has no memory of its own: a and b are parameters of a `LoRA`, and the stream is shared.
    """

    def __init__(
        self, a: Parameter, b: Parameter, scale: float, dropout: float, stream: RandomStream
    ) -> None:
        self.a, self.b, self.scale, self.dropout, self.stream = a, b, scale, dropout, stream

    def affine(
        self, x: Array, w: Array, b: Array | None, activation: str | None
    ) -> tuple[Array, dict[str, Any]]:
        """Return what `linear.affine` does for rows x (n, in), and "branch" for `backward`."""
        z, drop = affine(x, w, b, None)[0], self.stream.drop(self.dropout)
        thin = kernels.matmul(_dropped(x, drop), self.a.data)
        kernels.gemm(thin, self.b.data, z, alpha=self.scale, beta=1.0)
        saved: dict[str, Any] = {"branch": (drop, thin)}
        if activation is None:
            return z, saved
        y = FUNCTIONS[activation].forward(z)
        return y, saved | ({"y": y} if FUNCTIONS[activation].saves_output else {"preact": z})

    def backward(self, dz: Array, x: Array, ctx: tuple[Drop, Array], dx: Array | None) -> None:
        """Add the gradients of A and B, and that of x to dx unless it is None."""
        drop, thin = ctx
        dthin = kernels.gemm(dz, self.b.data, alpha=self.scale, trans_b=True)
        da, db = self.a.to_add(), self.b.to_add()
        if db is not None:
            kernels.gemm(thin, dz, db, alpha=self.scale, beta=1.0, trans_a=True)
        if da is not None:
            kernels.gemm(_dropped(x, drop), dthin, da, beta=1.0, trans_a=True)
        if dx is None:
            return
        p, seed, step = drop
        if not p:
            kernels.gemm(dthin, self.a.data, dx, beta=1.0, trans_b=True)
            return
        more = kernels.matmul(dthin, self.a.data.T)
        np.add(dx, kernels.dropout_backward(more, p, seed=seed, step=step), out=dx)

    @property
    def is_trained(self) -> bool:
        """True unless A and B are frozen."""
        return self.a.requires_grad or self.b.requires_grad


@register("LoRA", rng=0)
class LoRA(Module):
    """A frozen model whose linear layers have trained branches: y = act(x W + b + alpha/r x A B).

    A (in, r) is drawn as in the paper's code and B (r, out) is zero, so that training starts at the
    model. What runs the model itself sees the branches, too, until `merge`. Hu et al., "LoRA:
    low-rank adaptation of large language models", ICLR 2022.

    Parameters
    ----------
    model : Module
        Its parameters are frozen; `set_requires_grad(True, "*.bias")` trains some of them, too.
    rank : int
        r, from 1.
    alpha : float
        Above 0.
    targets : str or sequence of str
        Names of linear layers in the model, with wildcards as in a shell: "*.qkv". A layer whose
        weight is read in another way than by calling it, such as a language model's head, has no
        branch.
    dropout : float
        Probability with which an element of a branch's input is dropped, in training only.
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    model : Module
    targets : list of str
        Names of the layers with a branch; its parameters are "lora.NAME.a" and "lora.NAME.b".

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, or a pattern fits no layer, or one that
        has a branch.

    Examples
    --------
    >>> lora = nn.LoRA(nn.EncoderBlock(16, 2, 32, rng=0), rank=4, targets="attention.*", rng=0)
    >>> lora.targets, sum(p.data.size for p in lora.parameters() if p.requires_grad)
    (['attention.qkv', 'attention.out'], 384)
    >>> block = lora.merge()  # the model again, with the branches in its weights
    """

    fields: ClassVar = {
        "model": Module,
        "rank": int,
        "alpha": float,
        "targets": list,
        "dropout": (float, 0.0),
    }
    stream: RandomStream

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of the model and of the branches."""
        base = parameter_shapes(fields["model"])
        return prefixed({"model": base}) | cls.branch_shapes(base, fields)

    @staticmethod
    def branch_shapes(base: Shapes, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of the branches for a model with these parameters."""
        found: Shapes = {}
        rank = fields["rank"]
        for name in fields["targets"]:
            weight = f"{name}.weight" if name else "weight"
            if weight not in base:
                raise ValueError(f"the model has no layer {name!r:.80}")
            (n, m), dtype = base[weight]
            a, b = _names(name)
            found |= {a: ((n, rank), dtype), b: ((rank, m), dtype)}
        return found

    def __init__(
        self,
        model: Module,
        rank: int = 8,
        alpha: float = 16.0,
        targets: str | Iterable[str] = "*",
        *,
        dropout: float = 0.0,
        rng: Seed = None,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"LoRA: model must be an nn.Module, got {given(model)}")
        self.model, self.rank = model, check_count("rank", rank)
        self.alpha = check_number("alpha", alpha, above=0)
        self.dropout = check_probability("dropout", dropout)
        layers = _targets(model, targets)
        self.targets, rng = list(layers), check_generator("rng", rng)
        self.stream = new_stream(rng)
        self.branches: dict[str, Branch] = {}
        parts: dict[str, Parameter | Module] = {"model": model}
        for name, layer in layers.items():
            (n, m), dtype = layer.weight.data.shape, layer.weight.data.dtype
            draw = partial(uniform, low=-(n**-0.5), high=n**-0.5)
            a = Parameter(initial(draw, (n, self.rank), rng, dtype))
            b = Parameter(initial("constant", (self.rank, m), rng, dtype))
            how = self.alpha / self.rank, self.dropout, self.stream
            self.branches[name] = Branch(a, b, *how)
            parts |= zip(_names(name), (a, b), strict=True)
        super().__init__(parts)
        model.set_requires_grad(False)
        for name, layer in layers.items():
            layer.adapter = self.branches[name]

    def forward(self, *inputs: Any, **options: Any) -> tuple[Any, Any]:
        """Return what the model's `forward` returns."""
        return self.model.forward(*inputs, **options)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Return the output of the model; keep nothing for backward."""
        return self.model(*inputs, **options)

    def backward(self, dy: Any, ctx: Any, need_dx: bool = True) -> Any:
        """Add the gradients of what is trained; return that of x."""
        return self.model.backward(dy, ctx, need_dx)

    def merge(self) -> Module:
        """Add the branches to the weights; return the model without them, to be trained whole.

        It can be frozen, exported and saved like any other. This object is of no more use.
        """
        for name, layer in _linear(self.model).items():
            if (branch := self.branches.get(name)) is not None and layer.adapter is branch:
                a, b = branch.a.data, branch.b.data
                kernels.gemm(a, b, layer.weight.data, alpha=branch.scale, beta=1.0)
                layer.adapter = None
        self.model.set_requires_grad(True)
        return self.model

    def example(self, input_shape: tuple[int, ...], dtype: Any = None) -> tuple[Array, ...]:
        """Return zeros with which `forward` can be called."""
        return self.model.example(input_shape, dtype)

    if not TYPE_CHECKING:  # with it, a type checker would accept any attribute name

        def __getattr__(self, name: str) -> Any:
            if name in ("loss", "loss_and_grad"):  # of a token model, for `train.TokenLoss`
                return getattr(self.model, name)
            return super().__getattr__(name)


def _names(target: str) -> tuple[str, str]:
    """Return the names of A and B of a layer."""
    name = f"lora.{target}" if target else "lora"
    return f"{name}.a", f"{name}.b"


def _linear(model: Module) -> dict[str, Linear]:
    """Return the linear layers of a model by name, but for those that are not called."""
    modules = dict(model.modules())
    read = {id(getattr(module, name)) for module in modules.values() for name in module.read_parts}
    return {
        name: layer
        for name, layer in modules.items()
        if isinstance(layer, Linear)
        and type(layer).forward is Linear.forward
        and id(layer) not in read
    }


def _targets(model: Module, targets: Any) -> dict[str, Linear]:
    """Return the layers that patterns fit, in the order of the model."""
    layers, patterns = _linear(model), [targets]
    if not isinstance(targets, str) and isinstance(targets, Iterable):
        patterns = list(targets)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"targets must be names of layers, got {given(pattern)}")
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise ValueError(
                f"no linear layer fits targets {pattern!r:.80}; names are such as "
                f"{list(layers)[:3]}"
            )
    fit = {n: x for n, x in layers.items() if any(fnmatchcase(n, p) for p in patterns)}
    if not fit:
        raise ValueError("targets must name a layer")
    if taken := [name for name, layer in fit.items() if layer.adapter is not None]:
        raise ValueError(f"{taken[0]!r} has a branch already: merge() it first")
    return fit


def _dropped(x: Array, drop: Drop) -> Array:
    p, seed, step = drop
    return kernels.dropout(x, p, seed=seed, step=step) if p else x
