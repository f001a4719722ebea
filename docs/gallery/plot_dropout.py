"""
Dropout against overfitting
===========================

*Dive into Deep Learning*, section 5.6. A third of the training labels is wrong. A wide network
learns even those by heart, and its test accuracy falls; with half of the hidden units dropped at
random in each step it cannot rely on any of them, and learns what the images have in common.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import nn, optim

rng = np.random.default_rng(0)
x, y = fastnn.data.load_digits(split="train")
test = fastnn.data.load_digits(split="test")
x, y = x[:600], np.where(rng.random(600) < 1 / 3, rng.integers(0, 10, 600), y[:600])

# %%
# Dropout is active in `forward`, which training calls, and not in `model(x)`.
histories = {}
for p in (0.0, 0.5):
    model = nn.Sequential(
        nn.Linear(64, 256, activation="relu", rng=0),
        nn.Dropout(p, rng=1),
        nn.Linear(256, 256, activation="relu", rng=2),
        nn.Dropout(p, rng=3),
        nn.Linear(256, 10, rng=4),
    )
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    options = {"epochs": 40, "batch_size": 50, "validation_data": test, "seed": 0, "verbose": 0}
    histories[p] = fastnn.fit(model, x, y, optimizer=optimizer, **options)

figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for (p, history), marker in zip(histories.items(), "os", strict=True):
    epochs = [epoch + 1 for epoch in history.epoch]
    name = f"dropout {p}" if p else "no dropout"
    how = {"marker": marker, "markevery": 5}
    for axes, key in zip(panels, ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history.history[key], "-", label=f"{name}, training", **how)
        test_values = history.history[f"val_{key}"]
        axes.plot(epochs, test_values, "--", fillstyle="none", label=f"{name}, test", **how)
        axes.set(xlabel="epoch", ylabel=key)
        axes.grid(alpha=0.3)
panels[1].legend(frameon=False)
plt.show()
