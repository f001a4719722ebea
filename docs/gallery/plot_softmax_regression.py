"""
What softmax regression learns
==============================

*Dive into Deep Learning*, chapter 4. Softmax regression is one linear layer. Its weights for a
class are an image: ink where they are dark speaks for the class, ink where they are light against.
"""

import matplotlib.pyplot as plt

import fastnn
from fastnn import nn, optim, plot

x, y = fastnn.data.load_digits(split="train")
x_test, y_test = fastnn.data.load_digits(split="test")

model = nn.Linear(64, 10, rng=0)
optimizer = optim.SGD(model.parameters(), lr=0.5, weight_decay=1e-3)
fastnn.fit(model, x, y, optimizer=optimizer, epochs=30, batch_size=64, seed=0, verbose=0)
accuracy = (model(x_test).argmax(1) == y_test).mean()
print(f"test accuracy {accuracy:.3f}")

# %%
# The ten columns of the weight matrix as images.
images = model.weight.data.T.reshape(10, 8, 8)
figure = plt.figure(figsize=(7, 3.2), layout="constrained")
titles = [f"digit {digit}" for digit in range(10)]
plot.show_images(images, 2, 5, titles=titles, figure=figure)
plt.show()
