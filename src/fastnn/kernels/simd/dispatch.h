/* dispatch.h: which tables of leaves were built, and which of them this CPU can run. Included by dispatch.pyx alone, compiled for the baseline. */
#ifndef FASTNN_DISPATCH_H
#define FASTNN_DISPATCH_H

#include <stddef.h>

#include "leaves.h"

struct fastnn_isa {
    const char *name;
    int (*cpu_has)(void);
    const struct fastnn_leaves_f32 *f32;
    const struct fastnn_leaves_f64 *f64;
};

static int has_baseline(void) { return 1; }

#define DECLARE(isa)                                                                                                                                 \
    extern const struct fastnn_leaves_f32 fastnn_leaves_##isa##_f32;                                                                                 \
    extern const struct fastnn_leaves_f64 fastnn_leaves_##isa##_f64;
#define ENTRY(isa) {#isa, has_##isa, &fastnn_leaves_##isa##_f32, &fastnn_leaves_##isa##_f64}

DECLARE(baseline)
#ifdef FASTNN_HAVE_AVX2
DECLARE(avx2)
/* The builtins ask the operating system too (XGETBV): registers that are not saved across a context switch do not count. */
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#ifdef FASTNN_HAVE_AVX512
DECLARE(avx512)
static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq");
}
#endif

/* From the narrowest to the widest. */
static const struct fastnn_isa fastnn_isas[] = {
    ENTRY(baseline),
#ifdef FASTNN_HAVE_AVX2
    ENTRY(avx2),
#endif
#ifdef FASTNN_HAVE_AVX512
    ENTRY(avx512),
#endif
};
enum { FASTNN_ISA_COUNT = sizeof fastnn_isas / sizeof *fastnn_isas };

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
