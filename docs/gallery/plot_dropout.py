"""
Dropout against overfitting
===========================

*Dive into Deep Learning*, section 5.6. A wide network learns 100 images by heart: its training loss
goes to zero while the test loss rises. Dropping half of the hidden units at random in each step
keeps it from relying on any of them.
"""

import matplotlib.pyplot as plt

import fastnn
from fastnn import nn, optim

x, y = fastnn.data.load_digits(split="train")
test = fastnn.data.load_digits(split="test")
x, y = x[:100], y[:100]

# %%
# Dropout is active in `forward`, which training calls, and not in `model(x)`.
histories = {}
for p in (0.0, 0.5):
    model = nn.Sequential(
        nn.Dropout(p / 2, rng=1),
        nn.Linear(64, 256, activation="relu", rng=0),
        nn.Dropout(p, rng=2),
        nn.Linear(256, 256, activation="relu", rng=3),
        nn.Dropout(p, rng=4),
        nn.Linear(256, 10, rng=5),
    )
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    options = {"epochs": 100, "batch_size": 25, "validation_data": test, "seed": 0, "verbose": 0}
    histories[p] = fastnn.fit(model, x, y, optimizer=optimizer, **options)

figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
for (p, history), marker in zip(histories.items(), "os", strict=True):
    epochs = [epoch + 1 for epoch in history.epoch]
    name = f"dropout {p}" if p else "no dropout"
    how = {"marker": marker, "markevery": 10}
    axes.semilogy(epochs, history.history["loss"], "-", label=f"{name}, training", **how)
    axes.semilogy(
        epochs, history.history["val_loss"], "--", fillstyle="none", label=f"{name}, test", **how
    )
axes.set(xlabel="epoch", ylabel="loss")
axes.grid(alpha=0.3)
axes.legend(frameon=False)
plt.show()
