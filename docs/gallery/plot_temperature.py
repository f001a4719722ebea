"""
Softmax and its temperature
===========================

*Dive into Deep Learning*, section 4.1. Softmax turns scores into probabilities. Dividing the scores
by a temperature before it sharpens the distribution (below 1) or flattens it (above 1): what the
`temperature` of `fastnn.models.generate` does.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn

scores = np.array([[2.0, 1.5, 0.5, 0.0, -1.0]])
temperatures = {0.25: "///", 1.0: "", 4.0: "..."}

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for i, (temperature, hatch) in enumerate(temperatures.items()):
    probabilities = fastnn.softmax(scores / temperature)[0]
    places = np.arange(5) + 0.28 * (i - 1)
    color = str(0.85 - 0.3 * i)
    label = f"temperature {temperature:g}"
    axes.bar(places, probabilities, 0.26, color=color, ec="k", hatch=hatch, label=label)
axes.set_xticks(range(5), [f"{score:g}" for score in scores[0]])
axes.set(xlabel="score", ylabel="probability")
axes.legend(frameon=False)
plt.show()
