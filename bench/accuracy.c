/* accuracy.c: errors of the elementary functions in vecmath.h, and of the activations that use
 * them, in units in the last place (ulp).
 *
 * accuracy.py compiles it once per instruction set and real type. The reference is libm one
 * precision up: double for float, long double for double. */
#include "leaves.h"
#include "vec.h"

#include "activation.h"
#include "vecmath.h"

#include <float.h>

#if FASTNN_REAL == 32
typedef double wide;
typedef uint32_t pattern;
#define WIDE(f) f
#define MANT_DIG FLT_MANT_DIG
#define MIN_EXP FLT_MIN_EXP
#else
typedef long double wide;
typedef uint64_t pattern;
#define WIDE(f) f##l
#define MANT_DIG DBL_MANT_DIG
#define MIN_EXP DBL_MIN_EXP
#endif

static wide exact_sigmoid(wide x) { return 1 / (1 + WIDE(exp)(-x)); }

/* z erfc(-z / sqrt 2) / 2. The rounding of the argument a is corrected with the derivative of log
 * erfc, about -2 |a| in the far tail, where it matters. */
static wide exact_gelu(wide z) {
    const wide a = -z * (wide)0.70710678118654752440L, half_square = z * z / 2;
    const wide low = WIDE(fma)(z, z / 2, -half_square), d = WIDE(fma)(a, a, -half_square) - low;
    return z / 2 * WIDE(erfc)(a) * (a > 1 ? 1 + d : 1);
}

static wide gelu_tanh_argument(wide z) {
    return (wide)1.59576912160573071176L * (z + (wide)0.044715L * z * z * z);
}

/* exp2 is used for attention weights only: no positive arguments, and no subnormal results, which
 * only AVX-512 gives. */
static wide exp2_argument(wide x) {
    return x > REAL_MAX_EXP - 1 || x < 1 - REAL_MAX_EXP ? 0 : -(x < 0 ? -x : x);
}

static vec exp2_argument_vec(vec v) {
    return choose(abs_vec(v) > REAL_MAX_EXP - 1, (vec){0}, -abs_vec(v));
}

/* Name, the function one precision up, and ours. */
#define EACH_FUNCTION(F)                                                                   \
    F(exp, WIDE(exp)(x), exp_vec(v))                                                       \
    F(exp2, WIDE(exp2)(exp2_argument(x)), exp2_vec(exp2_argument_vec(v)))                  \
    F(one_minus_exp, -WIDE(expm1)(-WIDE(fabs)(x)), one_minus_exp(abs_vec(v)))              \
    F(sigmoid, exact_sigmoid(x), sigmoid_vec(v))                                           \
    F(tanh, WIDE(tanh)(x), tanh_vec(v))                                                    \
    F(erf, WIDE(erf)(x), erf_vec(v))                                                       \
    F(log, WIDE(log)(x), log_vec(v))                                                       \
    F(log1p, WIDE(log1p)(x), log1p_vec(v))                                                 \
    F(softplus, (x < 0 ? 0 : x) + WIDE(log1p)(WIDE(exp)(-WIDE(fabs)(x))), softplus_vec(v)) \
    F(gelu, x == -INFINITY ? 0 : exact_gelu(x), activate(FASTNN_ACT_GELU, v))              \
    F(gelu_tanh, x == -INFINITY ? 0 : x * exact_sigmoid(gelu_tanh_argument(x)),            \
      activate(FASTNN_ACT_GELU_TANH, v))                                                   \
    F(silu, x == -INFINITY ? 0 : x * exact_sigmoid(x), activate(FASTNN_ACT_SILU, v))

#define NUMBER(name, exact, ours) NUMBER_##name,
#define EXACT(name, exact, ours) \
    case NUMBER_##name: return exact;
#define OURS(name, exact, ours) \
    case NUMBER_##name: return ours;

enum { EACH_FUNCTION(NUMBER) FUNCTIONS };

static wide exact(int function, wide x) {
    switch (function) { EACH_FUNCTION(EXACT) }
    return 0;
}

static vec ours(int function, vec v) {
    switch (function) { EACH_FUNCTION(OURS) }
    return v;
}

/* |got - want| in ulp of want; infinite if only one of them is NaN or, after rounding, infinite. */
static double error_in_ulp(real got, wide want) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    const real rounded = (real)want;
    if (isinf(got) || isinf(rounded)) return got == rounded ? 0 : INFINITY;
    int exponent = MIN_EXP;
    if (want != 0) WIDE(frexp)(want, &exponent);
    if (exponent < MIN_EXP) exponent = MIN_EXP;
    return (double)WIDE(ldexp)(WIDE(fabs)((wide)got - want), MANT_DIG - exponent);
}

/* Return the worst error over the inputs with bit patterns first, first + step, ... (count of
 * them), and that input in *where. For z < 0 gelu_tanh is measured in (1 + |argument of its
 * sigmoid|) ulp, because exp magnifies the rounding error of the argument. */
double worst_error(int function, pattern first, pattern step, int64_t count, real *where) {
    double worst = 0;
    for (int64_t i = 0; i < count; i += LANES) {
        real x[LANES], y[LANES];
        for (int l = 0; l < LANES; l++) {
            const pattern bits_of_x = first + step * (pattern)(i + l < count ? i + l : 0);
            memcpy(x + l, &bits_of_x, sizeof *x);
        }
        store(y, ours(function, load(x)));
        for (int l = 0; l < LANES; l++) {
            const wide want = exact(function, (wide)x[l]);
            double error = error_in_ulp(y[l], want);
            if (x[l] == 0 && !signbit(y[l]) != !signbit(want)) error = INFINITY;
            if (function == NUMBER_gelu_tanh && x[l] < 0)
                error /= 1 + fabs((double)gelu_tanh_argument((wide)x[l]));
            if (error > worst) {
                worst = error;
                *where = x[l];
            }
        }
    }
    return worst;
}

/* False if long double is no wider than double: doubles then have no reference. */
int truth_is_wider(void) { return sizeof(real) == 4 || LDBL_MANT_DIG > DBL_MANT_DIG; }
