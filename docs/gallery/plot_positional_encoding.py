"""
Positional encoding
===================

*Dive into Deep Learning*, section 11.6.3. Attention does not know the order of its inputs, so each
position adds a vector of sines and cosines. Their frequencies fall from column to column, like the
bits of a counter.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn, plot

encoding = nn.PositionalEncoding(32, max_len=60)
table = encoding(np.zeros((1, 60, 32), np.float32))[0]

figure = plt.figure(figsize=(9.5, 4), layout="constrained")
plot.positions(table, columns=(6, 7, 8, 9), figure=figure)
plt.show()
