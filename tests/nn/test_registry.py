"""Registered layers: saved, loaded, resumed, migrated; and what files must not do."""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import fastnn
from fastnn import models, nn, optim
from fastnn.files import ModelFileError
from fastnn.nn import registry
from fastnn.train import ModelCheckpoint, load_checkpoint, save_checkpoint

DOCS = Path(__file__).parents[2] / "docs" / "own-layer.md"
OURS = [cls for cls, _ in registry._REGISTERED.values()]


@pytest.fixture(autouse=True)
def registered(monkeypatch, tmp_path):
    """Each test has its own registry and working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    return registry._REGISTERED


def snippets():
    return re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.S)


@pytest.fixture
def scale():
    """The class in the docs page, after running its first two snippets."""
    names = {"fastnn": fastnn, "__name__": "mine"}
    for snippet in snippets()[:2]:
        exec(snippet, names)
    return names["Scale"]


def new_model(scale):
    layers = [nn.Linear(4, 3, rng=0), nn.Dropout(0.2, rng=0), scale(3)]
    return nn.Sequential(*layers, nn.Residual(scale(3)))


def test_the_page_has_a_layer_of_15_lines(scale):
    code = snippets()[0].split("@nn.register")[1]
    assert len([line for line in code.splitlines() if line]) == 15
    again = fastnn.load("model.safetensors")
    assert type(again[1]) is scale and repr(again[1]) == "Scale(dim=3, dtype='float32')"


def test_a_layer_of_your_own_is_saved_and_loaded(scale):
    fastnn.gradcheck(scale(3, "float64"), np.ones((2, 3)))
    model = new_model(scale)
    model[2].weight.data[...] = [1, 2, 3]
    model.save("m")
    again = fastnn.load("m")
    assert again.config() == model.config()
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(again(x), model(x))
    described = json.loads(load_metadata("m"))
    assert described["model"]["layers"][2] == {"type": "mine.Scale", "dim": 3, "dtype": "float32"}
    assert described["fastnn"] == fastnn.__version__


def load_metadata(path):
    return fastnn.files.load_metadata(path)["fastnn"]


def test_a_run_with_it_is_resumed_with_the_same_bits(scale):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40)

    def run(model, epochs, **options):
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        how = {"epochs": epochs, "batch_size": 8, "seed": 0, "verbose": 0} | options
        fastnn.fit(model, x, y, optimizer=optimizer, **how)
        return model.parameters().data.copy()

    model = new_model(scale)
    model.seed(3)
    expected = run(model, 4)
    model = new_model(scale)
    model.seed(3)
    run(model, 2, callbacks=[ModelCheckpoint("run")])
    found = run(fastnn.load("run"), 4, resume="run")
    np.testing.assert_array_equal(found, expected)
    assert load_checkpoint("run", new_model(scale)).epoch == 2


def rewrite(path, change):
    """The file again, its description changed."""
    arrays = safetensors.numpy.load_file(path)
    described = change(json.loads(load_metadata(path)))
    Path(path).write_bytes(
        safetensors.numpy.save(arrays, metadata={"fastnn": json.dumps(described)})
    )


def test_fields_of_an_older_version_are_migrated(scale):
    model = nn.Sequential(scale(3), nn.Residual(scale(3)))
    save_checkpoint("run", model, epoch=5)
    scale(3).save("m")
    names = {"nn": nn, "Scale": scale, "__name__": "mine"}
    exec(VERSION_3, names)
    migrated = fastnn.load("run")
    assert type(migrated[1].layer) is names["Scale"]
    assert load_checkpoint("run", migrated).epoch == 5
    layer = fastnn.load("m")
    assert type(layer) is names["Scale"]
    assert (layer.width, layer.power) == (3, 2)
    layer.save("m")
    assert fastnn.load("m").config() == layer.config()
    fields = {"width": 3, "power": 2, "dtype": "float32"}
    assert layer.config() == {"type": "mine.Scale", "version": 3, **fields}
    for version in (0, 4, "1", True, None):
        rewrite("m", lambda d: d | {"model": d["model"] | {"version": version}})  # noqa: B023
        with pytest.raises(ModelFileError, match=r"mine\.Scale has version .* up to 3"):
            fastnn.load("m")


# The class in the docs page with one field renamed and one added.
VERSION_3 = """
@nn.register("mine.Scale", version=3)
class Scale(Scale):
    fields = {"width": int, "power": (int, 2), "dtype": (str, "float32")}

    def __init__(self, width, power=2, dtype="float32"):
        self.width, self.power = width, power
        super().__init__(width, dtype)

    @staticmethod
    def shapes(fields):
        return {"weight": ((fields["width"],), fields["dtype"])}

    @staticmethod
    def migrate(fields, version):
        assert version == 1
        return {"width": fields.pop("dim"), **fields}
"""


def test_a_missing_field_takes_its_default(scale):
    assert nn.build({"type": "mine.Scale", "dim": 3}).weight.data.dtype == np.float32
    linear = nn.build({"type": "Linear", "in_features": 3, "out_features": 2})
    assert linear.config() == nn.Linear(3, 2).config()
    with pytest.raises(ValueError, match=r"Linear needs the fields \['out_features'\]"):
        nn.build({"type": "Linear", "in_features": 3})


def test_an_unknown_field_names_the_version_that_wrote_it():
    nn.MLP((3, 2), rng=0).save(path := "m")
    field = {"quantized": True}
    rewrite(path, lambda d: d | {"fastnn": "7.1", "model": d["model"] | field})
    message = rf"MLP has no fields \['quantized'\].*written by fastnn 7\.1, read by {VERSION}"
    with pytest.raises(ModelFileError, match=message):
        fastnn.load(path)
    rewrite(path, lambda d: {"version": 1, "model": d["model"]})  # as 0.1.0 wrote them
    with pytest.raises(ModelFileError, match=r"written by fastnn 0\.1\.0"):
        fastnn.load(path)


VERSION = re.escape(fastnn.__version__)


def test_a_type_that_is_not_registered_is_not_looked_for(scale, registered):
    model = new_model(scale)
    model.save("m")
    del registered["mine.Scale"]
    message = (
        r"unknown type of layer 'mine\.Scale': nothing in a file imports code.*imported before"
    )
    with pytest.raises(ModelFileError, match=message):
        fastnn.load("m")
    with pytest.raises(ValueError, match=r"2 is of your own class Scale, which is not registered"):
        model.save("again")
    assert not Path("again").exists()


def test_layers_inside_are_fields_too(tmp_path):
    @nn.register("mine.Branches")
    class Branches(nn.Module):
        fields = {"layers": list[nn.Module], "last": nn.Module}  # noqa: RUF012

        def __init__(self, layers, last):
            self.layers, self.last = tuple(layers), last
            super().__init__({**dict(zip("abc", layers, strict=False)), "last": last})

        @classmethod
        def shapes(cls, fields):
            once = [layer for layer in fields["layers"] if layer["type"] != "Repeat"]
            parts = dict(zip("abc", [*once, fields["last"]], strict=False))
            parts["last"] = parts.pop("abc"[len(once)])
            return registry.prefixed({k: nn.parameter_shapes(v) for k, v in parts.items()})

        def forward(self, x):
            return self.last(sum(layer(x) for layer in self.layers)), None

        def backward(self, dy, ctx, need_dx=True):
            raise NotImplementedError

    first = nn.Linear(3, 2, rng=0)
    model = Branches([first, nn.MLP((3, 4, 2), rng=1), first], nn.Tanh())
    model.save(tmp_path / "m")
    again = fastnn.load(tmp_path / "m")
    assert again.layers[2] is again.layers[0] and again.config() == model.config()
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(again(x), model(x))


def layer_class(**attributes):
    """A class of no parameters."""

    def forward(self, x):
        return x, None

    def backward(self, dy, ctx, need_dx=True):
        return dy

    names = {"forward": forward, "backward": backward, "__init__": lambda self: None}
    return type("Own", (nn.Module,), names | attributes)


@pytest.mark.parametrize(
    ("decorate", "error", "message"),
    [
        (lambda: nn.register("")(layer_class()), ValueError, "name must not be empty"),
        (lambda: nn.register(layer_class()), TypeError, "name must be a str"),
        (lambda: nn.register("a", version=0)(layer_class()), ValueError, "version must be at lea"),
        (lambda: nn.register("a")(dict), TypeError, "classes of nn.Module, got type"),
        (lambda: nn.register("a")(nn.ReLU()), TypeError, "classes of nn.Module"),
        (lambda: nn.register("ReLU")(layer_class()), ValueError, "'ReLU' is registered already"),
        (lambda: nn.register("a")(layer_class(fields={"n": 3})), TypeError, "'n' must have a type"),
        (lambda: nn.register("a")(layer_class(fields={"type": str})), TypeError, "'type' must"),
        (lambda: nn.register("a")(layer_class(fields={"n": (int, "3")})), TypeError, "'n' must"),
        (lambda: nn.register("a")(layer_class(fields={"n": list[int]})), TypeError, "'n' must"),
    ],
)
def test_what_cannot_be_registered(decorate, error, message, registered):
    before = dict(registered)
    with pytest.raises(error, match=message):
        decorate()
    assert registered == before


def test_what_could_not_be_loaded_again_is_not_saved(scale, tmp_path):
    @nn.register("mine.Args")
    class Args(scale):
        def __init__(self, size):
            super().__init__(size)

    @nn.register("mine.Silent")
    class Silent(scale):
        @staticmethod
        def shapes(fields):
            return {}

    @nn.register("mine.Wrong")
    class Wrong(scale):
        def field_values(self):
            return super().field_values() | {"dim": "3"}

    for layer, message in (
        (Args(3), "the model could not be loaded again: Args, missing a req.* 'size'"),
        (Silent(3), r"by `shapes` 'weight' is None, in this model \(\(3,\), 'float32'\)"),
        (Wrong(3), "mine.Wrong: dim cannot be '3'"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.__name__)
def test_defaults_of_fields_are_those_of_the_constructor(cls):
    parameters = inspect.signature(cls).parameters
    for name, spec in cls.fields.items():
        if isinstance(spec, tuple) and name in parameters:
            default = parameters[name].default
            assert spec[1] == (np.dtype(default).name if name == "dtype" else default), name


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.__name__)
def test_files_call_our_layers_by_their_names(cls):
    module = nn if hasattr(nn, cls.__name__) else models
    assert getattr(module, cls.__name__) is cls and cls._registered == (cls.__name__, 1)
