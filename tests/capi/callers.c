/* callers.c: a C extension that calls fastnn through its table, as third-party code does. The tests
 * next to it build and drive it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fastnn.h"

static PyObject *about(PyObject *module, PyObject *args) {
    (void)module, (void)args;
    return Py_BuildValue(
        "{s:I,s:I,s:K,s:K,s:s,s:s,s:K,s:K}", "abi", fastnn_table->abi_version, "api",
        fastnn_table->api_version, "size", (unsigned long long)fastnn_table->size, "compiled_size",
        (unsigned long long)sizeof(fastnn_api), "version", fastnn_table->version, "isa",
        fastnn_table->isa, "first", (unsigned long long)offsetof(fastnn_api, strerror),
        "softmax_f32", (unsigned long long)(uintptr_t)fastnn_softmax_f32);
}

/* Statuses of invalid calls, by name. Also checks that a refused call writes nothing. */
static PyObject *bad_calls(PyObject *module, PyObject *object) {
    (void)module;
    const fastnn_plan *plan = fastnn_plan_from_object(object);
    if (!plan) return NULL;
    float x[256], y[256];
    double d[16] = {0}, loss = 7;
    int64_t targets[4] = {0, 1, 2, 9};
    for (int i = 0; i < 256; i++) x[i] = 1, y[i] = 7;
    PyObject *found = PyDict_New();
#define CALL(name, call)                                                           \
    do {                                                                           \
        PyObject *status = PyLong_FromLong(call);                                  \
        if (!status || PyDict_SetItemString(found, name, status) < 0) return NULL; \
        Py_DECREF(status);                                                         \
    } while (0)
#define GEMM(m, n, k, a, b, c, act) \
    fastnn_gemm_f32(m, n, k, 1, a, 4, 1, b, 4, 1, 0, c, 4, 1, NULL, act, NULL)
    CALL("gemm: no a", GEMM(4, 4, 4, NULL, x, y, 0));
    CALL("gemm: no c", GEMM(4, 4, 4, x, x, NULL, 0));
    CALL("gemm: m < 0", GEMM(-4, 4, 4, x, x, y, 0));
    CALL("gemm: k < 0", GEMM(4, 4, -1, x, x, y, 0));
    CALL("gemm: activation", GEMM(4, 4, 4, x, x, y, 99));
    CALL("gemm: c is a", GEMM(4, 4, 4, y, x, y, 0));
    CALL("gemm: c overlaps b", GEMM(4, 4, 4, x, y + 15, y, 0));
    CALL("gemm: preact is c",
         fastnn_gemm_f32(4, 4, 4, 1, x, 4, 1, x, 4, 1, 0, y, 4, 1, NULL, 1, y));
    CALL("gemm: c overlaps bias",
         fastnn_gemm_f32(4, 4, 4, 1, x, 4, 1, x, 4, 1, 0, y, 4, 1, y + 3, 1, NULL));
    CALL("softmax: no x", fastnn_softmax_f32(4, 4, NULL, 4, y, 4));
    CALL("softmax: rows < 0", fastnn_softmax_f32(-1, 4, x, 4, y, 4));
    CALL("softmax: cols < 0", fastnn_softmax_f32(1, -4, x, 4, y, 4));
    CALL("activation: kind", fastnn_activation_f32(99, 4, 4, x, 4, y, 4));
    CALL("activation: no y", fastnn_activation_f32(FASTNN_RELU, 4, 4, x, 4, NULL, 4));
    CALL("linear_backward: no dw",
         fastnn_linear_backward_f32(4, 4, 4, x, x, 4, 1, x, 4, 1, NULL, 0, NULL, NULL, y));
    CALL("linear_backward: saved", fastnn_linear_backward_f32(4, 4, 4, x, x, 4, 1, x, 4, 1, NULL,
                                                              FASTNN_RELU, y, NULL, NULL));
    CALL("cross_entropy: target", fastnn_cross_entropy_f32(4, 4, x, 4, targets, y, 4, &loss));
    CALL("cross_entropy: no loss", fastnn_cross_entropy_f32(3, 4, x, 4, targets, y, 4, NULL));
    CALL("mse: n < 0", fastnn_mse_f32(-3, x, x, y, &loss));
    CALL("norm: no x", fastnn_frobenius_norm_f32(3, NULL, &loss));
    CALL("norm: n < 0", fastnn_frobenius_norm_f64(-3, d, &loss));
    CALL("sgd: no g", fastnn_sgd_f32(4, y, NULL, NULL, 1, 0, 0, 0, 1));
    CALL("adam: n < 0", fastnn_adam_f32(-4, y, x, x, x, 1, 1, 1, 1, 1, 0, 0, 1));
    const int64_t sizes[7] = {1, 2, 1, 4, 4, 4, 4}, strides[3] = {32, 16, 4},
                  bad[7] = {1, 3, 2, 4, 4, 4, 4};
#define ATTENTION(sizes, q, out, mask_kind, p)                                                  \
    fastnn_attention_f32(sizes, q, strides, x, strides, x, strides, out, strides, NULL, 0.5, 0, \
                         NULL, NULL, mask_kind, NULL, NULL, p, 0, 0)
    CALL("attention: no sizes", ATTENTION(NULL, x, y, 0, 0.0));
    CALL("attention: no q", ATTENTION(sizes, NULL, y, 0, 0.0));
    CALL("attention: no out", ATTENTION(sizes, x, NULL, 0, 0.0));
    CALL("attention: heads", ATTENTION(bad, x, y, 0, 0.0));
    CALL("attention: no mask", ATTENTION(sizes, x, y, FASTNN_BOOLEAN_MASK, 0.0));
    CALL("attention: unknown mask", ATTENTION(sizes, x, y, 7, 0.0));
    CALL("attention: probability", ATTENTION(sizes, x, y, 0, 1.5));
    CALL("attention_backward: no lse",
         fastnn_attention_backward_f32(sizes, x, x, strides, x, strides, x, strides, x, strides,
                                       NULL, y, y + 64, y + 128, 0.5, 0, NULL, NULL, 0, NULL, NULL,
                                       0, 0, 0));
    CALL("embedding: id", fastnn_embedding_f32(4, 9, 4, targets, x, 4, 1, y, 4));
    CALL("layer_norm: eps", fastnn_layer_norm_f32(0, 4, 4, x, 4, NULL, 0, 0, 0, 0, NULL, NULL, 0,
                                                  NULL, 0, y, 4, NULL));
    CALL("dropout: p", fastnn_dropout_f32(4, 4, x, 4, NULL, 0, -1, 0, 0, y, 4));
    CALL("loss: kind", fastnn_loss_f32(9, 4, x, x, NULL, 1, NULL, 1, 1, 1, y, NULL, &loss));
    CALL("masked_softmax: length", fastnn_masked_softmax_f32(4, 4, x, 4, targets, 1, y, 4));
    CALL("prelu: no a", fastnn_prelu_f32(1, 4, 4, x, 4, NULL, y, 4));
    CALL("plan: none", fastnn_plan_run(NULL, x, y, 1));
    CALL("plan: no x", fastnn_plan_run(plan, NULL, y, 1));
    CALL("plan: no y", fastnn_plan_run(plan, x, NULL, 1));
    CALL("plan: rows < 0", fastnn_plan_run(plan, x, y, -1));
    CALL("plan: rows beyond memory", fastnn_plan_run(plan, x, y, INT64_MAX));
    CALL("plan: y is x", fastnn_plan_run(plan, y, y, 1));
    CALL("plan: y overlaps x", fastnn_plan_run(plan, y + 1, y, 1));
    CALL("plan_info: none", fastnn_plan_info(NULL, NULL, NULL, NULL));
    CALL("plan_retain: none", fastnn_plan_retain(NULL));
    CALL("plan_release: none", fastnn_plan_release(NULL));
    CALL("wrong type", fastnn_plan_run_f64(plan, d, d + 8, 1));
    for (int i = 0; i < 256; i++)
        if (y[i] != 7) return PyErr_Format(PyExc_AssertionError, "a refused call wrote y[%d]", i);
    if (loss != 7) return PyErr_Format(PyExc_AssertionError, "a refused call wrote the loss");
    return found;
}

/* What each thread computes repeatedly; the results must always be the same. */
enum {
    N = 40,
    COLS = 1000,
    ROWS = 5,
    HEADS = 2,
    QUERIES = 20,
    WIDTH = 16,
    ATTENDED = HEADS * QUERIES * WIDTH
};
struct work {
    const fastnn_plan *plan;
    int64_t n_in, n_out;
    int turns, limit, status, wrong;
    const float *first; /* results of the first, serial turn */
    float *a, *x, *gemm, *softmax, *attention, *y;
};

static int64_t results(const struct work *w) {
    return N * N + ROWS
    *COLS + ATTENDED + ROWS
    *w->n_out;
}

static int work_alloc(struct work *w) {
    const int64_t inputs = N * N + ROWS
    *(w->n_in > COLS ? w->n_in : COLS);
    w->a = malloc(sizeof(float) * (inputs + results(w)));
    if (!w->a) return -1;
    w->x = w->a + N * N, w->gemm = w->a + inputs, w->softmax = w->gemm + N * N,
    w->attention = w->softmax + ROWS
    *COLS, w->y = w->attention + ATTENDED;
    for (int64_t i = 0; i < inputs; i++) w->a[i] = (float)((i * 7919) % 1000) / 500 - 1;
    return 0;
}

static int turn(struct work *w) {
    int status = fastnn_gemm_f32(N, N, N, 1, w->a, N, 1, w->a, 1, N, 0, w->gemm, N, 1, w->x,
                                 FASTNN_TANH, NULL);
    if (!status) status = fastnn_softmax_f32(ROWS, COLS, w->x, COLS, w->softmax, COLS);
    const int64_t sizes[7] = {1, HEADS, HEADS, QUERIES, QUERIES, WIDTH, WIDTH},
                  strides[3] = {ATTENDED, QUERIES * WIDTH, WIDTH};
    if (!status)
        status = fastnn_attention_f32(sizes, w->x, strides, w->x + ATTENDED, strides,
                                      w->x + 2 * ATTENDED, strides, w->attention, strides, NULL,
                                      0.25, 1, NULL, NULL, FASTNN_NO_MASK, NULL, NULL, 0, 0, 0);
    if (!status) status = fastnn_plan_run(w->plan, w->x, w->y, ROWS);
    return status;
}

static void *run_turns(void *argument) {
    struct work *w = argument;
    const int before = fastnn_set_thread_limit(w->limit);
    for (int i = 0; i < w->turns && !w->status; i++) {
        memset(w->gemm, 0, sizeof(float) * results(w));
        w->status = turn(w);
        w->wrong += memcmp(w->gemm, w->first, sizeof(float) * results(w)) != 0;
    }
    fastnn_set_thread_limit(before);
    return NULL;
}

/* in_threads(plan, threads, turns, limit) -> (worst status, number of turns whose bits differ from
 * the serial one's). */
static PyObject *in_threads(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *object;
    int threads, turns, limit, status = 0, wrong = 0;
    if (!PyArg_ParseTuple(args, "Oiii", &object, &threads, &turns, &limit)) return NULL;
    struct work first = {.plan = fastnn_plan_from_object(object)};
    if (!first.plan) return NULL;
    fastnn_plan_info(first.plan, NULL, &first.n_in, &first.n_out);
    struct work *w = calloc(threads, sizeof *w);
    pthread_t *ids = calloc(threads, sizeof *ids);
    if (!w || !ids || work_alloc(&first)) return PyErr_NoMemory();
    status = turn(&first);
    for (int i = 0; i < threads; i++) {
        w[i] = (struct work){.plan = first.plan,
                             .n_in = first.n_in,
                             .n_out = first.n_out,
                             .turns = turns,
                             .limit = limit,
                             .first = first.gemm};
        if (work_alloc(&w[i])) return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS;
    for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, run_turns, &w[i]);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    Py_END_ALLOW_THREADS;
    for (int i = 0; i < threads; i++) {
        status = w[i].status > status ? w[i].status : status;
        wrong += w[i].wrong;
        free(w[i].a);
    }
    free(first.a), free(w), free(ids);
    return Py_BuildValue("ii", status, wrong);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one call: the minimum over `repeats` rounds of `calls`. */
#define LEAST(result, call)                                   \
    do {                                                      \
        result = 1;                                           \
        for (int r = 0; r < repeats; r++) {                   \
            const double start = seconds();                   \
            for (int i = 0; i < calls; i++) {                 \
                call;                                         \
                __asm__ volatile("" ::: "memory");            \
            }                                                 \
            const double taken = (seconds() - start) / calls; \
            if (taken < result) result = taken;               \
        }                                                     \
    } while (0)

/* time_calls(plan, rows, calls, repeats) -> seconds of a call through the table, of one through a
 * pointer in a register, and of plan_run. */
static PyObject *time_calls(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *object;
    int rows, calls, repeats;
    if (!PyArg_ParseTuple(args, "Oiii", &object, &rows, &calls, &repeats)) return NULL;
    const fastnn_plan *plan = fastnn_plan_from_object(object);
    if (!plan) return NULL;
    int64_t n_in, n_out;
    fastnn_plan_info(plan, NULL, &n_in, &n_out);
    float v[8] = {0}, *x = calloc(rows * (n_in + n_out), sizeof *x);
    if (!x) return PyErr_NoMemory();
    int (*const direct)(int64_t, int64_t, const float *, int64_t, float *, int64_t) =
        fastnn_softmax_f32;
    double by_table, by_pointer, by_plan;
    LEAST(by_table, fastnn_softmax_f32(1, 1, v, 1, v + 1, 1));
    LEAST(by_pointer, direct(1, 1, v, 1, v + 1, 1));
    LEAST(by_plan, fastnn_plan_run(plan, x, x + rows * n_in, rows));
    free(x);
    return Py_BuildValue("ddd", by_table, by_pointer, by_plan);
}

/* thread_limit(n) -> (limit before, threads under the limit n, limit after restoring). */
static PyObject *thread_limit(PyObject *module, PyObject *n) {
    (void)module;
    const int before = fastnn_set_thread_limit((int)PyLong_AsLong(n)),
              threads = fastnn_max_threads();
    fastnn_set_thread_limit(before);
    return Py_BuildValue("iii", before, threads, fastnn_set_thread_limit(-1));
}

/* A plan that outlives its Python object. */
static const fastnn_plan *kept;
static PyObject *keep(PyObject *module, PyObject *object) {
    (void)module;
    if (!(kept = fastnn_plan_from_object(object))) return NULL;
    return PyLong_FromLong(fastnn_plan_retain(kept));
}
static PyObject *run_kept(PyObject *module, PyObject *args) {
    (void)module, (void)args;
    int bits;
    int64_t n_in, n_out;
    fastnn_plan_info(kept, &bits, &n_in, &n_out);
    PyObject *result = PyList_New(n_out);
    float *x = calloc(n_in + n_out, sizeof *x);
    for (int64_t i = 0; i < n_in; i++) x[i] = 1;
    const int status = fastnn_plan_run(kept, x, x + n_in, 1);
    for (int64_t i = 0; i < n_out; i++) PyList_SET_ITEM(result, i, PyFloat_FromDouble(x[n_in + i]));
    free(x);
    fastnn_plan_release(kept);
    return Py_BuildValue("iiN", status, bits, result);
}

#if FASTNN_API_VERSION >= 2 /* test_callers.py compiles this with an older header too */
#include "callers_plans.h"
#define LATEST state_truncate
#else
#define LATEST plan_filter
#endif

static PyObject *has(PyObject *module, PyObject *args) {
    (void)module, (void)args;
    return Py_BuildValue("ii", FASTNN_HAS(strerror), FASTNN_HAS(LATEST));
}

static PyMethodDef methods[] = {{"about", about, METH_NOARGS, NULL},
                                {"bad_calls", bad_calls, METH_O, NULL},
                                {"in_threads", in_threads, METH_VARARGS, NULL},
                                {"time_calls", time_calls, METH_VARARGS, NULL},
                                {"thread_limit", thread_limit, METH_O, NULL},
                                {"keep", keep, METH_O, NULL},
                                {"run_kept", run_kept, METH_NOARGS, NULL},
#if FASTNN_API_VERSION >= 2
                                {"generate", generate, METH_VARARGS, NULL},
                                {"stack_of", stack_of, METH_VARARGS, NULL},
#endif
                                {"has", has, METH_NOARGS, NULL},
                                {NULL, NULL, 0, NULL}};

#ifndef MODULE
#define MODULE callers
#endif
#define STRING_(x) #x
#define STRING(x) STRING_(x)
#define INIT_(name) PyInit_##name
#define INIT(name) INIT_(name)

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = STRING(MODULE), .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC INIT(MODULE)(void) {
    if (import_fastnn() < 0) return NULL;
    return PyModule_Create(&definition);
}
