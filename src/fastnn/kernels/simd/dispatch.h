/* dispatch.h: the tables of primitives that were built, which of them this CPU can run, and
 * inheritance between them. Included by dispatch.pyx and, for programs without Python, program.c;
 * compiled for the baseline. */
#ifndef FASTNN_DISPATCH_H
#define FASTNN_DISPATCH_H

#include <stddef.h>

#include "leaves.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
/* True if the CPU has tiles for bfloat16 and int8 and Linux lets this process use them
 * (ARCH_REQ_XCOMP_PERM of XFEATURE_XTILEDATA), which it does not if it cannot save them. */
static int fastnn_has_amx(void) {
    const unsigned wanted = 1u << 22 | 1u << 24 | 1u << 25;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & wanted) != wanted) return 0;
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}
#else
#define fastnn_has_amx() 0
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define LINUX_HAS(bit) (getauxval(AT_HWCAP2) >> (bit) & 1)
#endif

/* What a CPU needs for an instruction set, one row each; -1: it has it, but does better without
 * unless FASTNN_ISA asks for it. setup.py has their compiler flags and their order, from the
 * narrowest to the widest; each includes those before it. The builtin also asks the operating
 * system: registers that it does not save do not count. */
#define CPU(feature) __builtin_cpu_supports(feature)
#define HAS_baseline 1
#define HAS_avx2 (CPU("avx2") && CPU("fma"))
#define HAS_avx512 \
    (HAS_avx2 && CPU("avx512f") && CPU("avx512vl") && CPU("avx512bw") && CPU("avx512dq"))
#define HAS_avx512vnni (HAS_avx512 && CPU("avx512vnni"))
/* AMD multiplies pairs of bfloat16 twice as fast as float32, Intel more slowly. */
#define HAS_avx512bf16 (HAS_avx512vnni && CPU("avx512bf16") ? __builtin_cpu_is("amd") ? 1 : -1 : 0)
#define HAS_avx512amx (HAS_avx512bf16 && fastnn_has_amx())
#define HAS_neoni8mm LINUX_HAS(13) /* HWCAP2_I8MM */
#define HAS_neonbf16 (HAS_neoni8mm && LINUX_HAS(14))

struct fastnn_set {
    const char *name;
    int (*cpu_has)(void);
    const struct fastnn_leaves_f32 *f32;
    const struct fastnn_leaves_f64 *f64;
};

/* FASTNN_SETS comes from setup.py: SET(baseline), and SET(name) for every other set that was
 * built. */
#define SET(name)                                                     \
    extern const struct fastnn_leaves_f32 fastnn_leaves_##name##_f32; \
    extern const struct fastnn_leaves_f64 fastnn_leaves_##name##_f64; \
    static int has_##name(void) { return HAS_##name; }
FASTNN_SETS
#undef SET
#define SET(name) {#name, has_##name, &fastnn_leaves_##name##_f32, &fastnn_leaves_##name##_f64},
static const struct fastnn_set fastnn_sets[] = {FASTNN_SETS};
#undef SET
enum { FASTNN_SET_COUNT = sizeof fastnn_sets / sizeof *fastnn_sets };

/* A set inherits the entries that it leaves empty from the sets before it. */
#define INHERIT_SIZE(name, value) to->name = from->name ? from->name : to->name;
#define INHERIT(result, name, ...) to->name = from->name ? from->name : to->name;
static void fastnn_inherit_f32(struct fastnn_leaves_f32 *to, const struct fastnn_leaves_f32 *from) {
    FASTNN_SIZES(INHERIT_SIZE)
    FASTNN_LEAVES(INHERIT, float)
    FASTNN_SIZES_F32(INHERIT_SIZE)
    FASTNN_LEAVES_F32(INHERIT)
    FASTNN_LEAVES_NATIVE(INHERIT)
}
static void fastnn_inherit_f64(struct fastnn_leaves_f64 *to, const struct fastnn_leaves_f64 *from) {
    FASTNN_SIZES(INHERIT_SIZE)
    FASTNN_LEAVES(INHERIT, double)
}

#ifdef _OPENMP
enum { FASTNN_OPENMP = _OPENMP };
#else
enum { FASTNN_OPENMP = 0 };
#endif

#ifndef FASTNN_CFLAGS
#define FASTNN_CFLAGS ""
#endif
#if defined(__clang__)
#define FASTNN_COMPILER "clang " __clang_version__
#else
#define FASTNN_COMPILER "gcc " __VERSION__
#endif

#endif
