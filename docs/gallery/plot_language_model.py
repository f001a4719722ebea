"""
A language model of Shakespeare's characters
============================================

*Dive into Deep Learning*, sections 9.3 and 11.7. A small Transformer learns to predict the next
character of *Romeo and Juliet*. A few seconds of training teach it the letters, then spaces and
short words, and that lines begin with a capital.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import data, models, optim, text

play = data.load_text()
vocab = text.CharVocab.from_text(play)
ids = np.array(vocab.encode(play))
model = models.TransformerLM(len(vocab), d_model=64, n_heads=4, n_layers=2, max_len=32, rng=0)


def sample():
    (tokens,) = models.generate(model, [vocab.encode("ROMEO:\n")], 80, temperature=0.8, seed=1)
    return vocab.decode(tokens)


# %%
# 200 steps of 12 random pieces of 32 characters.
steps, losses, samples = 200, [], {0: sample()}
optimizer = optim.AdamW(model.parameters(), lr=optim.schedules.warmup_cosine(4e-3, 20, steps))
for step, (x, y) in enumerate(data.crops(ids, 32, 12, steps=steps, seed=0), 1):
    optimizer.zero_grad()
    loss, _ = model.loss_and_grad(x, y)
    optimizer.step(max_norm=1.0)
    losses.append(loss)
    if step in (50, steps):
        samples[step] = sample()
for step, written in samples.items():
    print(f"--- after {step} steps:\n{written}")

# %%
# Guessing among all characters costs log(61); knowing only their frequencies costs their entropy.
share = np.bincount(ids) / len(ids)
share = share[share > 0]
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(range(1, steps + 1), losses, lw=0.5, color="grey", label="batch")
axes.plot(range(10, steps + 1), np.convolve(losses, np.ones(10) / 10, "valid"), label="mean of 10")
axes.axhline(np.log(len(vocab)), ls="--", color="k", lw=0.8, label="guessing")
entropy = -(share * np.log(share)).sum()
axes.axhline(entropy, ls=":", color="k", lw=0.8, label="frequencies of characters")
axes.set(xlabel="step", ylabel="cross entropy per character")
axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.75))
plt.show()
