"""Build libfastnn.a, for C and C++ programs without Python: docs/standalone.md.

    python tools/static_library.py PREFIX       lib/libfastnn.a, include, pkg-config and CMake files

The loops are those of the Python modules. Cython writes C in which functions that run without the
GIL call no Python; what they call in other modules is fetched by name when a module is imported.
Here those references are given to the linker instead. Then everything that the functions of
fastnn.h do not reach is dropped: module initialization, checks of arguments, and with them every
reference to Python. Needs the headers of Python and NumPy, gcc or clang, and GNU binutils.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "fastnn"
KERNELS = PACKAGE / "kernels"
STANDALONE = Path(__file__).parent / "standalone"
CC = shlex.split(os.environ.get("CC", "gcc"))
API = "__pyx_f_6fastnn_7kernels_3api_"
# dispatch.pyx is replaced by program.c, so nothing else of it may be reached.
REPLACED = "fastnn.kernels.ground.dispatch"
VARIABLES = {
    "__pyx_vp_6fastnn_7kernels_6ground_8dispatch_leaves_f32": "fastnn_f32",
    "__pyx_vp_6fastnn_7kernels_6ground_8dispatch_leaves_f64": "fastnn_f64",
}
IMPORTED = re.compile(
    r"^static ([^\n;=]*?)\(\*((?:__pyx_fuse_\w*?)?__pyx_f_6fastnn\w+)\)(\(.*\));", re.M
)
POINTER = re.compile(r"^static (struct \w+) \*(__pyx_vp_6fastnn\w+) = 0;", re.M)
NAMES = {
    "fastnn_assume": "__pyx_f_6fastnn_7kernels_6ground_7machine_assume",
    "fastnn_begin": "__pyx_f_6fastnn_7kernels_6ground_7threads_begin",
}


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source(module):
    return KERNELS.joinpath(*module.split(".")[2:]).with_suffix(".c")


def needed():
    """Return the modules whose C functions those of the API call, however indirectly."""
    found, pending = set(), ["fastnn.kernels.api"]
    while pending:
        module = pending.pop()
        if module in found or module == REPLACED or not module.startswith("fastnn.kernels."):
            continue
        found.add(module)
        text = source(module).read_text(encoding="utf-8")
        for part in ("Variable", "Function"):
            head = f"static int __Pyx_modinit_{part}_import_code(__pyx_mstatetype *__pyx_mstate) {{"
            body = text.split(head)[1].split("\n}\n")[0]
            pending += re.findall(r'PyImport_ImportModule\("([\w.]+)"\)', body)
    return sorted(found)


def linked(text):
    """Return a module's C with its exports and imports left to the linker."""
    exported = set(re.findall(r"\((?:void \(\*\)\(void\)|void \*)\)&(\w+)", text))
    exported = {name for name in exported if "_6fastnn_" in name}
    names = "|".join(map(re.escape, sorted(exported, key=len, reverse=True)))
    if names:
        text = re.sub(rf"^static (?=[^\n(=]*\b(?:{names})(?:\(|;| = ))", "", text, flags=re.M)
    text = IMPORTED.sub(r"extern \1\2\3;", text)

    def pointer(found):
        kind, name = found.groups()
        target = VARIABLES.get(name, name.replace("__pyx_vp_", "__pyx_v_"))
        return f"extern {kind} {target};\nstatic {kind} *{name} = &{target};"

    return POINTER.sub(pointer, text)


def table():
    """Return program_table.h: the table of fastnn.h, filled."""
    c_header = load("c_header", PACKAGE / "c_header.py")
    header = c_header.HEADER.read_text(encoding="utf-8")
    version = re.search('"(.*)"', (PACKAGE / "_version.py").read_text())[1]
    functions = [function.name for function in c_header.parse(header)]
    lines = [f"extern void {API}{name}(void);" for name in functions]
    lines += ["static fastnn_api fastnn_filled_table = {", ".abi_version = FASTNN_ABI_VERSION,"]
    lines += [".api_version = FASTNN_API_VERSION, .size = sizeof(fastnn_api),"]
    lines += [f'.version = "{version}", .isa = "",']
    lines += [f".{name} = (void *){API}{name}," for name in functions]
    return "\n".join([*lines, "};", ""])


def compile_all(setup, modules, folder, isas):
    """Return the object files: leaves, modules, and program.c."""
    flags = [*setup.FLAGS, "-fPIC", "-ffunction-sections", "-fdata-sections"]
    clang = "__clang__" in run(*CC, "-dM", "-E", "-x", "c", os.devnull)
    flags += ["-ffp-contract=" + ("on" if clang else "fast")]
    flags += [f"-I{ROOT / path}" for path in setup.INCLUDE]
    python = [f"-I{sysconfig.get_paths()['include']}", f"-I{numpy.get_include()}", "-w"]
    python += ["-DNPY_NO_DEPRECATED_API=NPY_1_25_API_VERSION", "-fopenmp"]
    jobs = []
    for isa in isas:
        for bits in (32, 64):
            given = [*flags, *setup.ISA_FLAGS[isa].split(), "-Wno-psabi"]
            given += [f"-DFASTNN_ISA={isa}", f"-DFASTNN_REAL={bits}"]
            jobs.append((ROOT / setup.LEAVES, folder / f"leaves_{isa}_{bits}.o", given))
    for module in modules:
        path = folder / f"{module}.c"
        path.write_text(linked(source(module).read_text(encoding="utf-8")), encoding="utf-8")
        base = module.rpartition(".")[2]
        size = setup.FACE_SIZE if module.removeprefix("fastnn.kernels.") in setup.FACES else "-O2"
        given = [*flags, *python, size, f"-DPyInit_{base}=PyInit_{module.replace('.', '_')}"]
        jobs.append((path, folder / f"{module}.o", given))
    (folder / "program_table.h").write_text(table())
    given = [*flags, "-fopenmp", f"-I{folder}", "-Wno-unused-function"]
    given.append("-DFASTNN_SETS=" + " ".join(f"SET({isa})" for isa in isas))
    given += [f"-D{name}={mangled}" for name, mangled in NAMES.items()]
    jobs.append((STANDALONE / "program.c", folder / "program.o", given))
    with ThreadPoolExecutor(setup.jobs()) as pool:
        list(pool.map(lambda job: run(*CC, "-c", job[0], "-o", job[1], *job[2]), jobs))
    return [job[1] for job in jobs]


def archive(objects, folder, to):
    """Link the objects into one that holds only what is reached, and archive it."""
    whole, kept = folder / "whole.o", folder / "fastnn.o"
    roots = "-Wl,--gc-sections,-u,fastnn_open,-u,fastnn_program_table"
    run(*CC, "-r", "-nostdlib", roots, *objects, "-o", whole)
    public = [f"--keep-global-symbol={name}" for name in ("fastnn_open", "fastnn_program_table")]
    run("objcopy", *public, "--strip-unneeded", whole, kept)
    python = re.findall(r"\bU (_?Py\w+)", run("nm", "-u", kept))
    if python:
        raise SystemExit(f"libfastnn.a would need Python: {', '.join(sorted(set(python)))}")
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    run("ar", "rcsD", to, kept)


def install(prefix, version):
    """Write the headers and the files of pkg-config and CMake."""
    include, lib = prefix / "include", prefix / "lib"
    include.mkdir(parents=True, exist_ok=True)
    headers = [*(PACKAGE / "include").glob("fastnn*.h*"), STANDALONE / "fastnn_program.h"]
    for header in headers:
        (include / header.name).write_text(header.read_text(encoding="utf-8"), encoding="utf-8")
    for name, to in (
        ("fastnn.pc", lib / "pkgconfig"),
        ("fastnn-config.cmake", lib / "cmake/fastnn"),
    ):
        to.mkdir(parents=True, exist_ok=True)
        text = (STANDALONE / f"{name}.in").read_text(encoding="utf-8")
        (to / name).write_text(text.replace("@VERSION@", version), encoding="utf-8")


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    prefix = Path(sys.argv[1]).resolve()
    os.chdir(ROOT)
    # Importing it makes the C of all modules; with --version setuptools builds nothing.
    sys.argv[1:] = ["--quiet", "--version"]
    setup = load("fastnn_setup", ROOT / "setup.py")
    version = re.search('"(.*)"', (PACKAGE / "_version.py").read_text())[1]
    x86 = "__x86_64__" in run(*CC, "-dM", "-E", "-x", "c", os.devnull)
    isas = list(setup.ISA_FLAGS) if x86 else ["baseline"]
    with tempfile.TemporaryDirectory() as folder:
        objects = compile_all(setup, needed(), Path(folder), isas)
        archive(objects, Path(folder), prefix / "lib" / "libfastnn.a")
    install(prefix, version)
    size = (prefix / "lib" / "libfastnn.a").stat().st_size
    print(f"{prefix / 'lib' / 'libfastnn.a'}: {size / 1e6:.2f} MB, {', '.join(isas)}")


if __name__ == "__main__":
    main()
