/* attend.cpp: causal attention with C++ views, and what they refuse. */
#include <cmath>
#include <cstdio>
#include <vector>

#include "fastnn_program.h"
#include "fastnn.hpp"

int main() {
    if (fastnn_open() != FASTNN_OK) return 1;
    const std::int64_t batch = 2, heads = 4, positions = 33, size = 16;
    std::vector<float> q(batch * heads * positions * size), k(q.size()), v(q.size()), out(q.size());
    for (std::size_t i = 0; i < q.size(); i++) {
        q[i] = std::sin(static_cast<float>(i));
        k[i] = std::cos(static_cast<float>(3 * i));
        v[i] = static_cast<float>(i % 7);
    }
    fastnn::attention_options<float> options;
    options.causal = true;
    fastnn::attention<float>({q, batch, heads, positions, size}, {k, batch, heads, positions, size},
                             {v, batch, heads, positions, size},
                             {out, batch, heads, positions, size}, options);
    /* The first query attends to the first key alone. */
    for (std::int64_t i = 0; i < size; i++)
        if (std::fabs(out[i] - v[i]) > 1e-5f) return 2;

    std::vector<double> a{1, 2, 3, 4, 5, 6}, c(4);
    fastnn::matmul<double>({a, 2, 3}, fastnn::matrix<const double>(a, 2, 3).transposed(),
                           {c, 2, 2});
    if (c != std::vector<double>{14, 32, 32, 77}) return 3;
    try {
        fastnn::matmul<double>({a, 2, 3}, {a, 2, 3}, {c, 2, 2});
        return 4;
    } catch (const std::invalid_argument &refused) {
        std::printf("%s\n", refused.what());
    }
    std::printf("attention of %d positions, %s\n", static_cast<int>(positions), fastnn_table->isa);
    return 0;
}
