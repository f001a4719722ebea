"""A user's program in which type checkers reject every line that is marked so."""

import numpy as np

import fastnn
from fastnn import nn, optim

x = np.zeros((8, 64), np.float32)
model = nn.MLP((64, 10), rng=0)

fastnn.softmax("x")  # wrong
fastnn.matmul(x, "w")  # wrong
fastnn.attention(x, x, x, causal="no")  # wrong
fastnn.relu(x, y=x)  # wrong
fastnn.set_num_threads("2")  # wrong
fastnn.no_such_function(x)  # wrong
nn.Linear("64", 10)  # wrong
nn.MLP((64, 10), activation=nn.ReLU())  # wrong
optim.Adam(model)  # wrong
optim.SGD(model.parameters(), learning_rate=0.1)  # wrong
fastnn.fit(model, x, x, optimizer=3)  # wrong
fastnn.fit(model, x, x, optimizer=optim.Adam(model.parameters()), epochs="3")  # wrong
fastnn.save(x, "model.safetensors")  # wrong
model.forwrd(x)  # wrong
fastnn.fit("not a model", 3, 4, optimiser="adam", epoch=2)  # wrong
fastnn.save(1, 2, 3)  # wrong
nn.Linear(3, 2, activtion="relu")  # wrong
nn.Linear(3, 2).forwrad(1)  # wrong
nn.MLP((3, 2), activation="rleu")  # wrong
fastnn.fit(model, x, x, optimizer="adm")  # wrong
fastnn.fit(model, x, x, optimizer="adam", loss="msee")  # wrong
fastnn.l1_norm("x")  # wrong
fastnn.evaluate(model, x, x, metric="mae")  # wrong
