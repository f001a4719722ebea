"""
One hidden layer approximates any function, given width
=======================================================

*Dive into Deep Learning*, section 5.1.1.3. A multilayer perceptron with one hidden layer of ReLUs
is a piecewise linear function with one kink per unit. The more units, the smaller its error.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn, optim

x = np.linspace(-1, 1, 256, dtype=np.float32)[:, None]
y = np.sin(3 * np.pi * x) * np.exp(-x)

# %%
# Each network is trained on all points, with a learning rate that falls to zero. The slopes start
# steep, with kinks evenly spread over the interval, and the output starts near zero.
steps, fits = 2500, {}
for width in (2, 4, 8, 16, 32, 64):
    model = nn.MLP((1, width, 1), rng=0)
    first, second = model[0], model[len(model) - 1]
    first.weight.data[:] = 8 * np.where(np.arange(width) % 2, 1, -1)
    first.bias.data[:] = -first.weight.data[0] * np.linspace(-1, 1, width)
    second.weight.data[:] /= 10
    schedule = optim.schedules.warmup_cosine(0.03, 50, steps)
    optimizer = optim.Adam(model.parameters(), lr=schedule)
    for _ in range(steps):
        prediction, ctx = model.forward(x)
        _, gradient = nn.mse_loss(prediction, y)
        optimizer.zero_grad()
        model.backward(gradient, ctx, need_dx=False)
        optimizer.step()
    fits[width] = model(x)

errors = [np.sqrt(np.mean((fit - y) ** 2)) for fit in fits.values()]
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
left.plot(x, y, "k-", lw=3, alpha=0.25, label="function")
for width, style in ((4, ":"), (8, "--"), (32, "-")):
    left.plot(x, fits[width], style, label=f"{width} units")
left.set(xlabel="x", ylabel="y")
left.legend(frameon=False)
right.loglog(list(fits), errors, "o-", base=2)
right.set(xlabel="hidden units", ylabel="root mean square error")
right.grid(alpha=0.3)
plt.show()
