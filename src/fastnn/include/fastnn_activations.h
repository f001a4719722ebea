/* fastnn_activations.h: the table of activations.
 *
 * ACTIVATION(NAME, name, code, reads, forward, backward, y, dx)
 *
 * NAME and name are the names in C and Python; the code identifies it in calls and never changes.
 * `reads` says whether backward reads the OUTPUT or the INPUT of the activation. `forward` and
 * `backward` are LIGHT (a few operations) or HEAVY (an exponential: less work per thread is
 * enough). y and dx are the docstrings of the functions on arrays, such as relu and relu_backward.
 * The vector functions, activate_NAME and gradient_NAME, are in rowwise/activation.h.
 */
#ifndef FASTNN_ACTIVATIONS_H
#define FASTNN_ACTIVATIONS_H

/* clang-format off */
#define FASTNN_ACTIVATIONS(ACTIVATION)                                                            \
    ACTIVATION(RELU, relu, 1, OUTPUT, LIGHT, LIGHT,                                               \
               "max(x, 0); NaN stays NaN. Exact",                                                 \
               "dy where y > 0, else 0 (at 0 by convention), and dy where y is NaN")              \
    ACTIVATION(GELU, gelu, 2, INPUT, HEAVY, HEAVY,                                                \
               "x Phi(x), Phi the distribution function of the normal distribution",              \
               "dy (Phi(x) + x phi(x)), phi the density of the normal distribution")              \
    ACTIVATION(GELU_TANH, gelu_tanh, 3, INPUT, HEAVY, HEAVY,                                      \
               "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, the GELU of GPT-2",            \
               "dy times the derivative of gelu_tanh at x")                                       \
    ACTIVATION(TANH, tanh, 4, OUTPUT, HEAVY, LIGHT,                                               \
               "the hyperbolic tangent; within 1.5 ulp",                                          \
               "dy (1 - y^2)")                                                                    \
    ACTIVATION(SIGMOID, sigmoid, 5, OUTPUT, HEAVY, LIGHT,                                         \
               "1 / (1 + exp(-x)), down to where it underflows; within 2 ulp",                    \
               "dy y (1 - y)")                                                                    \
    ACTIVATION(SILU, silu, 6, INPUT, HEAVY, HEAVY,                                                \
               "x sigmoid(x), also called swish; within 2.5 ulp. -inf gives 0",                   \
               "dy s (1 + x (1 - s)) with s = sigmoid(x)")                                        \
    ACTIVATION(SOFTPLUS, softplus, 7, OUTPUT, HEAVY, HEAVY,                                       \
               "log(1 + exp(x)), never below 0 nor x; within 2 ulp, in both tails too",           \
               "dy sigmoid(x) = dy (1 - exp(-y))")
/* clang-format on */

#endif
