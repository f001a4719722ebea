/* Score sentences: the mean embedding of a sentence's tokens goes through a network, for all
 * sentences of a ragged buffer, in our own threads. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fastnn.h"

enum { BATCH = 32, THREADS = 4 };

struct job {
    const fastnn_plan *plan;
    const float *table; /* vocabulary x width */
    const int32_t *tokens;
    const int64_t *starts; /* sentence i is tokens[starts[i] .. starts[i + 1]) */
    int64_t first, last, vocabulary, width, n_out;
    float *scores; /* sentences x n_out */
    int status;
};

/* Compute the mean embedding of a sentence; zeros for an empty one. Returns a status. */
static int embed(const struct job *job, int64_t sentence, float *mean) {
    const int64_t start = job->starts[sentence], n = job->starts[sentence + 1] - start;
    memset(mean, 0, sizeof(float) * job->width);
    for (int64_t t = 0; t < n; t++) {
        const int32_t token = job->tokens[start + t];
        if (token < 0 || token >= job->vocabulary) return FASTNN_BAD_ARGUMENT;
        for (int64_t j = 0; j < job->width; j++) mean[j] += job->table[token * job->width + j];
    }
    return n > 0 ? fastnn_scale_f32(job->width, 1.0 / (double)n, mean) : FASTNN_OK;
}

static void *score(void *argument) {
    struct job *job = argument;
    const int before = fastnn_set_thread_limit(1); /* we have our own threads */
    float *means = malloc(sizeof(float) * BATCH * job->width);
    job->status = means ? FASTNN_OK : FASTNN_NO_MEMORY;
    for (int64_t i = job->first; i < job->last && job->status == FASTNN_OK; i += BATCH) {
        const int64_t rows = job->last - i < BATCH ? job->last - i : BATCH;
        for (int64_t r = 0; r < rows && job->status == FASTNN_OK; r++)
            job->status = embed(job, i + r, means + r * job->width);
        float *scores = job->scores + i * job->n_out;
        if (job->status == FASTNN_OK) job->status = fastnn_plan_run(job->plan, means, scores, rows);
        if (job->status == FASTNN_OK)
            job->status =
                fastnn_softmax_f32(rows, job->n_out, scores, job->n_out, scores, job->n_out);
    }
    free(means);
    fastnn_set_thread_limit(before);
    return NULL;
}

/* score(plan, table, tokens, starts, scores): buffers of float32 (vocabulary x width), int32, int64
 * and float32 (sentences x n_out). */
static PyObject *py_score(PyObject *module, PyObject *args) {
    PyObject *object;
    Py_buffer table, tokens, starts, scores;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*y*y*w*", &object, &table, &tokens, &starts, &scores))
        return NULL;
    const fastnn_plan *plan = fastnn_plan_from_object(object);
    int status = plan ? FASTNN_OK : FASTNN_BAD_ARGUMENT, started = 0;
    struct job jobs[THREADS];
    pthread_t threads[THREADS];
    int64_t width = 0, n_out = 0;
    const int64_t sentences = starts.len / (int64_t)sizeof(int64_t) - 1, *offsets = starts.buf;
    fastnn_plan_info(plan, NULL, &width, &n_out);
    for (int64_t i = 0; i < sentences && status == FASTNN_OK; i++)
        if (offsets[i] > offsets[i + 1] || offsets[0] < 0) status = FASTNN_BAD_ARGUMENT;
    if (sentences < 0 || offsets[sentences] > tokens.len / (int64_t)sizeof(int32_t) ||
        scores.len < sentences * n_out * (int64_t)sizeof(float))
        status = FASTNN_BAD_ARGUMENT;
    if (status == FASTNN_OK) {
        Py_BEGIN_ALLOW_THREADS;
        for (int i = 0; i < THREADS; i++) {
            jobs[i] = (struct job){plan,
                                   table.buf,
                                   tokens.buf,
                                   offsets,
                                   sentences * i / THREADS,
                                   sentences * (i + 1) / THREADS,
                                   table.len / ((int64_t)sizeof(float) * width),
                                   width,
                                   n_out,
                                   scores.buf,
                                   FASTNN_OK};
            if (pthread_create(&threads[i], NULL, score, &jobs[i])) break;
            started++;
        }
        if (started < THREADS) status = FASTNN_NO_MEMORY;
        for (int i = 0; i < started; i++) {
            pthread_join(threads[i], NULL);
            if (jobs[i].status != FASTNN_OK) status = jobs[i].status;
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&table), PyBuffer_Release(&tokens), PyBuffer_Release(&starts),
        PyBuffer_Release(&scores);
    if (!plan) return NULL;
    if (status != FASTNN_OK) return PyErr_Format(PyExc_ValueError, "%s", fastnn_strerror(status));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"score", py_score, METH_VARARGS, "Score sentences."},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "sentences", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_sentences(void) {
    if (import_fastnn() < 0) return NULL;
    return PyModule_Create(&definition);
}
