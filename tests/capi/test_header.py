"""The header: it compiles everywhere, and all that is derived from it agrees with it."""

import json
import re
import shutil

import pytest

from fastnn import capi
from fastnn.kernels import _capi, api

from .conftest import HERE, STRICT, compiler, run

HEADER = capi.HEADER.read_text()
ROOT = HERE.parent.parent
KERNELS = ROOT / "src" / "fastnn" / "kernels"


def tool(name="capi_tables"):
    """A script of tools/ as a module."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_slot_has_its_short_name_and_both_types():
    names = set(capi.functions())
    assert dict(re.findall(r"#define fastnn_(\w+) fastnn_table->(\w+)\n", HEADER)) == {
        name: name for name in names
    }
    assert {n for n in names if n.endswith("_f32")} == {
        f"{n[:-4]}_f32" for n in names if n.endswith("_f64")
    }
    for name in names:
        assert capi.functions()[name].contract, name


def test_float64_is_float32_with_another_type():
    for name, function in capi.functions().items():
        if name.endswith("_f32"):
            other = capi.functions()[f"{name[:-4]}_f64"]
            same = tuple((kind.replace("float", "double"), n) for kind, n in function.arguments)
            assert other.arguments == same and other.contract == function.contract, name


def test_signatures_are_frozen():
    """What was published stays: see tools/capi_tables.py."""
    before = json.loads((HERE / "signatures.json").read_text())
    functions = list(capi.functions().values())
    assert tool().problems(functions, capi.ABI_VERSION, before) == []
    assert (HERE / "signatures.json").read_text() == tool().frozen(functions, capi.ABI_VERSION)


def test_changes_of_what_was_published_are_noticed():
    before = json.loads((HERE / "signatures.json").read_text())
    functions = list(capi.functions().values())
    problems = tool().problems
    wrong = functions[3]._replace(arguments=functions[3].arguments[1:])
    assert (
        "gemm_f32 was int (int64_t"
        in problems([*functions[:3], wrong, *functions[4:]], 1, before)[0]
    )
    assert "neither move nor go" in problems(functions[:-1], 1, before)[0]
    assert (
        "neither move nor go"
        in problems([functions[1], functions[0], *functions[2:]], 1, before)[0]
    )
    assert "needs an API above" in problems([*functions, functions[0]], 1, before)[0]
    assert problems([*functions, functions[0]._replace(api=99)], 1, before) == []
    assert problems(functions[:3], 2, before) == []


def test_the_page_has_the_functions_of_the_header():
    text = tool().PAGE.read_text()
    assert text == tool().page(list(capi.functions().values()), text)


def test_a_contract_and_a_prototype_may_take_several_lines():
    header = HEADER.replace(
        "    /* ---- API 2 ---- */",
        """    /* y = (x - a) * b
     * + c. */
    int (*shift_f32)(int64_t n, const float *x,
                     float *y);

    /* ---- API 2 ---- */""",
    )
    function = next(f for f in capi.parse(header) if f.name == "shift_f32")
    assert function.contract == "y = (x - a) * b + c."
    assert function.prototype == "int fastnn_shift_f32(int64_t n, const float *x, float *y);"
    assert function.signature == "int (int64_t, float const *, float *)"


def test_the_page_fits_100_columns_and_starts_no_list_inside_a_contract():
    made = tool()
    text = made.page(list(capi.functions().values()), made.PAGE.read_text())
    assert max(map(len, text.splitlines())) <= 100
    for mark in ("*", "+", "1."):
        text = f"{'x' * 60} {'y' * 38} {mark} z"
        assert made.wrapped_text(text) == f"{'x' * 60}\n{'y' * 38} {mark} z"


def test_codes_are_those_of_the_kernels():
    leaves = (KERNELS / "simd" / "leaves.h").read_text()
    codes = re.findall(r"FASTNN_LOSS_(\w+) = (\d+)", leaves)
    assert len(codes) > 3
    for name, code in codes:
        assert re.search(rf"\bFASTNN_{name} = {code}\b", HEADER), name
    for name, code in re.findall(
        r"    (\w+) = (\d)\n", (KERNELS / "ground" / "arrays.pxd").read_text()
    ):
        assert re.search(rf"\bFASTNN_{name} = {code}\b", HEADER), name


def test_the_api_module_is_that_of_the_header(tmp_path, monkeypatch):
    """The build writes it, so that no change of the header is forgotten."""
    made = tool("api_module")
    listed = made.functions()
    assert (KERNELS / "api.pyx").read_text() == made.definitions(listed)
    monkeypatch.setattr(made, "bodies", dict)
    with pytest.raises(ValueError, match=r"fastnn\.h has strerror, but no \.pxd"):
        made.definitions(listed)


def test_the_primitives_that_cython_calls_are_those_of_the_table():
    made = tool("leaf_calls")
    simd = KERNELS / "simd"
    assert (simd / "calls.pxd").read_text() == made.text((simd / "leaves.h").read_text())
    header = """#define FASTNN_LEAVES(LEAF, R) \\
    LEAF(R, twice, int64_t n, R by, const R *x,  \\
         struct fastnn_step *s) \\
    /* of no type */ \\
    LEAF(void, draw, int64_t n, uint32_t *out)

    LEAF(void, not_in_the_table, R *x)
    """
    text = made.text(header)
    assert "#define fastnn_twice(...) FASTNN_CALL(twice, __VA_ARGS__)\n" in text
    assert "#define fastnn_draw fastnn_f32.draw\n" in text
    arguments = "int64_t n, double by, const void *x, fastnn_step *s"
    assert text.endswith(
        f'double twice "fastnn_twice"({arguments})\n'
        '    void draw "fastnn_draw"(int64_t n, uint32_t *out)\n'
    )


def test_a_signature_that_differs_from_the_kernels_is_noticed():
    exported = api.__pyx_capi__
    function = capi.functions()["softmax_f32"]
    assert capi._checked(function, exported) is exported["softmax_f32"]
    wrong = function._replace(arguments=(("int", "rows"), *function.arguments[1:]))
    with pytest.raises(
        ImportError, match=r"softmax_f32 is int \(int64_t.*but fastnn.h has int \(int,"
    ):
        capi._checked(wrong, exported)
    with pytest.raises(ImportError, match=r"kernels/api\.pyx lacks softmin"):
        capi._checked(function._replace(name="softmin"), exported)
    assert _capi.address(exported["softmax_f32"]) == capi.address("softmax_f32")


def test_what_is_installed_collides_with_nothing():
    """Headers carry the package's name, and what other extensions cimport needs no others."""
    tomllib = pytest.importorskip("tomllib")
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = shipped["package-data"]
    del data["fastnn.bench"]  # its loops are on no include path
    patterns = {pattern for listed in data.values() for pattern in listed}
    assert {pattern for pattern in patterns if pattern.endswith(".h")} == {"include/*.h"}
    headers = {path.name for path in capi.HEADER.parent.glob("*.h")}
    assert headers == {"fastnn.h", "fastnn_activations.h"}
    folders = {path.parent for path in KERNELS.rglob("*.pxd")} - {KERNELS}
    for folder in folders:
        package = ".".join(("fastnn", *folder.relative_to(KERNELS.parent).parts))
        assert "*.pxd" in shipped["exclude-package-data"][package], package
    declared = (KERNELS / "api.pxd").read_text()
    assert set(re.findall(r"^(from .*|)cimport ", declared, re.M)) == {"from libc.stdint "}


@pytest.mark.parametrize("language", ["c99", "c11", "c++11", "c++17"])
@pytest.mark.parametrize(
    "python",
    [
        "",
        "#include <Python.h>\n",
        pytest.param("#define Py_LIMITED_API 0x030a0000\n#include <Python.h>\n", id="abi3"),
    ],
)
def test_compiles_without_warnings(tmp_path, language, python):
    command = compiler()
    if "++" in language:
        command = [shutil.which("c++") or pytest.skip("needs a C++ compiler")]
    source = tmp_path / ("use.cpp" if "++" in language else "use.c")
    calls = "\n".join(
        f"    if (FASTNN_HAS({name})) used += sizeof(fastnn_{name});" for name in capi.functions()
    )
    use = (
        "size_t use(void);\nsize_t use(void) {\n    size_t used = 0;\n"
        f"{calls}\n    return used;\n}}\n"
    )
    source.write_text(f'{python}#include "fastnn.h"\n#include "fastnn.h"\n{use}')
    flags = [f"-std={language}", "-pedantic", *STRICT, "-c", "-o", str(tmp_path / "use.o")]
    import sysconfig

    folders = [f"-I{capi.HEADER.parent}", f"-isystem{sysconfig.get_paths()['include']}"]
    run([*command, *flags, *folders, str(source)])


def test_the_table_has_no_padding_between_slots(tmp_path):
    """Slots follow one another from the head on, as the table in _capi.pyx is laid out."""
    checks = "\n".join(
        f"typedef char at_{name}["
        f"offsetof(fastnn_api, {name}) == 16 + (2 + {i}) * sizeof(void *) ? 1 : -1];"
        for i, name in enumerate(capi.functions())
    )
    (tmp_path / "offsets.c").write_text(f'#include "fastnn.h"\n{checks}\n')
    run([*compiler(), f"-I{capi.HEADER.parent}", "-fsyntax-only", str(tmp_path / "offsets.c")])
