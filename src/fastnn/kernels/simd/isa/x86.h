/* x86.h: what the x86 sets share. X86(op, ...) is the intrinsic for their vectors. at_least and
 * at_most keep NaN, since minps and maxps return their second operand if one is NaN. */
#define max_vec max_vec
INLINE vec max_vec(vec a, vec b) { return X86(max, (x86_vec)a, (x86_vec)b); }

#define at_least at_least
INLINE vec at_least(vec x, real low) { return X86(max, (x86_vec)splat(low), (x86_vec)x); }
#define at_most at_most
INLINE vec at_most(vec x, real high) { return X86(min, (x86_vec)splat(high), (x86_vec)x); }

#define sqrt_vec sqrt_vec
INLINE vec sqrt_vec(vec x) { return X86(sqrt, (x86_vec)x); }

#if defined(__FMA__)
#define fused_minus fused_minus
INLINE vec fused_minus(vec a, vec b, vec c) {
    return X86(fmsub, (x86_vec)a, (x86_vec)b, (x86_vec)c);
}
#endif

#if defined(__AVX__)
/* Two pieces of 16 bytes, the second one inserted as it is loaded: no shuffle across 16 bytes. */
#define load_pieces(a, b) load_pieces_(a, b)
typedef real pieces_ __attribute__((vector_size(32)));
INLINE pieces_ load_pieces_(const real *a, const real *b) {
#if FASTNN_REAL == 32
    return (pieces_)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(a)), _mm_loadu_ps(b),
                                         1);
#else
    return (pieces_)_mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(a)), _mm_loadu_pd(b),
                                         1);
#endif
}
#endif

#define stream_end stream_end
INLINE void stream_end(void) { _mm_sfence(); }
