"""A user's program without a mistake: type checkers accept every line."""

import numpy as np

import fastnn
from fastnn import nn, optim

x = np.zeros((8, 64), np.float32)
y = np.zeros(8, np.int64)

model = nn.MLP((64, 32, 10), activation="relu", rng=0)
optimizer = optim.AdamW(model.parameters(), lr=optim.schedules.warmup_cosine(3e-3, 10, 100))
history = fastnn.fit(model, x, y, optimizer=optimizer, epochs=1, seed=0)
losses: list[float] = history.history["loss"]
loss, accuracy = fastnn.evaluate(model, x, y)

logits, ctx = model.forward(x)
_, dlogits = nn.cross_entropy(logits, y)
model.backward(dlogits, ctx, need_dx=False)
optimizer.step(max_norm=1.0)

h: np.ndarray = fastnn.matmul(x, x.T, activation="gelu")
p: np.ndarray = fastnn.softmax(fastnn.relu(h))
q = np.zeros((1, 2, 5, 8), np.float64)
o: np.ndarray = fastnn.attention(q, q, q, causal=True)

fastnn.save(model, "model.safetensors")
loaded: nn.Module = fastnn.load("model.safetensors")
plan = loaded.freeze(batch_max=4)
z: np.ndarray = plan(x)
text: str = fastnn.models.TransformerLM.__name__
rows, labels = fastnn.data.load_digits(split="train")
