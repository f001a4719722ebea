/* Hardware limits that kernels are compared with: fused multiply-adds, bytes read and bytes copied
 * per second.
 *
 * One function per quantity, instruction set and real type, written with vector extensions: the
 * lanes are explicit, so -O3 need not reassociate anything. The caller handles threads and clocks:
 * fastnn.bench.machine calls these from Python threads, which run in parallel under ctypes.
 */
#include <stdint.h>

#if defined(__x86_64__)
#define SET_BASELINE
#define SET_AVX2 __attribute__((target("avx2,fma")))
#define SET_AVX512 __attribute__((target("avx512f")))
#else
#define SET_BASELINE
#endif

/* Apply F to 0..11 and to 0..23. Each accumulator is its own variable, since gcc 12 keeps an array
 * of vectors on the stack. */
#define EACH_4(F, a, b, c, d) F(a) F(b) F(c) F(d)
#define EACH_12(F) EACH_4(F, 0, 1, 2, 3) EACH_4(F, 4, 5, 6, 7) EACH_4(F, 8, 9, 10, 11)
#define EACH_24(F) \
    EACH_12(F) EACH_4(F, 12, 13, 14, 15) EACH_4(F, 16, 17, 18, 19) EACH_4(F, 20, 21, 22, 23)

/* Independent chains of x = x * factor + addend. A core needs ports x latency of them in flight:
 * 2 x 4 = 8 on current x86, 4 x 4 = 16 on wide ARM cores. 12 chains and the two constants fit the
 * 16 registers of SSE and AVX2, 24 chains the 32 of AVX-512 and NEON. With factor < 1 they
 * converge, so no value overflows or becomes subnormal. */
#define CHAIN_START(i) vector x##i = zero + (real)(i + 1);
#define CHAIN_STEP(i) x##i = x##i * factor + addend;
#define CHAIN_SUM(i) sum += x##i;

/* One pass is 2 * LANES * (12 or 24) operations; the returned value depends on all of them. */
#define DEFINE_FMA(NAME, SET, REAL, LANES, EACH)                                               \
    SET double fma_##NAME(int64_t passes, REAL scalar_factor, REAL scalar_addend) {            \
        typedef REAL real;                                                                     \
        typedef REAL vector __attribute__((vector_size(LANES * sizeof(REAL))));                \
        const vector zero = {0}, factor = zero + scalar_factor, addend = zero + scalar_addend; \
        EACH(CHAIN_START)                                                                      \
        for (int64_t pass = 0; pass < passes; ++pass) {                                        \
            EACH(CHAIN_STEP)                                                                   \
        }                                                                                      \
        vector sum = zero;                                                                     \
        EACH(CHAIN_SUM)                                                                        \
        double total = 0;                                                                      \
        for (int lane = 0; lane < LANES; ++lane) total += sum[lane];                           \
        return total;                                                                          \
    }                                                                                          \
    int64_t fma_flops_##NAME(void) { return (0 EACH(CHAIN_COUNT)) * 2 * (LANES); }
#define CHAIN_COUNT(i) +1

/* Compiler barrier: without it, repetitions could be folded into the last one. */
#define FORGET_MEMORY() __asm__ volatile("" ::: "memory")

#define READ_START(i) vector x##i = {0};
#define READ_STEP(i) x##i ^= from[at + i];
#define READ_SUM(i) sum ^= x##i;
#define COPY_STEP(i) to[at + i] = from[at + i];

/* Both pass over `bytes` bytes `repeats` times; a remainder of fewer than 12 vectors is not
 * touched. */
#define DEFINE_STREAMS(NAME, SET, BYTES)                                                     \
    SET uint64_t read_##NAME(const void *source, int64_t bytes, int64_t repeats) {           \
        typedef uint64_t vector __attribute__((vector_size(BYTES), may_alias));              \
        const vector *from = source;                                                         \
        const int64_t count = bytes / BYTES;                                                 \
        EACH_12(READ_START)                                                                  \
        for (int64_t repeat = 0; repeat < repeats; ++repeat) {                               \
            FORGET_MEMORY();                                                                 \
            for (int64_t at = 0; at + 12 <= count; at += 12) {                               \
                EACH_12(READ_STEP)                                                           \
            }                                                                                \
        }                                                                                    \
        vector sum = {0};                                                                    \
        EACH_12(READ_SUM)                                                                    \
        return sum[0] ^ sum[1];                                                              \
    }                                                                                        \
    SET void copy_##NAME(void *target, const void *source, int64_t bytes, int64_t repeats) { \
        typedef uint64_t vector __attribute__((vector_size(BYTES), may_alias));              \
        const vector *restrict from = source;                                                \
        vector *restrict to = target;                                                        \
        const int64_t count = bytes / BYTES;                                                 \
        for (int64_t repeat = 0; repeat < repeats; ++repeat) {                               \
            FORGET_MEMORY();                                                                 \
            for (int64_t at = 0; at + 12 <= count; at += 12) {                               \
                EACH_12(COPY_STEP)                                                           \
            }                                                                                \
        }                                                                                    \
    }

#if defined(__x86_64__)
/* SSE2 has no fused multiply-add: a multiplication and an addition count as the same two
 * operations. */
DEFINE_FMA(baseline_f32, SET_BASELINE, float, 4, EACH_12)
DEFINE_FMA(baseline_f64, SET_BASELINE, double, 2, EACH_12)
DEFINE_FMA(avx2_f32, SET_AVX2, float, 8, EACH_12)
DEFINE_FMA(avx2_f64, SET_AVX2, double, 4, EACH_12)
DEFINE_FMA(avx512_f32, SET_AVX512, float, 16, EACH_24)
DEFINE_FMA(avx512_f64, SET_AVX512, double, 8, EACH_24)
DEFINE_STREAMS(baseline, SET_BASELINE, 16)
DEFINE_STREAMS(avx2, SET_AVX2, 32)
DEFINE_STREAMS(avx512, SET_AVX512, 64)
#else
/* On aarch64 the baseline is NEON. Elsewhere the compiler lowers the vectors as it can. */
DEFINE_FMA(baseline_f32, SET_BASELINE, float, 4, EACH_24)
DEFINE_FMA(baseline_f64, SET_BASELINE, double, 2, EACH_24)
DEFINE_STREAMS(baseline, SET_BASELINE, 16)
#endif

/* Return the widest instruction set that the CPU and its operating system support, a suffix of the
 * names above. */
const char *widest_isa(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return "avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2";
#endif
    return "baseline";
}
