"""Drive pendulums by a policy network inside one loop compiled by numba."""

import importlib.util
import sys

if importlib.util.find_spec("numba") is None:
    sys.exit(77)

import numba
import numpy as np

import fastnn

STEPS, PENDULUMS, DT = 200, 16, 0.02
plan_run = fastnn.capi.ctypes("plan_run_f64")


@numba.njit
def simulate(plan, states, steps):
    """Take semi-implicit Euler steps with torque = policy(sin, cos, velocity).

    Each step runs the policy for all pendulums at once. Returns the worst status.
    """
    n, worst = len(states), 0
    x, torque = np.empty((n, 3)), np.empty((n, 1))
    for _ in range(steps):
        for i in range(n):
            x[i, 0], x[i, 1], x[i, 2] = np.sin(states[i, 0]), np.cos(states[i, 0]), states[i, 1]
        worst = max(worst, plan_run(plan, x.ctypes, torque.ctypes, n))
        for i in range(n):
            states[i, 1] += DT * (15 * np.sin(states[i, 0]) + 3 * torque[i, 0])
            states[i, 0] += DT * states[i, 1]
    return worst


model = fastnn.nn.MLP((3, 32, 32, 1), "tanh", dtype=np.float64, rng=0)
plan = model.freeze(PENDULUMS)  # must stay alive while its address is used
states = np.random.default_rng(0).uniform(-0.1, 0.1, (PENDULUMS, 2))
want = states.copy()
assert simulate(plan.address, states, STEPS) == 0
for _ in range(STEPS):
    x = np.stack([np.sin(want[:, 0]), np.cos(want[:, 0]), want[:, 1]], axis=1)
    want[:, 1] += DT * (15 * np.sin(want[:, 0]) + 3 * model(x)[:, 0])
    want[:, 0] += DT * want[:, 1]
np.testing.assert_allclose(states, want, rtol=1e-6, atol=1e-8)
print(f"numba: {PENDULUMS} pendulums, {STEPS} steps each")
