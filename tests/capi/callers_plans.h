/* callers_plans.h: generation with a shared plan, and the stack that a call of a plan uses.
 *
 * Included by callers.c alone, if the header has API 2.
 */
/* Greedy generation with a shared plan of a language model; each thread has its own state. */
struct writer {
    const fastnn_plan *plan;
    int64_t vocabulary, tokens;
    int rounds, status;
    int64_t *ids; /* the generated tokens */
};

static void *write_tokens(void *argument) {
    struct writer *w = argument;
    const int before = fastnn_set_thread_limit(1);
    fastnn_state *state = fastnn_plan_new_state(w->plan, 1, w->tokens);
    float *logits = malloc(sizeof *logits * w->vocabulary);
    w->status = state && logits ? FASTNN_OK : FASTNN_NO_MEMORY;
    for (int round = 0; round < w->rounds && !w->status; round++) {
        fastnn_state_truncate(state, 0);
        int64_t id = 1;
        for (int64_t t = 0; t < w->tokens && !w->status; t++) {
            w->status = fastnn_plan_step(w->plan, state, &id, 1, NULL, logits);
            int64_t best = 0;
            for (int64_t i = 1; i < w->vocabulary; i++) best = logits[i] > logits[best] ? i : best;
            w->ids[t] = id = best;
        }
    }
    free(logits);
    fastnn_state_release(state);
    fastnn_set_thread_limit(before);
    return NULL;
}

/* generate(plan, threads, tokens, rounds) -> (worst status, [the tokens of each thread]). */
static PyObject *generate(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *object, *written;
    int threads, tokens, rounds, status = 0;
    struct writer w[64];
    pthread_t ids[64];
    int64_t n_in;
    if (!PyArg_ParseTuple(args, "Oiii", &object, &threads, &tokens, &rounds)) return NULL;
    w[0] = (struct writer){
        .plan = fastnn_plan_from_object(object), .tokens = tokens, .rounds = rounds};
    int64_t *all = calloc((size_t)threads * tokens, sizeof *all);
    if (!w[0].plan || !all) return NULL;
    fastnn_plan_info(w[0].plan, NULL, &n_in, &w[0].vocabulary);
    Py_BEGIN_ALLOW_THREADS;
    for (int i = 0; i < threads; i++) {
        if (i > 0) w[i] = w[0];
        w[i].ids = all + (int64_t)i * tokens;
    }
    for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, write_tokens, &w[i]);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    Py_END_ALLOW_THREADS;
    written = PyList_New((Py_ssize_t)threads * tokens);
    for (int64_t i = 0; i < (int64_t)threads * tokens; i++)
        PyList_SET_ITEM(written, i, PyLong_FromLongLong(all[i]));
    for (int i = 0; i < threads; i++) status = w[i].status > status ? w[i].status : status;
    free(all);
    return Py_BuildValue("iN", status, written);
}

/* Arguments of a thread that runs or steps a plan, to measure its stack; without a plan it does
 * nothing. */
struct stacked {
    const fastnn_plan *plan;
    fastnn_state *state;
    const void *x;
    void *y;
    int64_t n;
    int threads, bits, status;
};

static void *on_stack(void *argument) {
    struct stacked *s = argument;
    if (!s->plan) return NULL;
    fastnn_set_thread_limit(s->threads);
    if (s->state && s->bits == 32)
        s->status = fastnn_plan_step_f32(s->plan, s->state, s->x, s->n, NULL, s->y);
    else if (s->state)
        s->status = fastnn_plan_step_f64(s->plan, s->state, s->x, s->n, NULL, s->y);
    else if (s->bits == 32)
        s->status = fastnn_plan_run_f32(s->plan, s->x, s->y, s->n);
    else
        s->status = fastnn_plan_run_f64(s->plan, s->x, s->y, s->n);
    return NULL;
}

static Py_ssize_t used_by(struct stacked *s) {
    enum { STACK = 1 << 20, PAINT = 0xA5 };
    unsigned char *stack = NULL;
    pthread_t thread;
    pthread_attr_t attributes;
    Py_ssize_t untouched = 0;
    if (posix_memalign((void **)&stack, 1 << 16, STACK)) return -1;
    memset(stack, PAINT, STACK);
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stack, STACK)) return -1;
    if (pthread_create(&thread, &attributes, on_stack, s)) return -1;
    pthread_join(thread, NULL);
    while (untouched < STACK && stack[untouched] == PAINT) untouched++;
    pthread_attr_destroy(&attributes);
    free(stack);
    return STACK - untouched;
}

static PyObject *stack_of(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *object;
    Py_ssize_t state, x, y, n, nothing, used;
    struct stacked s = {0}, none = {0};
    const char *format = "Onnnnii";
    if (!PyArg_ParseTuple(args, format, &object, &state, &x, &y, &n, &s.bits, &s.threads))
        return NULL;
    s.state = (void *)state, s.x = (void *)x, s.y = (void *)y, s.n = n;
    if (!(s.plan = fastnn_plan_from_object(object))) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    nothing = used_by(&none), used = used_by(&s);
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("in", s.status, used - nothing);
}
