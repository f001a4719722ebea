"""
Weight decay
============

*Dive into Deep Learning*, section 3.7. Twenty examples do not determine 200 weights: linear
regression fits them perfectly and fails on new ones. A penalty on the norm of the weights trades
some of that fit for smaller weights.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import nn, optim

rng = np.random.default_rng(0)
n_train, n_inputs = 20, 200
x = rng.normal(size=(n_train + 100, n_inputs)).astype(np.float32)
y = 0.05 + 0.01 * x.sum(1, keepdims=True) + 0.01 * rng.normal(size=(len(x), 1)).astype(np.float32)

# %%
# The weight decay of an optimizer adds lambda w to the gradient; the loss is half the square.
decays, losses, norms = [0.0, 0.1, 0.3, 1.0, 3.0, 10.0], [], []
for decay in decays:
    model = nn.Linear(n_inputs, 1, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.005, weight_decay=decay)
    for _ in range(1500):
        prediction, ctx = model.forward(x[:n_train])
        optimizer.zero_grad()
        model.backward((prediction - y[:n_train]) / n_train, ctx, need_dx=False)
        optimizer.step()
    squares = (model(x) - y) ** 2 / 2
    losses.append((squares[:n_train].mean(), squares[n_train:].mean()))
    norms.append(fastnn.frobenius_norm(model.weight.data))

figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
names = [f"{decay:g}" for decay in decays]
places = range(len(decays))
left.semilogy(places, [loss for loss, _ in losses], "o-", label="training")
left.semilogy(places, [loss for _, loss in losses], "s--", label="test")
left.set(xlabel="weight decay", ylabel="loss")
left.legend(frameon=False, loc="center right")
right.semilogy(places, norms, "o-")
right.set(xlabel="weight decay", ylabel="norm of the weights")
for axes in (left, right):
    axes.set_xticks(places, names)
    axes.grid(alpha=0.3)
plt.show()
