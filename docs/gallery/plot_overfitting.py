"""
Underfitting and overfitting
============================

*Dive into Deep Learning*, section 3.6. Polynomials of a low degree cannot follow the data, those of
a high degree follow its noise. The test error is lowest in between.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn

rng = np.random.default_rng(3)
x_train, x_test = np.linspace(-1, 1, 24), np.linspace(-1, 1, 200)


def function(x):
    return np.sin(4 * x)


noise = 0.25
y_train = function(x_train) + noise * rng.normal(size=x_train.shape)


def features(x, degree):
    return np.polynomial.legendre.legvander(x, degree)


# %%
# A prediction is a product of features and weights; least squares finds the weights.
degrees, errors, curves = range(1, 20), [], {}
for degree in degrees:
    weights, *_ = np.linalg.lstsq(features(x_train, degree), y_train, rcond=None)
    fit = fastnn.matmul(features(x_train, degree), weights)
    curves[degree] = fastnn.matmul(features(x_test, degree), weights)
    squares = (fit - y_train) ** 2, (curves[degree] - function(x_test)) ** 2
    errors.append([np.sqrt(part.mean()) for part in squares])

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(x_train, y_train, "o", color="grey", label="training data")
for degree, style in ((1, ":"), (5, "-"), (19, "--")):
    left.plot(x_test, curves[degree], style, label=f"degree {degree}")
left.set(xlabel="x", ylabel="y", ylim=(-3, 2))
left.set_xticks([-1, -0.5, 0, 0.5, 1])
left.legend(frameon=False, fontsize=8, loc="lower center", ncols=2)
right.semilogy(degrees, [e for e, _ in errors], "o-", label="training")
right.semilogy(degrees, [e for _, e in errors], "s--", label="test")
right.set(xlabel="degree", ylabel="root mean square error")
right.set_xticks(range(1, 20, 3))
right.grid(alpha=0.3)
right.legend(frameon=False)
plt.show()
