"""A layer, a callback and a loop of one's own, and an estimator in a pipeline."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn import nn, optim, train
from fastnn.sklearn import MLPClassifier

Array = NDArray[np.float32]


class Scale(nn.Module):
    """y = a x, a layer with its own backward."""

    def __init__(self, a: float = 1.0) -> None:
        self.a = nn.Parameter(np.array([a], np.float32))
        super().__init__({"a": self.a})

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        return self.a.data * x, x

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        self.a.grad += (dy * ctx).sum()
        return self.a.data * dy if need_dx else None


class Report:
    """A callback."""

    def on_train_begin(self, run: train.Run) -> None:
        self.run = run

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.run.stop_training = logs["loss"] < 0.1


def error(output: NDArray[Any], y: NDArray[Any]) -> float:
    return float(np.mean(output.argmax(axis=1) != y))


x, y = fastnn.data.load_digits(split="train")
model = nn.Sequential(Scale(2.0), nn.Linear(64, 10, rng=0))
history = fastnn.fit(model, x, y, optimizer="adam", callbacks=Report(), metrics=error, epochs=2)
scores: dict[str, float] = fastnn.evaluate(model, x, y, metrics={"error": error})
loss, accuracy = fastnn.evaluate(model, x, y)
norm: float = fastnn.l1_norm([x, x]) + fastnn.frobenius_norm(x)
report = fastnn.gradcheck(Scale(), np.ones((2, 3)))

optimizer = optim.AdamW(model.parameters(), lr=1e-3)
for rows in range(0, len(x), 32):
    optimizer.zero_grad()
    logits, ctx = model.forward(x[rows : rows + 32])
    value, dlogits = nn.cross_entropy(logits, y[rows : rows + 32])
    model.backward(dlogits, ctx, need_dx=False)
    optimizer.step(max_norm=1.0)

pipeline = make_pipeline(StandardScaler(), MLPClassifier(hidden_layer_sizes=(32,), max_iter=5))
pipeline.fit(x, y)
