/* Generate continuations of several prompts at once: all threads share one frozen language model,
 * and each has its own state and random generator. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "fastnn.h"

enum { MOST_WRITERS = 64 };

struct writer {
    const fastnn_plan *plan;
    const int64_t *prompt;
    int64_t length, count, vocabulary, *written; /* `count` tokens are generated */
    uint64_t seed;
    int status;
};

/* A number in [0, 1): splitmix64. */
static double uniform(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int64_t sample(const float *probabilities, int64_t n, double u) {
    for (int64_t i = 0; i < n - 1; i++)
        if ((u -= probabilities[i]) < 0) return i;
    return n - 1;
}

static void *run_writer(void *argument) {
    struct writer *w = argument;
    const int before = fastnn_set_thread_limit(1); /* we have our own threads */
    fastnn_state *state = fastnn_plan_new_state(w->plan, 1, w->length + w->count);
    float *logits = malloc(sizeof *logits * w->vocabulary);
    const int64_t *ids = w->prompt;
    int64_t n = w->length;
    w->status = state && logits ? FASTNN_OK : FASTNN_NO_MEMORY;
    for (int64_t t = 0; t < w->count && w->status == FASTNN_OK; t++) {
        w->status = fastnn_plan_step(w->plan, state, ids, n, NULL, logits);
        if (w->status == FASTNN_OK)
            w->status =
                fastnn_softmax_f32(1, w->vocabulary, logits, w->vocabulary, logits, w->vocabulary);
        w->written[t] = sample(logits, w->vocabulary, uniform(&w->seed));
        ids = w->written + t;
        n = 1;
    }
    free(logits);
    fastnn_state_release(state);
    fastnn_set_thread_limit(before);
    return NULL;
}

/* write(plan, prompts, written, writers): buffers of int64 (writers x prompt) and (writers x
 * count); the seed of writer i is i. */
static PyObject *py_write(PyObject *module, PyObject *args) {
    PyObject *object;
    Py_buffer prompts, written;
    int writers, started = 0, status = FASTNN_OK;
    struct writer w[MOST_WRITERS];
    pthread_t threads[MOST_WRITERS];
    int64_t vocabulary;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*w*i", &object, &prompts, &written, &writers)) return NULL;
    const fastnn_plan *plan = fastnn_plan_from_object(object);
    if (plan) {
        fastnn_plan_info(plan, NULL, NULL, &vocabulary);
        if (writers < 1 || writers > MOST_WRITERS) status = FASTNN_BAD_ARGUMENT;
        Py_BEGIN_ALLOW_THREADS;
        for (; started < writers && status == FASTNN_OK; started++) {
            const int64_t length = prompts.len / (8 * writers), count = written.len / (8 * writers);
            w[started] = (struct writer){plan,
                                         (int64_t *)prompts.buf + started * length,
                                         length,
                                         count,
                                         vocabulary,
                                         (int64_t *)written.buf + started * count,
                                         (uint64_t)started,
                                         FASTNN_OK};
            if (pthread_create(&threads[started], NULL, run_writer, &w[started])) break;
        }
        if (started < writers && status == FASTNN_OK) status = FASTNN_NO_MEMORY;
        for (int i = 0; i < started; i++) {
            pthread_join(threads[i], NULL);
            if (w[i].status != FASTNN_OK) status = w[i].status;
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&prompts), PyBuffer_Release(&written);
    if (!plan) return NULL;
    if (status != FASTNN_OK) return PyErr_Format(PyExc_ValueError, "%s", fastnn_strerror(status));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"write", py_write, METH_VARARGS, "Write on from prompts."},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "writers", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_writers(void) {
    if (import_fastnn() < 0) return NULL;
    return PyModule_Create(&definition);
}
