"""Rows of the table: one step of every optimizer, moving averages, scaling."""

from functools import partial

import numpy as np

from fastnn import kernels
from tests.oracle import updates as oracle
from tests.oracle.real import real

from . import pointers as c
from .case import Case
from .norms import some
from .table import row


def arrays_of(d, names):
    """Parameters, gradients and states; squares are not negative."""
    shape = d.shape(0, 3)
    like = "plain" if d.profile in ("large", "special", "offset") else None
    found = {k: d.solid(*shape, like=like) for k in names}
    if "v" in found:
        found["v"] = np.asarray(np.abs(found["v"]))
    return found


def common(d):
    numbers = {"lr": d.one((0.1, 1e-3)), "weight_decay": d.one((0.0, 0.01))}
    return numbers | {"grad_scale": d.one((1.0, 0.25))}


def case(name, arrays, how, expected, pointer):
    written = tuple(k for k in arrays if k != "g")
    return Case(getattr(kernels, name), arrays, expected, how, written=written, pointers=(pointer,))


@row("sgd_update")
def sgd(d):
    how = {**common(d), "momentum": d.one((0.0, 0.9)), "nesterov": d.chance(0.5)}
    if not how["momentum"]:
        how["nesterov"] = False
    arrays = arrays_of(d, "pgm" if how["momentum"] else "pg")

    def pointer(a):
        numbers = how["lr"], how["momentum"], int(how["nesterov"])
        given = *numbers, how["weight_decay"], how["grad_scale"]
        c.call("sgd", a["p"].dtype, a["p"].size, a["p"], a["g"], a.get("m"), *given)
        return a["p"], a.get("m")

    def expected(a):
        return oracle.sgd(real(a["p"]), real(a["g"]), some(a, "m"), **how)

    return case("sgd_update", arrays, how, expected, pointer)


def adam(decoupled, d):
    how = {**common(d), "step": d.one((1, 2, 10, 10**6)), "eps": d.one((1e-8, 1e-6))}
    how |= {"beta1": d.one((0.9, 0.0, 0.5)), "beta2": d.one((0.999, 0.9))}
    arrays = arrays_of(d, "pgmv")
    size, stops, decays = arrays["p"].size, None, np.ones(arrays["p"].shape, bool)
    more = {}
    if decoupled and d.chance(0.4):
        stops = np.sort(d.rng.choice(size + 1, min(size, int(d.rng.integers(0, 5))), False))
        decays = (np.searchsorted(stops, np.arange(size), "right") % 2 == 0).reshape(decays.shape)
        more = {"decay_stops": stops.astype(np.int64)}

    def pointer(a):
        numbers = how["step"], how["lr"], how["beta1"], how["beta2"], how["eps"]
        given = *numbers, how["weight_decay"], int(decoupled), how["grad_scale"]
        c.call("adam", a["p"].dtype, size, *(a[k] for k in "pgmv"), *given)
        return [a[k] for k in "pmv"]

    def expected(a):
        given = (real(a[k]) for k in "pgmv")
        return oracle.adam(*given, decoupled=decoupled, decays=decays, **how)

    name = "adamw_update" if decoupled else "adam_update"
    made = case(name, arrays, {**how, **more}, expected, pointer)
    if more:
        made.pointers = ()
    return made


row("adam_update")(partial(adam, False))
row("adamw_update")(partial(adam, True))


@row("rmsprop_update")
def rmsprop(d):
    how = {**common(d), "alpha": d.one((0.99, 0.9, 0.0)), "eps": 1e-8}
    how["momentum"] = d.one((0.0, 0.9))
    names = "pgv" + "m" * bool(how["momentum"]) + "c" * d.chance(0.5)
    arrays = arrays_of(d, names)
    if "c" in arrays:  # v is the mean of squares, so it is at least the square of the mean
        arrays["v"] = np.asarray(arrays["v"] + arrays["c"] ** 2)

    def pointer(a):
        states = a["v"], a.get("m"), a.get("c")
        numbers = how["lr"], how["alpha"], how["eps"], how["momentum"]
        given = *states, *numbers, how["weight_decay"], how["grad_scale"]
        c.call("rmsprop", a["p"].dtype, a["p"].size, a["p"], a["g"], *given)
        return [a[k] for k in "pvmc" if k in a]

    def expected(a):
        given = (some(a, k) for k in "pgvmc")
        return oracle.rmsprop(*given, **how)

    return case("rmsprop_update", arrays, how, expected, pointer)


@row("adagrad_update")
def adagrad(d):
    how = {**common(d), "step": d.one((1, 5)), "lr_decay": d.one((0.0, 0.1)), "eps": 1e-10}
    arrays = arrays_of(d, "pgv")

    def pointer(a):
        numbers = how["step"], how["lr"], how["lr_decay"], how["eps"]
        given = *numbers, how["weight_decay"], how["grad_scale"]
        c.call("adagrad", a["p"].dtype, a["p"].size, a["p"], a["g"], a["v"], *given)
        return a["p"], a["v"]

    def expected(a):
        return oracle.adagrad(*(real(a[k]) for k in "pgv"), **how)

    return case("adagrad_update", arrays, how, expected, pointer)


@row("ema_update")
def ema(d):
    arrays, decay = arrays_of(d, "ap"), d.one((0.0, 0.9, 1.0))
    arrays = {"average": arrays["a"], "p": arrays["p"]}

    def pointer(a):
        c.call("ema", a["p"].dtype, a["p"].size, a["average"], a["p"], decay)
        return a["average"]

    return Case(
        kernels.ema_update,
        arrays,
        lambda a: oracle.ema(real(a["average"]), real(a["p"]), decay),
        {"decay": decay},
        written=("average",),
        pointers=(pointer,),
    )


@row("scale")
def scale(d):
    factor = d.one((0.0, 0.5, -3.0))
    x = d.solid(*d.shape())

    def pointer(a):
        c.call("scale", a["x"].dtype, a["x"].size, factor, a["x"])
        return a["x"]

    return Case(
        kernels.scale,
        {"x": x},
        lambda a: real(a["x"]) * factor,
        {"factor": factor},
        written=("x",),
        pointers=(pointer,),
    )
