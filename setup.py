"""Build the extensions. All metadata is in pyproject.toml.

The C leaves (src/fastnn/kernels/simd/leaves.c) are compiled once for each instruction set and real
type, in parallel, into objects that the `dispatch` extension links; every other extension is one
Cython file compiled for the baseline. Environment:

FASTNN_NO_OPENMP=1   build without OpenMP (as happens, with a warning, where the compiler has none)
FASTNN_BUILD_JOBS=N  compile N files at a time (default: the CPUs this process may use)
FASTNN_DEBUG=1       keep debug symbols
"""

import importlib.util
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

# kernels/api.pyx follows from include/fastnn.h, and kernels/simd/calls.pxd from simd/leaves.h.
for tool in ("api_module", "leaf_calls"):
    spec = importlib.util.spec_from_file_location(tool, f"tools/{tool}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write()

KERNELS = "src/fastnn/kernels"
SOURCES = sorted(Path(KERNELS).rglob("*.pyx"))
LEAVES = f"{KERNELS}/simd/leaves.c"
HEADERS = sorted(map(str, [*Path(KERNELS).rglob("*.h"), *Path("src/fastnn/include").glob("*.h")]))
INCLUDE = sorted({str(Path(header).parent) for header in HEADERS})
# Headers that Cython files include; all others are compiled into the leaves alone.
INCLUDED = ("leaves.h", "fastnn_activations.h", "activation_table.h", "dispatch.h", "team.h")
INCLUDED += ("pool.h", "atomic.h", "typed.h", "neighbors.h")

DEBUG = os.environ.get("FASTNN_DEBUG") == "1"
# Nothing of fast-math: linking with it flushes subnormals in the whole process.
FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-fno-asynchronous-unwind-tables",  # a tenth of the size; nothing unwinds through C
]
if sys.platform == "linux":
    FLAGS += ["-fno-plt", "-fno-ident"]
FLAGS += ["-g"] if DEBUG else ["-g0"]
# Python links libm, but a module should name what it needs: auditwheel reads the versions there.
LIBRARIES = ["-Wl,--push-state,--as-needed", "-lm", "-Wl,--pop-state", "-Wl,--build-id=none"]
LIBRARIES += ["-Wl,-z,noseparate-code"]  # no padding to whole pages
# Cython packs the strings of a module; the wheel, which packs everything, does better without.
MACROS = [("NPY_NO_DEPRECATED_API", "NPY_1_25_API_VERSION"), ("CYTHON_COMPRESS_STRINGS", "0")]
# Where Homebrew puts LLVM's OpenMP, on Apple silicon and on Intel.
BREWED = ("/opt/homebrew/opt/libomp", "/usr/local/opt/libomp")
# What the compiler is told for each instruction set of x86-64, from the narrowest to the widest:
# each has all that those before it have.
ISA_FLAGS = {"baseline": "-O2"}  # smaller by a sixth; x86-64 without AVX2 is rare
ISA_FLAGS["avx2"] = "-mavx2 -mfma"
ISA_FLAGS["avx512"] = f"{ISA_FLAGS['avx2']} -mavx512f -mavx512vl -mavx512bw -mavx512dq"
ISA_FLAGS["avx512"] += " -mprefer-vector-width=512"
ISA_FLAGS["avx512vnni"] = f"{ISA_FLAGS['avx512']} -mavx512vnni"
ISA_FLAGS["avx512bf16"] = f"{ISA_FLAGS['avx512vnni']} -mavx512bf16"
ISA_FLAGS["avx512amx"] = f"{ISA_FLAGS['avx512bf16']} -mamx-tile -mamx-bf16 -mamx-int8"
# The same for aarch64, where Linux says what the CPU has.
ARM_FLAGS = {"baseline": "", "neoni8mm": "-march=armv8.2-a+i8mm"}
ARM_FLAGS["neonbf16"] = "-march=armv8.2-a+i8mm+bf16"


def jobs():
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(os.environ.get("FASTNN_BUILD_JOBS") or cpus))


# Modules that check arguments, or whose loops call primitives that take much longer, are compiled
# for size: the wheel is 0.3 MB smaller. What a small product or activation runs is for speed.
FACE_SIZE, BODY_SIZE = "-Os", "-O2"
FACES = {
    "_capi",
    "_shared",
    "api",
    "attention.additive",
    "attention.arguments",
    "attention.arrays",
    "attention.backward",
    "attention.decode",
    "attention.forward",
    "attention.parts",
    "attention.rotary",
    "embedding.arrays",
    "embedding.repeats",
    "gemm.blas",
    "gemm.linear",
    "gemm.low",
    "gemm.packed",
    "gemm.stack",
    "gemm.strips",
    "ground.dispatch",
    "half.arrays",
    "ground.machine",
    "ground.memory",
    "ground.scalars",
    "ground.threads",
    "loss.cross_entropy",
    "loss.cross_entropy_arrays",
    "loss.elementwise",
    "loss.elementwise_arrays",
    "norm.arrays",
    "program.attend",
    "program.keep",
    "program.plan",
    "program.record",
    "program.state",
    "program.step",
    "rowwise.add_norm_arrays",
    "rowwise.dropout",
    "rowwise.gate",
    "rowwise.norms",
    "rowwise.norms_arrays",
    "rowwise.prelu",
    "rowwise.prelu_arrays",
    "rowwise.softmax_arrays",
    "update.arrays",
    "update.rules",
}


def is_face(ext):
    return ext.name.removeprefix("fastnn.kernels.") in FACES


class BuildExt(build_ext):
    """Compiles the leaves, and asks the compiler what it can do before it builds anything."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or jobs()
        # The build directory may hold objects that were compiled with other flags.
        self.force = self.force or DEBUG or os.environ.get("FASTNN_NO_OPENMP") == "1"

    def build_extensions(self):
        if not self.target("sizeof(void *) == 8") and self.target("1"):
            raise SystemExit("fastnn needs a compiler for 64 bits: it counts elements in int64_t")
        flags = [*FLAGS, *self.compiler_flags()]
        openmp, openmp_libraries = self.openmp_flags()
        sets = {"baseline": ""}
        if self.defines("__x86_64__"):
            sets = ISA_FLAGS
        elif self.defines("__aarch64__") and sys.platform == "linux":
            sets = ARM_FLAGS
        isas = {isa: given.split() for isa, given in sets.items()}
        wanted = set(isas)
        isas = {isa: given for isa, given in isas.items() if self.compiles("int x;", given)}
        if missing := wanted - set(isas):
            print(
                f"warning: this compiler lacks {', '.join(sorted(missing))}; fastnn will too",
                file=sys.stderr,
            )
        for ext in self.extensions:
            ext.extra_compile_args = [*flags, *openmp, FACE_SIZE if is_face(ext) else BODY_SIZE]
            ext.extra_link_args = [
                *openmp_libraries,
                *(LIBRARIES if sys.platform == "linux" else []),
                *([] if DEBUG or sys.platform == "darwin" else ["-Wl,-s"]),
            ]
            if ext.name.endswith(".dispatch"):
                ext.define_macros.append(("FASTNN_SETS", " ".join(f"SET({isa})" for isa in isas)))
                ext.define_macros.append(("FASTNN_CFLAGS", f'"{" ".join(ext.extra_compile_args)}"'))
                ext.extra_objects = self.compile_leaves(isas, flags)
        super().build_extensions()

    def compile_leaves(self, isas, flags):
        """One object for each instruction set and real type."""

        def compile_one(isa, bits):
            folder = Path(self.build_temp) / "leaves" / f"{isa}_f{bits}"
            built = str(folder / Path(LEAVES).with_suffix(".o"))
            sources = [LEAVES, *HEADERS, __file__]
            if Path(built).exists() and not self.force and not newer_group(sources, built):
                return [built]
            macros = [("FASTNN_ISA", isa), ("FASTNN_REAL", str(bits))]
            warnings = ["-Wall", "-Wextra", "-Wdouble-promotion", "-Wno-psabi"]
            return self.compiler.compile(
                [LEAVES],
                output_dir=str(folder),
                macros=macros,
                include_dirs=INCLUDE,
                extra_postargs=[*flags, "-fPIC", *warnings, *isas[isa]],
            )

        with ThreadPoolExecutor(jobs()) as pool:
            pending = [pool.submit(compile_one, isa, bits) for isa in isas for bits in (32, 64)]
            return [obj for job in pending for obj in job.result()]

    def compiler_flags(self):
        """Return how multiply-adds are fused, which the error bounds assume, and gcc's own flags.

        clang's `fast` fuses after inlining, in one copy of a loop and not in another; its `on`
        fuses each expression as it is written, the same in all copies. gcc before 14 has no `on`.
        gcc's copies of functions for constant arguments have loops that run long anyway.
        """
        if self.defines("__clang__"):
            return ["-ffp-contract=on"]
        return ["-ffp-contract=fast", "-fno-ipa-cp-clone"]

    def openmp_flags(self):
        """Return the flags of OpenMP for the compiler, and those for the linker."""
        if os.environ.get("FASTNN_NO_OPENMP") == "1":
            return [], []
        program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }"
        candidates = [(["-fopenmp"], ["-fopenmp"])]
        for folder in BREWED if sys.platform == "darwin" else ():  # Apple's clang has no runtime
            compiling = ["-Xpreprocessor", "-fopenmp", f"-I{folder}/include"]
            candidates.append((compiling, [f"-L{folder}/lib", "-lomp"]))
        for compiling, linking in candidates:
            if self.compiles(program, compiling, linking):
                return compiling, linking
        print(
            "warning: this compiler has no OpenMP; fastnn will run on one thread", file=sys.stderr
        )
        return [], []

    def defines(self, macro):
        return self.compiles(f"#ifndef {macro}\n#error\n#endif\nint x;", [])

    def target(self, condition):
        """True if a condition on the target machine holds."""
        return self.compiles(f"typedef char holds[{condition} ? 1 : -1];", [])

    def compiles(self, program, flags, linked=None):
        """True if the compiler accepts the flags, and the linker `linked` unless it is None."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=flags
                )
                if linked is not None:
                    self.compiler.link_executable(
                        objects, str(Path(folder) / "probe"), extra_postargs=linked
                    )
            except Exception:  # each compiler class raises its own; any failure means no
                return False
        return True


# What Cython puts into every module (function objects, import of C functions, ...) stands once, in
# a module of its own: a tenth of the wheel.
SHARED = "fastnn.kernels._shared"
extensions = [Extension(SHARED, [f"{KERNELS}/_shared.c"], define_macros=MACROS[1:])]
extensions += [
    Extension(
        ".".join(path.with_suffix("").parts[1:]),
        [str(path)],
        include_dirs=[*INCLUDE, numpy.get_include()],
        define_macros=[*MACROS],
        depends=[header for header in HEADERS if Path(header).name in INCLUDED],
    )
    for path in SOURCES
]
# The table of leaves is linked into dispatch.
[dispatch] = [ext for ext in extensions if ext.name.endswith(".dispatch")]
dispatch.depends += [LEAVES, *HEADERS]

setup(
    ext_modules=cythonize(
        extensions,
        include_path=["src"],
        shared_utility_qualified_name=SHARED,
        shared_utility_features_disabled=["MemoryView"],
        nthreads=jobs() if jobs() > 1 and sys.platform != "darwin" else 0,
        compiler_directives={
            "language_level": 3,
            "cdivision": True,
            "binding": True,
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": BuildExt},
)
