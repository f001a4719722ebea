"""Errors for keyword arguments that a function does not have, with what was probably meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from .checks import did_you_mean

Call = TypeVar("Call", bound=Callable[..., Any])

# Keywords of other libraries -> what fastnn's functions call them; the first that one has.
ELSEWHERE = {
    "learning_rate": ("lr", "learning_rate_init"),
    "learning_rate_init": ("lr",),
    "l2": ("weight_decay", "alpha"),
    "alpha": ("weight_decay", "rho", "slope"),
    "beta_1": ("betas",),
    "beta_2": ("betas",),
    "beta1": ("betas",),
    "beta2": ("betas",),
    "clipnorm": ("clip_norm", "max_norm"),
    "max_grad_norm": ("clip_norm", "max_norm"),
    "grad_clip": ("clip_norm", "max_norm"),
    "model": ("params",),
    "criterion": ("loss",),
    "optim": ("optimizer",),
    "solver": ("optimizer",),
    "nb_epoch": ("epochs",),
    "num_epochs": ("epochs",),
    "n_epochs": ("epochs",),
    "max_iter": ("epochs",),
    "max_epochs": ("epochs",),
    "bs": ("batch_size",),
    "val_data": ("validation_data",),
    "eval_set": ("validation_data",),
    "random_state": ("seed", "rng"),
    "seed": ("rng", "random_state"),
    "rng": ("seed", "random_state"),
    "generator": ("rng", "seed"),
    "rate": ("p", "dropout"),
    "p": ("dropout",),
    "units": ("out_features",),
    "input_dim": ("in_features",),
    "num_embeddings": ("num",),
    "use_bias": ("bias",),
    "kernel_initializer": ("init",),
    "num_heads": ("n_heads",),
    "nhead": ("n_heads",),
    "embed_dim": ("d_model",),
    "num_layers": ("n_layers",),
    "dim_feedforward": ("d_ff",),
    "normalized_shape": ("dim",),
    "block_size": ("max_len",),
    "max_length": ("max_len", "max_new_tokens"),
    "num_beams": ("beams",),
    "filepath": ("path",),
    "filename": ("path",),
    "file": ("path",),
}


def explained(call: Call) -> Call:
    """Decorate a function, or a class for its constructor, to suggest keywords in its errors.

    A call that succeeds is passed through; nothing is looked up.

    >>> @explained
    ... def step(lr): ...
    >>> step(learning_rate=1)
    Traceback (most recent call last):
    TypeError: step() has no argument 'learning_rate'; did you mean 'lr'?
    """
    if isinstance(call, type):
        call.__init__ = explained(call.__init__)  # type: ignore[misc]
        return call

    @wraps(call)
    def passed(*args: Any, **keywords: Any) -> Any:
        try:
            return call(*args, **keywords)
        except TypeError as error:
            of = type(args[0]) if call.__name__ == "__init__" else call
            message = keywords and unexpected(of.__name__, call, keywords)
            if not message:
                raise
            raise TypeError(message).with_traceback(error.__traceback__) from None

    return passed  # type: ignore[return-value]


def unexpected(name: str, call: Callable[..., Any], keywords: dict[str, Any]) -> str:
    """Return the error about the first keyword that a function does not have, or ""."""
    parameters = inspect.signature(call).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return ""
    known = [k for k, p in parameters.items() if p.kind is not p.POSITIONAL_ONLY and k != "self"]
    for keyword in keywords:
        if keyword not in known:
            found = [k for k in ELSEWHERE.get(keyword.lower(), ()) if k in known]
            hint = f"; did you mean {found[0]!r}?" if found else did_you_mean(keyword, known)
            hint = hint or f"; it has {', '.join(known)}" * bool(known)
            return f"{name}() has no argument {keyword!r}{hint}"
    return ""
