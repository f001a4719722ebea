"""Small PyTorch modules with outputs and gradients, to compare with fastnn.

A case is a dict of arrays: "state/..." by PyTorch's names, "input/...", "output/...", and
"grad/..." of all parameters and inputs. `run` makes a case with PyTorch, `compare` needs only the
arrays.
"""

import json

import numpy as np

from fastnn import models, nn

D, HEADS, HIDDEN, VOCAB, BATCH, S, T = 8, 2, 12, 11, 3, 5, 4
LENGTHS = np.array([5, 2, 3])

# name -> (kind, options)
CASES = {
    "encoder-post-relu-lengths": ("encoder", {"lengths": True}),
    "encoder-pre-gelu-causal": (
        "encoder",
        {"norm_first": True, "activation": "gelu", "causal": True},
    ),
    "encoder-post-gelu-causal-lengths": (
        "encoder",
        {"activation": "gelu", "causal": True, "lengths": True},
    ),
    "encoder-pre-relu-no-bias": ("encoder", {"norm_first": True, "bias": False}),
    "encoder-no-last-norm": ("encoder", {"norm_first": True, "final_norm": False}),
    "decoder-post-relu-lengths": ("decoder", {"lengths": True}),
    "decoder-pre-gelu": ("decoder", {"norm_first": True, "activation": "gelu"}),
    "attention-causal": ("attention", {"causal": True}),
    "attention-lengths": ("attention", {"lengths": True}),
    "attention-cross": ("attention", {"cross": True, "lengths": True}),
    "attention-cross-sizes": ("attention", {"cross": True, "d_memory": 6}),
    "gpt-bias": ("gpt", {"bias": True}),
    "gpt-no-bias": ("gpt", {"bias": False}),
    "gpt-tanh": ("gpt", {"bias": True, "activation": "gelu_tanh"}),
}
# those in the file that is tested without PyTorch
GOLDEN = (
    "encoder-post-relu-lengths",
    "encoder-pre-gelu-causal",
    "decoder-post-relu-lengths",
    "attention-cross",
    "gpt-no-bias",
)


def run(kind, options, seed=0):
    """The case by PyTorch in float64; what goes in is exact in float32."""
    import torch

    torch.manual_seed(seed)
    module = BUILDERS[kind](torch, options).double()
    with torch.no_grad():
        for parameter in module.parameters():
            noise = 0.3 * torch.randn(parameter.shape)
            parameter.copy_((parameter + noise).float().double())
    rng = np.random.default_rng(seed)
    inputs = case_inputs(kind, options, rng)
    given = {
        name: torch.from_numpy(x).requires_grad_(x.dtype.kind == "f") for name, x in inputs.items()
    }
    outputs = RUNNERS[kind](torch, module, given, options)
    y = outputs["y"]
    dy = rng.normal(size=tuple(y.shape)).astype(np.float32).astype(float)
    y.backward(torch.from_numpy(dy).reshape(y.shape))
    grads = {name: p.grad for name, p in module.named_parameters()}
    grads |= {name: x.grad for name, x in given.items() if x.requires_grad}
    case = {f"state/{name}": value for name, value in module.state_dict().items()}
    case |= {f"input/{name}": x for name, x in given.items()}
    case |= {f"output/{name}": x for name, x in outputs.items()}
    case |= {f"grad/{name}": x for name, x in grads.items()}
    case = {name: x.detach().numpy().copy() for name, x in case.items()}
    return case | {"input/dy": dy}


def packed(case):
    """A case as one float32 vector and the names, shapes and kinds in it, as text."""
    entries = [[name, x.shape, x.dtype.kind] for name, x in case.items()]
    numbers = np.concatenate([x.ravel() for x in case.values()]).astype(np.float32)
    return numbers, np.array(json.dumps(entries))


def unpacked(numbers, entries):
    case, start = {}, 0
    for name, shape, kind in json.loads(str(entries)):
        stop = start + int(np.prod(shape))
        case[name] = numbers[start:stop].reshape(shape).astype(int if kind == "i" else float)
        start = stop
    assert start == numbers.size
    return case


def case_inputs(kind, options, rng):
    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32).astype(float)

    if kind == "gpt":
        return {name: rng.integers(0, VOCAB, (BATCH, T)) for name in ("ids", "targets")}
    if kind == "encoder" or (kind == "attention" and not options.get("cross")):
        return {"x": normal(BATCH, S, D)}
    return {"x": normal(BATCH, T, D), "memory": normal(BATCH, S, options.get("d_memory", D))}


def encoder(torch, options, layer="TransformerEncoderLayer", stack="TransformerEncoder"):
    bias, final_norm = options.get("bias", True), options.get("final_norm", True)
    one = getattr(torch.nn, layer)(
        D,
        HEADS,
        HIDDEN,
        0.0,
        options.get("activation", "relu"),
        batch_first=True,
        norm_first=options.get("norm_first", False),
        bias=bias,
    )
    more = {"enable_nested_tensor": False} if layer == "TransformerEncoderLayer" else {}
    norm = torch.nn.LayerNorm(D, bias=bias) if final_norm else None
    return getattr(torch.nn, stack)(one, 2 if more else 1, norm, **more)


def decoder(torch, options):
    return encoder(torch, options, "TransformerDecoderLayer", "TransformerDecoder")


def attention(torch, options):
    sizes = options.get("d_memory")
    return torch.nn.MultiheadAttention(D, HEADS, kdim=sizes, vdim=sizes, batch_first=True)


def gpt(torch, options):
    """nanoGPT's names and layers."""
    from torch import nn as layers

    bias = options["bias"]

    class Attention(layers.Module):
        def __init__(self):
            super().__init__()
            self.c_attn = layers.Linear(D, 3 * D, bias=bias)
            self.c_proj = layers.Linear(D, D, bias=bias)

        def forward(self, x):
            heads = (
                y.view(*x.shape[:2], HEADS, -1).transpose(1, 2)
                for y in self.c_attn(x).split(D, dim=2)
            )
            y = layers.functional.scaled_dot_product_attention(*heads, is_causal=True)
            return self.c_proj(y.transpose(1, 2).reshape(x.shape))

    class Block(layers.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.attn = layers.LayerNorm(D, bias=bias), Attention()
            self.ln_2, self.mlp = layers.LayerNorm(D, bias=bias), layers.Module()
            self.mlp.c_fc = layers.Linear(D, 4 * D, bias=bias)
            self.mlp.c_proj = layers.Linear(4 * D, D, bias=bias)

        def forward(self, x):
            form = "tanh" if options.get("activation") == "gelu_tanh" else "none"
            x = x + self.attn(self.ln_1(x))
            h = layers.functional.gelu(self.mlp.c_fc(self.ln_2(x)), approximate=form)
            return x + self.mlp.c_proj(h)

    model = layers.Module()
    model.transformer = layers.Module()
    model.transformer.wte = layers.Embedding(VOCAB, D)
    model.transformer.wpe = layers.Embedding(6, D)
    model.transformer.h = layers.ModuleList([Block() for _ in range(2)])
    model.transformer.ln_f = layers.LayerNorm(D, bias=bias)
    model.lm_head = layers.Linear(D, VOCAB, bias=False)
    model.lm_head.weight = model.transformer.wte.weight
    return model


def padding(torch, options):
    hidden = np.arange(S) >= LENGTHS[:, None]
    return torch.from_numpy(hidden) if options.get("lengths") else None


def later(torch, n):
    return torch.ones(n, n, dtype=torch.bool).triu(1)


def run_encoder(torch, module, given, options):
    mask = later(torch, S) if options.get("causal") else None
    how = {"mask": mask, "src_key_padding_mask": padding(torch, options)}
    return {"y": module(given["x"], **how)}


def run_decoder(torch, module, given, options):
    how = {"tgt_mask": later(torch, T), "memory_key_padding_mask": padding(torch, options)}
    return {"y": module(given["x"], given["memory"], **how)}


def run_attention(torch, module, given, options):
    x = given["x"]
    memory = given.get("memory", x)
    how = {"attn_mask": later(torch, S) if options.get("causal") else None}
    how["key_padding_mask"] = padding(torch, options)
    y, weights = module(x, memory, memory, average_attn_weights=False, **how)
    return {"y": y, "weights": weights}


def run_gpt(torch, module, given, options):
    """The loss as y, and the logits."""
    parts, ids = module.transformer, given["ids"]
    x = parts.wte(ids) + parts.wpe(torch.arange(ids.shape[1]))
    for block in parts.h:
        x = block(x)
    logits = module.lm_head(parts.ln_f(x))
    loss = torch.nn.functional.cross_entropy(logits.view(-1, VOCAB), given["targets"].view(-1))
    return {"y": loss, "logits": logits}


BUILDERS = {"encoder": encoder, "decoder": decoder, "attention": attention, "gpt": gpt}
RUNNERS = {
    "encoder": run_encoder,
    "decoder": run_decoder,
    "attention": run_attention,
    "gpt": run_gpt,
}


def part(case, prefix, dtype=None):
    """The arrays of a case under a prefix, those of real numbers in a dtype."""
    found = {k.partition("/")[2]: v for k, v in case.items() if k.startswith(f"{prefix}/")}
    if dtype is None:
        return found
    return {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in found.items()}


def gradients(model):
    """The gradients as the parameters of a model of the same architecture."""
    twin = nn.build(model.config())
    twin.load_state({name: p.grad for name, p in model.parameters().named()})
    return twin


def ours(kind, options, case, dtype):
    """fastnn's outputs and gradients for a case, by PyTorch's names."""
    state, given = part(case, "state", dtype), part(case, "input", dtype)
    lengths = LENGTHS if options.get("lengths") else None
    if kind == "gpt":
        activation = options.get("activation")
        model = models.from_gpt2(state, HEADS, activation=activation)
        logits = model(given["ids"])
        scale = float(given["dy"].reshape(()))
        loss, _ = model.loss_and_grad(given["ids"], given["targets"], scale=scale)
        grads = models.to_gpt2(gradients(model), layout="nanogpt")
        del grads["lm_head.weight"]  # one and the same as wte
        return {"y": np.array(loss), "logits": logits}, grads
    if kind == "attention":
        cross = options.get("cross", False)
        model = models.from_torch_attention(state, HEADS, cross=cross)
        how = {"lengths": lengths, "causal": options.get("causal", False)}
        inputs = [given[name] for name in ("x", "memory") if name in given]
        y, ctx = model.forward(*inputs, **how)
        outputs = {"y": y, "weights": model(*inputs, **how, need_weights=True)[1]}
    else:
        convert = {"encoder": models.from_torch_encoder, "decoder": models.from_torch_decoder}
        how = {k: options[k] for k in ("norm_first", "activation", "causal") if k in options}
        model = convert[kind](state, HEADS, **how)
        inputs = [given[name] for name in ("x", "memory") if name in given]
        key = "lengths" if kind == "encoder" else "memory_lengths"
        y, ctx = model.forward(*inputs, **{key: lengths})
        np.testing.assert_allclose(model(*inputs, **{key: lengths}), y, rtol=1e-5, atol=1e-5)
        outputs = {"y": y}
    back = model.backward(given["dy"], ctx)
    named = zip(("x", "memory"), back if isinstance(back, tuple) else (back,), strict=False)
    if options.get("d_memory"):
        return outputs, dict(named)  # to_torch has no names for other sizes
    return outputs, {**models.to_torch(gradients(model)), **dict(named)}


def compare(kind, options, case, dtype, tolerance):
    """fastnn against the case: relative errors in the norm of each array."""
    outputs, grads = ours(kind, options, case, dtype)
    expected_outputs, expected = part(case, "output"), part(case, "grad")
    assert outputs.keys() == expected_outputs.keys()
    prefix = "transformer." if kind == "gpt" else ""
    assert all(name.startswith(prefix) for name in grads)
    assert grads.keys() == expected.keys() or options.get("d_memory")
    scale = max(np.linalg.norm(g) for g in expected.values())
    for name, found in {**outputs, **grads}.items():
        wanted = expected_outputs.get(name, expected.get(name))
        assert found.dtype == dtype or name == "y", name
        assert found.shape == wanted.shape, name
        # the gradient of a key's bias is zero but for rounding: held against all of them
        error = np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-2 * scale)
        assert error < tolerance, f"{name}: relative error {error:.1e}"
