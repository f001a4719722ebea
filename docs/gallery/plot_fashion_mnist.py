"""
Softmax regression and a multilayer perceptron
==============================================

*Dive into Deep Learning*, sections 4.4, 4.5 and 5.2. A hidden layer lifts the accuracy of softmax
regression. The data is Fashion-MNIST if its files are on this machine (see
`fastnn.data.load_fashion_mnist`, which can also download them), else the built-in digits.
"""

import matplotlib.pyplot as plt

import fastnn
from fastnn import nn, optim

try:
    x, y = fastnn.data.load_fashion_mnist(split="train", download=False)
    x_test, y_test = fastnn.data.load_fashion_mnist(split="test", download=False)
    x, y, name = x[:10_000], y[:10_000], "Fashion-MNIST, 10,000 images"
except (FileNotFoundError, fastnn.data.DownloadError):
    x, y = fastnn.data.load_digits(split="train")
    x_test, y_test = fastnn.data.load_digits(split="test")
    name = "digits"
x, x_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)

# %%
# Both are trained for ten epochs, with the same learning rate and the same batches.
models = {
    "softmax regression": nn.Linear(x.shape[1], 10, rng=0),
    "MLP, 256 hidden units": nn.MLP((x.shape[1], 256, 10), rng=0),
}
histories = {}
for label, model in models.items():
    histories[label] = fastnn.fit(
        model,
        x,
        y,
        optimizer=optim.SGD(model.parameters(), lr=0.1),
        epochs=10,
        batch_size=64,
        validation_data=(x_test, y_test),
        seed=0,
        verbose=0,
    )

figure, panels = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
for (label, history), marker in zip(histories.items(), "os", strict=True):
    epochs = [epoch + 1 for epoch in history.epoch]
    for axes, key in zip(panels, ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history.history[key], f"{marker}-", label=f"{label}, training")
        axes.plot(
            epochs,
            history.history[f"val_{key}"],
            f"{marker}--",
            fillstyle="none",
            label=f"{label}, test",
        )
        axes.set(xlabel="epoch", ylabel=key)
        axes.grid(alpha=0.3)
panels[0].legend(frameon=False)
figure.suptitle(name)
plt.show()
