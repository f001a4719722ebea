"""
Which digits are confused
=========================

*Dive into Deep Learning*, section 4.7. The confusion matrix counts, for each class, what its test
examples were taken for.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import nn, plot

x, y = fastnn.data.load_digits(split="train")
x_test, y_test = fastnn.data.load_digits(split="test")
model = nn.MLP((64, 32, 10), rng=0)
fastnn.fit(model, x, y, optimizer="adam", epochs=30, batch_size=64, seed=0, verbose=0)

counts = np.zeros((10, 10), int)
np.add.at(counts, (y_test, model(x_test).argmax(1)), 1)
print(f"{np.trace(counts)} of {counts.sum()} are right")

figure = plt.figure(figsize=(5.6, 4.8), layout="constrained")
plot.confusion_matrix(counts, figure=figure)
plt.show()
