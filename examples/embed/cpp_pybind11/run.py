"""Recommend items in a C++ extension made with pybind11."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from building import extension, needs  # noqa: E402

import fastnn  # noqa: E402

needs("pybind11")
import pybind11  # noqa: E402

rng = np.random.default_rng(0)
features = rng.standard_normal((100, 12)).astype(np.float32)
items = rng.standard_normal((700, 24)).astype(np.float32)
tower = fastnn.nn.MLP((12, 32, 24), "gelu", rng=0)
flags = ["-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra"]
with extension(
    "recommend", [HERE / "recommend.cpp"], "c++", flags, [pybind11.get_include()]
) as module:
    users = tower.freeze()(features)
    best = module.recommend_for(tower.freeze(), features, items, 5)
    scores = users.astype(np.float64) @ items.T
    np.testing.assert_allclose(
        np.take_along_axis(scores, best, 1), -np.sort(-scores, axis=1)[:, :5], rtol=1e-4, atol=1e-5
    )
    for wrong in (
        lambda: module.recommend(users, items[:, :3].copy(), 5),
        lambda: module.recommend_for(3, features, items, 5),
    ):
        try:
            wrong()
        except (ValueError, TypeError, AttributeError):
            continue
        sys.exit("a wrong call went unnoticed")
    print(f"cpp_pybind11: 5 of {len(items)} items recommended to {len(users)} users")
