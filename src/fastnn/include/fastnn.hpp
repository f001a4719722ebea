/* fastnn.hpp: fastnn.h for C++17, with views that carry their sizes and exceptions for statuses.
 *
 *     #include "fastnn_program.h"     or Python.h and fastnn.h, in an extension
 *     #include "fastnn.hpp"
 *     ...
 *     std::vector<float> x(rows * n_in), w(n_in * n_out), y(rows * n_out);
 *     fastnn::matmul<float>({x, rows, n_in}, {w, n_in, n_out}, {y, rows, n_out});
 *
 * Views own nothing. A size that does not fit throws std::invalid_argument, and a status other than
 * FASTNN_OK throws fastnn::error. Functions that are not here are called as in C, by
 * fastnn::check(fastnn_...). */
#ifndef FASTNN_HPP
#define FASTNN_HPP

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "fastnn.h"

namespace fastnn {

class error : public std::runtime_error {
  public:
    explicit error(int code) : std::runtime_error(fastnn_strerror(code)), status(code) {}
    int status;
};

inline void check(int status) {
    if (status != FASTNN_OK) throw error(status);
}

inline void require(bool holds, const char *what) {
    if (!holds) throw std::invalid_argument(std::string("fastnn: ") + what);
}

namespace detail {
/* A container of T, or of what T is const of. */
template <class C, class T>
using if_holds =
    std::enable_if_t<std::is_convertible_v<decltype(std::declval<C &>().data()), T *> &&
                     !std::is_same_v<std::remove_cv_t<std::remove_reference_t<C>>, T *>>;
} // namespace detail

/* n values side by side; empty by default, as an argument that is left out. */
template <class T> struct span {
    T *data = nullptr;
    std::int64_t size = 0;

    span() = default;
    span(T *first, std::int64_t n) : data(first), size(n) {}
    template <class C, class = detail::if_holds<C, T>>
    span(C &&values) : data(values.data()), size(static_cast<std::int64_t>(values.size())) {}
};

/* A matrix with any strides, counted in elements; rows side by side by default. */
template <class T> struct matrix {
    T *data;
    std::int64_t rows, cols, row_stride, col_stride;

    matrix(span<T> values, std::int64_t m, std::int64_t n)
        : data(values.data), rows(m), cols(n), row_stride(n), col_stride(1) {
        require(m >= 0 && n >= 0 && values.size >= m * n, "a matrix is larger than its values");
    }
    template <class C, class = detail::if_holds<C, T>>
    matrix(C &&values, std::int64_t m, std::int64_t n) : matrix(span<T>(values), m, n) {}
    matrix(T *first, std::int64_t m, std::int64_t n, std::int64_t rs, std::int64_t cs)
        : data(first), rows(m), cols(n), row_stride(rs), col_stride(cs) {}

    matrix transposed() const { return {data, cols, rows, col_stride, row_stride}; }
};

/* Vectors of `size` values for each batch, head and position, in this order by default. */
template <class T> struct heads {
    T *data;
    std::int64_t batch, count, positions, size;
    std::array<std::int64_t, 3> strides; /* along batch, head and position */

    heads(span<T> values, std::int64_t b, std::int64_t h, std::int64_t n, std::int64_t d)
        : data(values.data), batch(b), count(h), positions(n), size(d),
          strides{h * n * d, n * d, d} {
        require(b >= 0 && h >= 0 && n >= 0 && d >= 0 && values.size >= b * h * n * d,
                "heads are larger than their values");
    }
    template <class C, class = detail::if_holds<C, T>>
    heads(C &&values, std::int64_t b, std::int64_t h, std::int64_t n, std::int64_t d)
        : heads(span<T>(values), b, h, n, d) {}
};

namespace detail {
template <class T> constexpr bool is_float = std::is_same_v<T, float>;
template <class T> void require_real() {
    static_assert(is_float<T> || std::is_same_v<T, double>, "fastnn has float and double");
}
} // namespace detail

template <class T> struct product_options {
    T alpha = 1, beta = 0;
    span<const T> bias = {};
    int activation = FASTNN_NONE;
};

/* c := act(alpha a b + beta c + bias). */
template <class T>
void matmul(matrix<const T> a, matrix<const T> b, matrix<T> c, product_options<T> with = {}) {
    detail::require_real<T>();
    require(a.cols == b.rows, "matmul: a has other columns than b has rows");
    require(c.rows == a.rows && c.cols == b.cols, "matmul: c is not (rows of a, columns of b)");
    require(!with.bias.data || with.bias.size == c.cols, "matmul: bias is not one value a column");
    if constexpr (detail::is_float<T>)
        check(fastnn_gemm_f32(a.rows, b.cols, a.cols, with.alpha, a.data, a.row_stride,
                              a.col_stride, b.data, b.row_stride, b.col_stride, with.beta, c.data,
                              c.row_stride, c.col_stride, with.bias.data, with.activation,
                              nullptr));
    else
        check(fastnn_gemm_f64(a.rows, b.cols, a.cols, with.alpha, a.data, a.row_stride,
                              a.col_stride, b.data, b.row_stride, b.col_stride, with.beta, c.data,
                              c.row_stride, c.col_stride, with.bias.data, with.activation,
                              nullptr));
}

namespace detail {
template <class T> void require_rows(const matrix<const T> &x, const matrix<T> &y) {
    require_real<T>();
    require(x.rows == y.rows && x.cols == y.cols, "x and y differ in shape");
    require(x.col_stride == 1 && y.col_stride == 1, "rows must be contiguous");
}
} // namespace detail

/* y = softmax(x), row by row; y may be x. */
template <class T> void softmax(matrix<const T> x, matrix<T> y) {
    detail::require_rows(x, y);
    if constexpr (detail::is_float<T>)
        check(fastnn_softmax_f32(x.rows, x.cols, x.data, x.row_stride, y.data, y.row_stride));
    else
        check(fastnn_softmax_f64(x.rows, x.cols, x.data, x.row_stride, y.data, y.row_stride));
}

/* y = act(x); kind is FASTNN_RELU, FASTNN_GELU, ... y may be x. */
template <class T> void activation(int kind, matrix<const T> x, matrix<T> y) {
    detail::require_rows(x, y);
    if constexpr (detail::is_float<T>)
        check(fastnn_activation_f32(kind, x.rows, x.cols, x.data, x.row_stride, y.data,
                                    y.row_stride));
    else
        check(fastnn_activation_f64(kind, x.rows, x.cols, x.data, x.row_stride, y.data,
                                    y.row_stride));
}

template <class T> struct attention_options {
    bool causal = false;
    double scale = 0;                      /* 0: 1 / sqrt(size of a head) */
    span<const std::int64_t> lengths = {}; /* keys to attend to, one for each of the batch */
    span<T> lse = {};                      /* receives the log-sum-exp, for backward */
};

/* out = softmax(scale q k^T) v, for heads of q that are a multiple of those of k and v. */
template <class T>
void attention(heads<const T> q, heads<const T> k, heads<const T> v, heads<T> out,
               attention_options<T> with = {}) {
    detail::require_real<T>();
    require(q.size == k.size, "attention: q and k differ in the size of a head");
    require(k.count == v.count && k.positions == v.positions, "attention: k and v differ in shape");
    require(q.batch == k.batch && q.batch == v.batch && q.batch == out.batch,
            "attention: arguments differ in batch");
    require(out.count == q.count && out.positions == q.positions && out.size == v.size,
            "attention: out is not (batch, heads of q, positions of q, size of v)");
    require(!with.lengths.data || with.lengths.size == q.batch,
            "attention: lengths is not one for each of the batch");
    require(!with.lse.data || with.lse.size >= q.batch * q.count * q.positions,
            "attention: lse is too small");
    const std::int64_t sizes[] = {q.batch,     q.count, k.count, q.positions,
                                  k.positions, q.size,  v.size};
    const std::int64_t lengths_strides[] = {1, 0};
    const double scale =
        with.scale != 0 ? with.scale : 1 / std::sqrt(static_cast<double>(q.size > 0 ? q.size : 1));
    if constexpr (detail::is_float<T>)
        check(fastnn_attention_f32(sizes, q.data, q.strides.data(), k.data, k.strides.data(),
                                   v.data, v.strides.data(), out.data, out.strides.data(),
                                   with.lse.data, scale, with.causal, with.lengths.data,
                                   lengths_strides, FASTNN_NO_MASK, nullptr, nullptr, 0, 0, 0));
    else
        check(fastnn_attention_f64(sizes, q.data, q.strides.data(), k.data, k.strides.data(),
                                   v.data, v.strides.data(), out.data, out.strides.data(),
                                   with.lse.data, scale, with.causal, with.lengths.data,
                                   lengths_strides, FASTNN_NO_MASK, nullptr, nullptr, 0, 0, 0));
}

} // namespace fastnn

#endif
