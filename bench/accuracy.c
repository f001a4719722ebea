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

enum {
    EXP,
    EXP2,
    ONE_MINUS_EXP,
    SIGMOID,
    TANH,
    ERF,
    LOG,
    LOG1P,
    SOFTPLUS,
    GELU,
    GELU_TANH,
    SILU,
    FUNCTIONS
};

static wide exact(int function, wide x) {
    switch (function) {
    case EXP: return WIDE(exp)(x);
    case ONE_MINUS_EXP: return -WIDE(expm1)(-WIDE(fabs)(x));
    case EXP2: return WIDE(exp2)(exp2_argument(x));
    case SIGMOID: return exact_sigmoid(x);
    case TANH: return WIDE(tanh)(x);
    case ERF: return WIDE(erf)(x);
    case LOG: return WIDE(log)(x);
    case LOG1P: return WIDE(log1p)(x);
    case SOFTPLUS: return (x < 0 ? 0 : x) + WIDE(log1p)(WIDE(exp)(-WIDE(fabs)(x)));
    case GELU: return x == -INFINITY ? 0 : exact_gelu(x);
    case GELU_TANH: return x == -INFINITY ? 0 : x * exact_sigmoid(gelu_tanh_argument(x));
    default: return x == -INFINITY ? 0 : x * exact_sigmoid(x);
    }
}

static vec ours(int function, vec x) {
    switch (function) {
    case EXP: return exp_vec(x);
    case ONE_MINUS_EXP: return one_minus_exp(abs_vec(x));
    case EXP2: return exp2_vec(choose(abs_vec(x) > REAL_MAX_EXP - 1, (vec){0}, -abs_vec(x)));
    case SIGMOID: return sigmoid_vec(x);
    case TANH: return tanh_vec(x);
    case ERF: return erf_vec(x);
    case LOG: return log_vec(x);
    case LOG1P: return log1p_vec(x);
    case SOFTPLUS: return softplus_vec(x);
    case GELU: return activate(FASTNN_ACT_GELU, x);
    case GELU_TANH: return activate(FASTNN_ACT_GELU_TANH, x);
    default: return activate(FASTNN_ACT_SILU, x);
    }
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
            if (function == GELU_TANH && x[l] < 0)
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
