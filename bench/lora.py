"""Time and memory of a LoRA training step beside PyTorch's, from the same weights and batches.

python bench/lora.py [--threads N] [--steps N]. The model is an encoder of MiniLM's size (6 layers,
384 columns), its vectors, mean pooling and a linear layer; every linear layer has a branch of rank
8, and AdamW trains branches and the linear layer. Each library runs in a process of its own:
the median time of a step, the memory above that after the import and the weights, and how far the
curves of the loss are apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

import numpy as np

D, HEADS, FF, LAYERS, CLASSES, RANK, ALPHA, LR = 384, 12, 1536, 6, 4, 8, 16.0, 1e-3
BATCH, LENGTH = 16, 128

Array = np.ndarray[Any, Any]


def batches(steps: int) -> list[tuple[Array, Array]]:
    """Rows of vectors around the center of their class."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLASSES, LENGTH, D), np.float32)
    found = []
    for _ in range(steps):
        y = rng.integers(0, CLASSES, BATCH)
        found.append((centers[y] + 2 * rng.standard_normal((BATCH, LENGTH, D), np.float32), y))
    return found


def memory() -> int:
    """Peak of the resident memory so far, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def parts() -> tuple[Any, Any]:
    from fastnn import nn

    how: dict[str, Any] = {"activation": "gelu", "rng": 0}
    lora = nn.LoRA(nn.TransformerEncoder(LAYERS, D, HEADS, FF, **how), RANK, ALPHA, rng=1)
    return lora, nn.Linear(D, CLASSES, rng=2)


def with_fastnn(data: list[tuple[Array, Array]], threads: int) -> dict[str, Any]:
    import fastnn
    from fastnn import nn, optim

    class Mean(nn.Module):
        def forward(self, x: Array) -> tuple[Array, Any]:
            return x.mean(axis=1), x.shape

        def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> Array:
            return np.broadcast_to(dy[:, None] / np.float32(ctx[1]), ctx)

    fastnn.set_num_threads(threads)
    lora, head = parts()
    model = nn.Sequential(lora, Mean({}), head)
    optimizer = optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0)

    def step(x: Array, y: Array) -> float:
        optimizer.zero_grad()
        logits, ctx = model.forward(x)
        loss, dlogits = nn.cross_entropy(logits, y)
        model.backward(dlogits, ctx, need_dx=False)
        optimizer.step()
        return float(loss)

    return measured(step, data)


def with_torch(data: list[tuple[Array, Array]], threads: int) -> dict[str, Any]:
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    lora, head = parts()
    base = {name: torch.tensor(values) for name, values in lora.model.state().items()}
    branches = {
        name: [torch.tensor(p.data.copy(), requires_grad=True) for p in (branch.a, branch.b)]
        for name, branch in lora.branches.items()
    }
    top = [torch.tensor(p.data.copy(), requires_grad=True) for p in (head.weight, head.bias)]
    del lora, head

    def linear(name: str, x: Any) -> Any:
        a, b = branches[name]
        y = functional.linear(x, base[f"{name}.weight"].T, base[f"{name}.bias"])
        return y + ALPHA / RANK * (x @ a @ b)

    def norm(name: str, x: Any) -> Any:
        return functional.layer_norm(x, (D,), base[f"{name}.weight"], base[f"{name}.bias"])

    def output(x: Any) -> Any:
        for i in range(LAYERS):
            q, k, v = (
                part.reshape(*x.shape[:2], HEADS, D // HEADS).transpose(1, 2)
                for part in linear(f"{i}.attention.qkv", x).chunk(3, dim=-1)
            )
            y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
            x = norm(f"{i}.norm1", x + linear(f"{i}.attention.out", y))
            h = functional.gelu(linear(f"{i}.feed_forward.up", x))
            x = norm(f"{i}.norm2", x + linear(f"{i}.feed_forward.down", h))
        return functional.linear(x.mean(dim=1), top[0].T, top[1])

    trained = [*(p for pair in branches.values() for p in pair), *top]
    optimizer = torch.optim.AdamW(trained, lr=LR, weight_decay=0.0, fused=True)

    def step(x: Array, y: Array) -> float:
        optimizer.zero_grad()
        loss = functional.cross_entropy(output(torch.from_numpy(x)), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return measured(step, data)


def measured(step: Any, data: list[tuple[Array, Array]]) -> dict[str, Any]:
    before, seconds, losses = memory(), [], []
    for x, y in data:
        start = time.perf_counter()
        losses.append(step(x, y))
        seconds.append(time.perf_counter() - start)
    return {"seconds": median(seconds[2:]), "memory": memory() - before, "losses": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--library", choices=("fastnn", "torch"), help="run this one, print JSON")
    args = parser.parse_args()
    if args.library:
        run = {"fastnn": with_fastnn, "torch": with_torch}[args.library]
        print(json.dumps(run(batches(args.steps), args.threads)))
        return
    found = {}
    for name in ("fastnn", "torch"):
        command = [sys.executable, __file__, "--library", name]
        command += ["--threads", str(args.threads), "--steps", str(args.steps)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        found[name] = json.loads(done.stdout)
        print(f"{name:7} {found[name]['seconds'] * 1e3:8.1f} ms a step, {found[name]['memory']} MB")
    ours, theirs = found["fastnn"], found["torch"]
    apart = max(abs(a - b) for a, b in zip(ours["losses"], theirs["losses"], strict=True))
    print(
        f"speed {theirs['seconds'] / ours['seconds']:.2f} of PyTorch's, memory "
        f"{ours['memory'] / theirs['memory']:.2f}, losses at most {apart:.1e} apart"
    )


if __name__ == "__main__":
    main()
