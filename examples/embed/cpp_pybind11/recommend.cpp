// Recommend to each user the k items with the largest dot products, block by block, so that the
// scores stay in cache.
#include <pybind11/numpy.h> // includes Python.h, which must come before fastnn.h
#include <pybind11/pybind11.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "fastnn.h"

namespace py = pybind11;
using Matrix = py::array_t<float, py::array::c_style>;

static void check(int status) {
    if (status != FASTNN_OK) throw std::runtime_error(fastnn_strerror(status));
}

// The indices of the k best items of each user, best first; ties by index.
static py::array_t<int64_t> recommend(const Matrix &users, const Matrix &items, int64_t k) {
    constexpr int64_t BLOCK = 16;
    const int64_t n_users = users.shape(0), n_items = items.shape(0), width = users.shape(1);
    if (items.shape(1) != width || k < 0 || k > n_items)
        throw std::invalid_argument(
            "users and items must have the same width, and k items must be there");
    py::array_t<int64_t> best({n_users, k});
    const float *u = users.data(), *v = items.data();
    int64_t *out = best.mutable_data();
    py::gil_scoped_release nogil;
    std::vector<float> scores(BLOCK * n_items);
    std::vector<int64_t> order(n_items);
    for (int64_t i = 0; i < n_users; i += BLOCK) {
        const int64_t rows = std::min(BLOCK, n_users - i);
        check(fastnn_gemm_f32(rows, n_items, width, 1, u + i * width, width, 1, v, 1, width, 0,
                              scores.data(), n_items, 1, nullptr, FASTNN_NONE, nullptr));
        for (int64_t r = 0; r < rows; r++) {
            const float *row = scores.data() + r * n_items;
            std::iota(order.begin(), order.end(), 0);
            std::partial_sort(order.begin(), order.begin() + k, order.end(),
                              [row](int64_t a, int64_t b) {
                                  return row[a] > row[b] || (row[a] == row[b] && a < b);
                              });
            std::copy_n(order.begin(), k, out + (i + r) * k);
        }
    }
    return best;
}

// As recommend, for users whose embeddings a network computes from their features.
static py::array_t<int64_t> recommend_for(const py::object &tower, const Matrix &features,
                                          const Matrix &items, int64_t k) {
    const fastnn_plan *plan = fastnn_plan_from_object(tower.ptr());
    if (!plan) throw py::error_already_set();
    int64_t n_in = 0, n_out = 0;
    check(fastnn_plan_info(plan, nullptr, &n_in, &n_out));
    if (features.shape(1) != n_in) throw std::invalid_argument("features do not fit the network");
    Matrix users({features.shape(0), static_cast<py::ssize_t>(n_out)});
    const float *x = features.data();
    float *y = users.mutable_data();
    const int64_t rows = features.shape(0);
    int status;
    {
        py::gil_scoped_release nogil;
        status = fastnn_plan_run(plan, x, y, rows);
    }
    check(status);
    return recommend(users, items, k);
}

PYBIND11_MODULE(recommend, m) {
    if (import_fastnn() < 0) throw py::error_already_set();
    m.def("recommend", &recommend);
    m.def("recommend_for", &recommend_for);
}
