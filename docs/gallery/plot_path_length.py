"""
Self-attention against a recurrent loop
=======================================

*Dive into Deep Learning*, section 11.6.2. A recurrent network passes a signal through every
position in between, and its gradient fades on the way; self-attention connects any two positions in
one step, at a cost that grows with the square of the length.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import kernels

d, n = 64, 128
rng = np.random.default_rng(0)
x = rng.normal(size=(n, d))

# %%
# The recurrent loop h = tanh(x + h W), forward and then backward by hand from the last position:
# its gradient reaches the first position after n - 1 steps.
w = rng.normal(0, 0.9 / np.sqrt(d), size=(d, d))
states = [np.zeros((1, d))]
for row in x:
    states.append(fastnn.tanh(row + fastnn.matmul(states[-1], w)))
gradient, through_loop = rng.normal(size=(1, d)), []
for state in reversed(states[1:]):
    dz = gradient * (1 - state**2)
    through_loop.append(fastnn.frobenius_norm(dz))
    gradient = fastnn.matmul(dz, w.T.copy())

# %%
# Self-attention with q = k = v = x, and the gradient of the last output with respect to the values.
q = x[None, None] / 4
out, lse = fastnn.attention(q, q, x[None, None], return_lse=True)
dout = np.zeros_like(out)
dout[0, 0, -1] = rng.normal(size=d)
*_, dv = kernels.attention_backward(dout, q, q, x[None, None], out, lse)
through_attention = np.linalg.norm(dv[0, 0], axis=1)[::-1]

# %%
# Multiplications per layer: n d^2 for the loop, n^2 d for attention; steps that wait for one
# another: n and 1.
lengths = 2 ** np.arange(3, 14)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.loglog(lengths, lengths * d**2, "s--", label="recurrent: work $n d^2$")
left.loglog(lengths, lengths**2 * d, "o-", label="self-attention: work $n^2 d$")
left.loglog(lengths, lengths, "s:", label="recurrent: path $n$")
left.loglog(lengths, np.ones_like(lengths), "o-.", label="self-attention: path 1")
left.set(xlabel="length n (d = 64)", ylabel="operations")
right.semilogy(through_loop, "--", label="recurrent loop")
right.semilogy(through_attention, "-", lw=0.9, label="self-attention")
right.set(xlabel="distance to the last position", ylabel="norm of the gradient")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
plt.show()
