"""
Masked softmax
==============

*Dive into Deep Learning*, section 11.3.2. Sentences in a batch differ in length. Softmax over the
first `lengths` elements of a row gives the padding a weight of exactly zero.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import plot

rng = np.random.default_rng(0)
scores = rng.normal(size=(3, 6, 8)).astype(np.float32)

# %%
# One length per sentence, or one for every row: a causal mask is the second kind.
per_sentence = fastnn.softmax(scores, lengths=np.array([8, 5, 2]))
per_row = fastnn.softmax(scores, lengths=np.tile(np.arange(1, 7), (3, 1)))
print(per_sentence[2, 0])

figure = plt.figure(figsize=(10, 2.8), layout="constrained")
plot.show_heatmaps(
    [*per_sentence, per_row[0]],
    xlabel="key",
    ylabel="query",
    titles=["8 keys", "5 keys", "2 keys", "causal"],
    cmap="Greys",
    figure=figure,
)
plt.show()
