"""PyTorch's own samples (OpInfo) of what fastnn has, forward and backward, against PyTorch.

The reference is PyTorch in float64. Needs torch, expecttest and hypothesis; skipped without.
"""

import warnings
from collections import Counter

import numpy as np
import pytest

import fastnn
from fastnn import kernels, nn

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")
methods = pytest.importorskip("torch.testing._internal.common_methods_invocations")


class Left(Exception):
    """A sample that uses an option which fastnn does not have."""


def need(condition, reason):
    if not condition:
        raise Left(reason)


def array(x):
    return x.detach().resolve_conj().numpy()


def elementwise(name, from_output, **how):
    """y, and a function dy -> dx, of an activation."""

    def ours(x, *args, **kwargs):
        need(not args and not {k: v for k, v in kwargs.items() if k != "inplace"}, "option")
        return pair(x, name, from_output, **how)

    return ours


def pair(x, name, from_output, **how):
    y = getattr(kernels, name)(x, **how)
    backward = getattr(kernels, f"{name}_backward")
    return y, lambda dy: backward(dy, y if from_output else x, **how)


def gelu(x, approximate="none"):
    return pair(x, "gelu", False, approximate=None if approximate == "none" else "tanh")


def leaky_relu(x, slope=0.01, inplace=False):
    return pair(x, "leaky_relu", slope > 0, slope=slope)


def prelu(x, weight):
    """Channels are the second axis in PyTorch, the last one here."""
    moved = np.moveaxis(x, 1, -1) if x.ndim > 1 and weight.size > 1 else x
    need(x.ndim > 1 or weight.size <= 1, "a slope for each of the rows of a vector")
    a, da = weight.reshape(-1), np.zeros(weight.size, x.dtype)
    back = (lambda z: np.moveaxis(z, -1, 1)) if moved is not x else (lambda z: z)

    def backward(dy):
        moved_dy = np.moveaxis(dy, 1, -1) if moved is not x else dy
        dx = kernels.prelu_backward(moved_dy, moved, a, da=da)
        return back(dx), da.reshape(weight.shape)

    return back(kernels.prelu(moved, a)), backward


def softmax_like(name):
    def ours(x, dim, dtype=None):
        need(dtype is None, "dtype")
        x = np.moveaxis(x, dim, -1) if x.ndim else x
        y, backward = pair(x, name, True)
        if not x.ndim:
            return y, backward
        move = np.moveaxis
        return move(y, -1, dim), lambda dy: move(backward(move(dy, dim, -1)), -1, dim)

    return ours


def product(a, b):
    y = fastnn.matmul(a, b)

    def backward(dy):
        need(min(a.ndim, b.ndim) > 1 and a.shape[:-2] == b.shape[:-2], "gradient of a vector")
        return fastnn.matmul(dy, b.swapaxes(-1, -2)), fastnn.matmul(a.swapaxes(-1, -2), dy)

    return y, backward


def linear(x, w, b=None):
    need(x.ndim > 1 and w.ndim == 2, "vectors")
    rows, dw = x.reshape(-1, x.shape[-1]), np.zeros(w.T.shape, x.dtype)
    db = None if b is None else np.zeros(b.shape, x.dtype)
    y = fastnn.matmul(rows, w.T, bias=b)

    def backward(dy):
        dy = dy.reshape(-1, dy.shape[-1])
        dx = fastnn.linear_backward(dy, rows, w.T, dw=dw, db=db).reshape(x.shape)
        return (dx, dw.T) if b is None else (dx, dw.T, db)

    return y.reshape(*x.shape[:-1], w.shape[0]), backward


def addmm(c, a, b, beta=1, alpha=1):
    y = np.broadcast_to(c, (a.shape[0], b.shape[1])).copy()
    fastnn.gemm(a, b, y, alpha=alpha, beta=beta)

    def backward(dy):
        need(c.shape == dy.shape, "gradient of what is broadcast")
        da = fastnn.gemm(dy, b, alpha=alpha, trans_b=True)
        return np.asarray(beta * dy, dy.dtype), da, fastnn.gemm(a, dy, alpha=alpha, trans_a=True)

    return y, backward


def norm(x, ord=None, dim=None, keepdim=False, dtype=None):
    axes = range(x.ndim) if dim is None else sorted(np.atleast_1d(dim) % max(1, x.ndim))
    whole = not keepdim and list(axes) == list(range(x.ndim))
    need(dtype is None and whole and ord in (None, "fro", 1, 2), "axis or order")
    need(ord not in (1, 2) or x.ndim == 1, "the norm of an operator")
    if ord == 1:
        return np.asarray(fastnn.l1_norm(x), x.dtype), lambda dy: dy * np.sign(x)
    y = fastnn.frobenius_norm(x)
    return np.asarray(y, x.dtype), lambda dy: dy * x / (y or 1)


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    return normed("layer_norm", x, shape, eps, {"weight": weight, "bias": bias})


def rms_norm(x, shape, weight=None, eps=None):
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    return normed("rms_norm", x, shape, eps, {"weight": weight})


def normed(name, x, shape, eps, parameters):
    need(eps > 0, "eps not above 0")
    n = int(np.prod(shape))
    need(n > 0, "empty rows")
    rows = x.reshape(-1, n)
    flat = {k: v.reshape(n) for k, v in parameters.items() if v is not None}
    stats, sums = np.empty((len(rows), 3), x.dtype), {k: np.zeros(n, x.dtype) for k in flat}
    y = getattr(kernels, name)(rows, eps=eps, stats=stats, **flat)

    def backward(dy):
        added = {f"d{k}": v for k, v in sums.items()}
        given = dy.reshape(-1, n), rows, stats, flat.get("weight")
        dx = getattr(kernels, f"{name}_backward")(*given, **added)
        return dx.reshape(x.shape), *(v.reshape(shape) for v in sums.values())

    return y.reshape(x.shape), backward


def loss(name, **names):
    def ours(x, target, reduction="mean", **kwargs):
        need(x.shape == target.shape and x.ndim, "shapes that broadcast, or numbers")
        need(set(kwargs) <= set(names), "option")
        how = {names[k]: v for k, v in kwargs.items()}
        if name == "bce_with_logits" and np.ndim(how.get("pos_weight", 0)) > 1:
            raise Left("pos_weight of several axes")
        y, dx = getattr(kernels, name)(x, target, reduction=reduction, **how)
        return np.asarray(y, x.dtype), scaled(dx)

    return ours


def scaled(dx):
    """The gradient for dy, which is one number or, for "none", one for each loss."""
    return lambda dy: np.asarray(dx * dy, dx.dtype)


def cross_entropy(x, target, weight=None, reduction="mean", ignore_index=-100, label_smoothing=0.0):
    """Classes are the second axis in PyTorch, the last one here."""
    need(x.ndim > 1, "one row without an axis")
    need(weight is None or (weight >= 0).all(), "negative weights, which are errors here")
    soft = target.dtype.kind == "f"
    if soft:
        need(weight is None, "weights of probabilities")
        need((target >= 0).all(), "negative probabilities, which are errors here")
        target = np.moveaxis(target, 1, -1)
    how = {"weight": weight, "reduction": reduction, "ignore_index": ignore_index}
    y, dx = nn.cross_entropy(np.moveaxis(x, 1, -1), target, label_smoothing=label_smoothing, **how)

    def backward(dy):
        dy = dy[..., None] if reduction == "none" else dy
        return np.moveaxis(np.asarray(dx * dy, dx.dtype), -1, 1)

    return np.asarray(y, x.dtype), backward


def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **grouped):
    need(set(grouped) <= {"enable_gqa"}, "option")
    need(not dropout_p, "dropout, whose random numbers are others")
    need(q.ndim == k.ndim == 4 and len(q) == len(k) == len(v), "rank or batch of the operands")
    need(q.shape[1] % k.shape[1] == 0 and k.shape[1] == v.shape[1], "heads that broadcast")
    need(not is_causal or q.shape[2] == k.shape[2], "causal from the first key")
    need(attn_mask is None or attn_mask.dtype in (bool, q.dtype), "mask of another type")
    how = {"causal": is_causal, "mask": attn_mask, "scale": scale}
    out, lse = fastnn.attention(q, k, v, return_lse=True, **how)
    return out, lambda dy: fastnn.attention_backward(dy, q, k, v, out, lse, **how)


def embedding(table, ids, padding_idx=None, max_norm=None, scale_grad_by_freq=False, **more):
    need(max_norm is None and not scale_grad_by_freq and not any(more.values()), "option")
    if padding_idx is not None:
        padding_idx %= len(table)

    def backward(dy):
        dtable = np.zeros_like(table)
        kernels.embedding_backward(ids, dy, dweight=dtable, padding_idx=padding_idx)
        return dtable

    return fastnn.embedding(ids, table), backward


def dropout(x, p=0.5, training=True, inplace=False):
    p = p if training else 0.0
    need(p in (0.0, 1.0), "0 < p < 1, whose random numbers are others")
    y = kernels.dropout(x, p, seed=1, step=0)
    return y, lambda dy: kernels.dropout_backward(dy, p, seed=1, step=0)


NN = "nn.functional."
OURS = {
    f"{NN}relu": elementwise("relu", True),
    f"{NN}silu": elementwise("silu", False),
    "tanh": elementwise("tanh", True),
    "sigmoid": elementwise("sigmoid", True),
    f"{NN}gelu": gelu,
    f"{NN}leaky_relu": leaky_relu,
    f"{NN}prelu": prelu,
    "softmax": softmax_like("softmax"),
    "log_softmax": softmax_like("log_softmax"),
    "matmul": product,
    "mm": product,
    "bmm": product,
    "mv": product,
    f"{NN}linear": linear,
    "addmm": addmm,
    "norm": norm,
    "linalg.norm": norm,
    "linalg.vector_norm": norm,
    f"{NN}layer_norm": layer_norm,
    f"{NN}rms_norm": rms_norm,
    f"{NN}mse_loss": loss("mse"),
    f"{NN}l1_loss": loss("l1"),
    f"{NN}huber_loss": loss("huber", delta="delta"),
    f"{NN}binary_cross_entropy_with_logits": loss("bce_with_logits", pos_weight="pos_weight"),
    f"{NN}cross_entropy": cross_entropy,
    f"{NN}scaled_dot_product_attention": attention,
    f"{NN}embedding": embedding,
    f"{NN}dropout": dropout,
}
# softplus has samples of other slopes alone; `norm` has its Frobenius norms in a variant.
VARIANTS = {"norm": "fro"}
OPS = [
    op
    for op in methods.op_db
    if op.name in OURS and op.variant_test_name == VARIANTS.get(op.name, "")
]


def converted(value, to):
    """A sample's argument, with tensors replaced."""
    if isinstance(value, torch.Tensor):
        return to(value)
    if isinstance(value, (tuple, list)):
        return type(value)(converted(v, to) for v in value)
    return value


def wide(leaves):
    """A function that makes float64 tensors with gradients, and collects them in order."""

    def made(x):
        if not x.is_floating_point():
            return x.detach()
        x = x.detach().double().requires_grad_(x.requires_grad)
        if x.requires_grad:
            leaves.append(x)
        return x

    return made


def near(found, right, real, what):
    """Within 100 epsilons of the largest magnitude, at least 1; NaN and infinities alike."""
    assert found.shape == right.shape, what
    finite = np.abs(right[np.isfinite(right)])
    bound = 100 * np.finfo(real).eps * max(1.0, finite.max(initial=0))
    np.testing.assert_allclose(found, right, rtol=0, atol=bound, err_msg=what)


def compare(op, sample, real):
    """Compare one sample; raise Left where we have no such option."""
    given = converted((sample.input, *sample.args), array)
    options = {k: converted(v, array) for k, v in sample.kwargs.items()}
    need(not any(np.iscomplexobj(x) for x in given), "complex")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            y, backward = OURS[op.name](*given, **options)
        except TypeError as error:
            if "unexpected keyword" not in str(error):
                raise
            raise Left("option") from None
        leaves = []
        args = converted((sample.input, *sample.args), wide(leaves))
        right = op(*args, **{k: converted(v, wide(leaves)) for k, v in sample.kwargs.items()})
    what = f"{op.name} {[getattr(x, 'shape', x) for x in given]} {options!r:.200}"
    near(np.asarray(y), array(right), real, what)
    if not leaves or not right.requires_grad:
        return "forward"
    dy = torch.linspace(-1, 1, max(1, right.numel())).double()[: right.numel()].view(right.shape)
    expected = torch.autograd.grad(right, leaves, dy, allow_unused=True)
    try:
        found = backward(array(dy).astype(real))
    except Left:
        return "forward"
    found = found if isinstance(found, tuple) else (found,)
    for one, gradient in zip(found, expected, strict=False):
        if gradient is not None:
            near(np.asarray(one).reshape(gradient.shape), array(gradient), real, f"d {what}")
    return "forward and backward"


@pytest.mark.parametrize("real", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_samples_of_pytorch(op, real, record_property):
    """Run with -s to see how many samples were compared, and why the others were not."""
    dtype = torch.float32 if real is np.float32 else torch.float64
    torch.manual_seed(0)
    counts = Counter()
    for sample in op.sample_inputs("cpu", dtype, requires_grad=True):
        try:
            counts[compare(op, sample, real)] += 1
        except Left as reason:
            counts[f"left out: {reason}"] += 1
    print(op.name, np.dtype(real), dict(counts))
    record_property("samples", dict(counts))
    assert counts["forward"] + counts["forward and backward"] > 0


def test_all_operations_have_samples():
    assert {op.name for op in OPS} == set(OURS)
