"""Little memory and small stacks: a MemoryError changes nothing, results are the usual ones."""

import os
from pathlib import Path

import pytest

from . import common

V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")

# After everything was used once, leave address space for small arrays only.
LIMIT = """
    import resource
    import numpy as np, fastnn
    from fastnn import models, nn
    small = np.ones((40, 40), np.float32)
    big = np.ones((400, 400), np.float32)
    fastnn.matmul(big, big)  # the threads are there: OpenMP ends a process that cannot have them
    lm = models.TransformerLM(17, 16, 2, 2, 4096, rng=0)
    mlp = nn.MLP((40, 32, 3), rng=0)
    plan = lm.freeze()
    def usual():
        state = plan.new_state(1)
        found = [fastnn.matmul(small, small), fastnn.softmax(small), mlp.forward(small)[0]]
        return [x.tobytes() for x in [*found, plan.step(np.array([[1, 2]]), state)]]
    expected = usual()
    def limited(more=48 << 20):
        size = next(l for l in open("/proc/self/status") if l.startswith("VmSize"))
        resource.setrlimit(resource.RLIMIT_AS, (int(size.split()[1]) * 1024 + more,) * 2)
    def refused(call):
        try:
            call()
        except MemoryError:
            assert usual() == expected
            return
        raise AssertionError("there was memory")
"""


def in_little_memory(program):
    lines = "\n".join(f"    {line}" for line in program.strip().splitlines())
    code = LIMIT + lines + '\n    print("ok")\n'
    assert common.passes(code, FASTNN_NUM_THREADS="2") == "ok"


@common.linux
def test_results_that_do_not_fit():
    """Each kernel whose result is large: MemoryError, and the next call is right."""
    in_little_memory("""
tall = np.ones((200_000, 40), np.float32)
column, ids = np.ones((20_000, 1), np.float32), np.zeros(1_000_000, np.int64)
weight, q = np.ones(40, np.float32), np.ones((1, 1, 8192, 8), np.float32)
limited(20 << 20)
refused(lambda: fastnn.matmul(column, column.T))
refused(lambda: fastnn.relu(tall))
refused(lambda: fastnn.gelu(tall))
refused(lambda: fastnn.softmax(tall))
refused(lambda: fastnn.layer_norm(tall, weight, weight))
refused(lambda: fastnn.dropout(tall, 0.5, seed=1, step=0))
refused(lambda: fastnn.embedding(ids, small))
refused(lambda: fastnn.attention(q, q, q, need_weights=True))
refused(lambda: mlp(tall))
refused(lambda: mlp.forward(tall))
refused(lambda: lm(np.zeros((40, 4096), np.int64)))
refused(lambda: plan.new_state(10_000))
refused(lambda: lm.new_cache(10_000))
refused(lambda: nn.Linear(10_000, 10_000, rng=0))
refused(lambda: models.TransformerLM(100_000, 256, 2, 2, 16, rng=0))
""")


@common.linux
def test_training_that_does_not_fit():
    """A step that runs out of memory leaves parameters and optimizer unchanged."""
    in_little_memory("""
from fastnn import optim
x, y = np.ones((100_000, 40), np.float32), np.zeros(100_000, np.int64)
optimizer = optim.AdamW(mlp.parameters(), lr=0.1)
before = mlp.parameters().data.copy()
limited(10 << 20)
def train():
    fastnn.fit(mlp, x, y, optimizer=optimizer, epochs=1, batch_size=100_000, shuffle=False,
               verbose=0)
refused(train)
assert mlp.parameters().data.tobytes() == before.tobytes()
assert optimizer.state_dict()["steps"] == 0
""")


@common.linux
def test_a_file_that_does_not_fit(tmp_path):
    """`save` and `load` of a model larger than the free memory; the old file stays."""
    path = tmp_path / "large.safetensors"
    in_little_memory(f"""
large = nn.Linear(2000, 4000, rng=0)
fastnn.save(large, {str(path)!r})
fastnn.load({str(path)!r})
limited(24 << 20)
refused(lambda: fastnn.load({str(path)!r}))
fastnn.save(large, {str(path)!r})  # is written array by array
""")


# 32 KiB is the least that threading takes; the system may want more.
STACKS = """
    import sys, threading
    import numpy as np, fastnn
    from fastnn import models, nn
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 400)).astype("f"), rng.normal(size=(400, 310)).astype("f")
    q = rng.normal(size=(2, 4, 200, 64)).astype("f")
    out, lse = fastnn.attention(q, q, q, causal=True, return_lse=True)
    lm = models.TransformerLM(50, 64, 4, 3, 64, rng=0)
    translator = models.Seq2SeqTransformer(50, None, 64, n_heads=4, n_layers=2, rng=0)
    plan, rows = lm.freeze(), nn.MLP((400, 512, 10), rng=0).freeze()
    ids, labels = rng.integers(0, 50, (2, 40)), rng.integers(0, 310, 300)
    mlp = nn.MLP((400, 64, 310), rng=0)
    def decode():
        state = plan.new_state(2)
        return [plan.step(ids, state), plan.step(ids[:, :1], state)]
    def train():
        model = nn.MLP((400, 64, 310), rng=0)
        fastnn.fit(model, a, labels, optimizer="adam", epochs=1, batch_size=100, seed=0, verbose=0)
        return model.parameters().data
    calls = {
        "product": lambda: fastnn.matmul(a, b),
        "product in double": lambda: fastnn.matmul(a.astype("d"), b.astype("d")),
        "attention": lambda: fastnn.attention(q, q, q, causal=True),
        "attention backward": lambda: fastnn.attention_backward(q, q, q, q, out, lse, causal=True),
        "softmax": lambda: fastnn.softmax(b),
        "cross entropy": lambda: fastnn.cross_entropy(b[:300], labels),
        "layer norm": lambda: fastnn.layer_norm(b, np.ones(310, "f"), np.ones(310, "f")),
        "forward": lambda: lm.forward(ids)[0],
        "plan": lambda: rows(a),
        "decode": decode,
        "generate": lambda: lm.generate([[1, 2]], 5, seed=0),
        "beams": lambda: [h.tokens for h in translator.generate(
            ids[:, :5], bos=1, eos=2, max_len=6, beams=2)[0]],
        "train": train,
    }
    def bits(value):
        if isinstance(value, (tuple, list)):
            return [bits(v) for v in value]
        return np.asarray(value).tobytes()
    found = {}
    def work(name):
        found[name] = bits(calls[name]())
    for name in calls:
        work(name)
    expected, found = found, {}
    threading.stack_size(int(sys.argv[1]))
    for name in calls:
        thread = threading.Thread(target=work, args=(name,))
        thread.start()
        thread.join()
        assert found.get(name) == expected[name], name
    print("ok")
"""


@common.posix
@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("kib", [128, 256])
def test_small_stacks(kib, threads):
    """Threads of Python with little stack run every kind of call; so do those of OpenMP."""
    env = {"FASTNN_NUM_THREADS": threads, "OMP_STACKSIZE": f"{kib}k"}
    assert common.passes(STACKS, kib << 10, **env) == "ok"


@pytest.fixture
def control_group():
    """Yield a function that makes a control group of a quota in CPUs; skip where that is refused.

    It returns the file that takes the number of a process, and all groups are removed afterwards.
    """
    made = []

    def group(cpus):
        is_v1 = (V1 / "cpu.cfs_quota_us").exists()
        folder = (V1 if is_v1 else V2) / f"fastnn-test-{os.getpid()}-{len(made)}"
        quota = round(cpus * 100_000)
        try:
            folder.mkdir()
            made.append(folder)
            if is_v1:
                (folder / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (folder / "cpu.max").write_text(f"{quota} 100000")
        except OSError as error:
            pytest.skip(f"no control group can be made: {error}")
        return folder / "cgroup.procs"

    yield group
    for folder in made:
        folder.rmdir()


@common.linux
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one CPU")
def test_quota_of_a_control_group(control_group):
    """The team is as large as the quota allows, rounded up, and the bits are the usual ones."""
    program = """
        import sys
        if sys.argv[1]:
            open(sys.argv[1], "w").write("0")  # the process that writes
        import numpy as np, fastnn
        a = np.random.default_rng(0).standard_normal((300, 300))
        print(fastnn.get_num_threads(), hash(fastnn.matmul(a, a).tobytes()))
    """
    env = {"FASTNN_NUM_THREADS": "", "OMP_NUM_THREADS": "", "PYTHONHASHSEED": "0"}
    free, bits = common.passes(program, "", **env).split()
    for cpus, threads in ((0.5, 1), (1.0, 1), (1.5, min(2, int(free)))):
        found = common.passes(program, str(control_group(cpus)), **env).split()
        assert found == [str(threads), bits], cpus
