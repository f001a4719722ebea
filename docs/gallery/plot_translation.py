"""
What a Transformer attends to when it translates
================================================

*Dive into Deep Learning*, section 11.7. A small encoder-decoder learns to translate sentences such
as "the red car sleeps", where French puts the adjective after the noun. The cross-attention shows
which source word each target word comes from.
"""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np

from fastnn import data, models, optim, plot, text

nouns = {"car": "voiture", "house": "maison", "flower": "fleur", "cow": "vache", "cat": "chatte"}
adjectives = {"red": "rouge", "white": "blanche", "small": "minuscule", "calm": "calme"}
verbs = {"sleeps": "dort", "sings": "chante", "falls": "tombe", "waits": "attend"}
pairs = [
    (f"the {a} {n} {v}", f"la {nouns[n]} {adjectives[a]} {verbs[v]}")
    for n, a, v in product(nouns, adjectives, verbs)
]
vocab = text.WordVocab.from_sentences(sentence for pair in pairs for sentence in pair)

# %%
# A quarter of the sentences is kept for the test: their words are known, the sentences are not.
order = np.random.default_rng(0).permutation(len(pairs))
train, test = [pairs[i] for i in order[20:]], [pairs[i] for i in order[:20]]
batches = data.token_batches(
    vocab.encode_batch(source for source, _ in train),
    vocab.encode_batch(target for _, target in train),
    256,
    bos_id=vocab.bos_id,
    eos_id=vocab.eos_id,
    pad_id=vocab.pad_id,
    seed=0,
)
model = models.Seq2SeqTransformer(len(vocab), None, 32, 2, 2, max_len=12, dropout=0.1, rng=0)
optimizer = optim.Adam(model.parameters(), lr=2e-3)
for _ in range(40):
    for x, y in batches:
        optimizer.zero_grad()
        model.loss_and_grad(x, y)
        optimizer.step()
found = models.translate(model, vocab, [source for source, _ in test], beams=1)
right = sum(hypothesis == target for hypothesis, (_, target) in zip(found, test, strict=True))
print(f"{right} of {len(test)} new sentences are translated without an error")

# %%
# Attention weights of the last block, mean over its heads. Rows are
# queries; those of the cross-attention are labeled by the word that is written next.
source, target = test[0][0], found[0]
src = np.array([[*vocab.encode(source), vocab.eos_id]])
tgt = np.array([[vocab.bos_id, *vocab.encode(target)]])
weights = model.attention_weights(src, tgt)
words_in, words_out = [*source.split(), "<eos>"], ["<bos>", *target.split()]
written = [*target.split(), "<eos>"]
figure = plt.figure(figsize=(11, 3.8), layout="constrained")
parts = [
    ("encoder", weights.encoder, words_in, words_in),
    ("decoder", weights.decoder, words_out, words_out),
    ("cross-attention", weights.cross, words_in, written),
]
for part, (title, layers, keys, queries) in zip(figure.subfigures(1, 3), parts, strict=True):
    mean = layers[-1][0].mean(0)
    plot.show_heatmaps(mean, "key", "query", [title], cmap="Greys", figure=part)
    part.axes[0].set_xticks(range(len(keys)), keys, rotation=60)
    part.axes[0].set_yticks(range(len(queries)), queries)
plt.show()
