"""
Learning rate schedules
=======================

*Dive into Deep Learning*, section 12.11. A schedule maps the number of a step to a learning rate;
an optimizer takes one instead of a number.
"""

import matplotlib.pyplot as plt

from fastnn import plot
from fastnn.optim import schedules

named = {
    "constant": schedules.constant(0.3),
    "linear, warm-up 20": schedules.linear(0.3, total=100, warmup=20),
    "step decay": schedules.step_decay(0.3, every=25, factor=0.5),
    "warm-up and cosine": schedules.warmup_cosine(0.3, 20, 100),
    "inverse root": schedules.inverse_sqrt(0.3, warmup=10),
    "one cycle": schedules.one_cycle(0.3, total=100),
}
figure = plt.figure(figsize=(7, 4), layout="constrained")
plot.schedules(named, 100, figure=figure)
plt.show()
