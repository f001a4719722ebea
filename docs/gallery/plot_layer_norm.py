"""
Layer norm and RMS norm
=======================

*Dive into Deep Learning*, section 11.7.2. Layer norm gives every row mean 0 and variance 1; RMS
norm only scales it to a root mean square of 1 and keeps the sign of its mean. Neither depends on
other rows, so the batch size does not matter.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn

rng = np.random.default_rng(0)
shift, spread = np.array([[-4.0], [0], [2], [6]]), np.array([[0.5], [3], [1], [2]])
x = shift + spread * rng.normal(size=(4, 64))
rows = {"input": x, "layer norm": fastnn.layer_norm(x), "RMS norm": fastnn.rms_norm(x)}

figure, panels = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True, layout="constrained")
for (name, values), axes in zip(rows.items(), panels, strict=True):
    axes.boxplot(
        list(values),
        orientation="horizontal",
        manage_ticks=False,
        medianprops={"color": "k", "lw": 2},
    )
    axes.set_yticks(range(1, 5))
    axes.axvline(0, color="k", lw=0.6, ls=":")
    axes.set(title=name, xlabel="value")
panels[0].set_ylabel("row")
plt.show()
