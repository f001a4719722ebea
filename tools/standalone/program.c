/* program.c: what importing fastnn does, for a program without Python: choose the instruction set
 * and the number of threads, and describe the machine. tools/static_library.py puts it into
 * libfastnn.a, with the table of functions in program_table.h. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatch.h"
#include "fastnn_program.h"
#include "team.h"

#define HIDDEN __attribute__((visibility("hidden")))

/* The tables that kernels call through, and functions of ground/machine.pyx and threads.pyx. */
#undef fastnn_f32
#undef fastnn_f64
HIDDEN struct fastnn_leaves_f32 fastnn_f32;
HIDDEN struct fastnn_leaves_f64 fastnn_f64;
HIDDEN void fastnn_assume(int64_t l1, int64_t l2, int64_t l3, int64_t cores, double fma_per_cycle);
HIDDEN int fastnn_begin(int limit);

#include "program_table.h"

const fastnn_api *fastnn_program_table = &fastnn_filled_table;

static int64_t number(const char *name) {
    const char *text = getenv(name);
    const int64_t n = text ? strtol(text, NULL, 10) : 0;
    return n > 0 && n <= 1024 ? n : 0;
}

static int64_t cache_size(int name, int64_t fallback) {
    const long found = sysconf(name);
    return found > 0 ? found : fallback;
}

/* The widest set that the CPU has and that pays, or the one that FASTNN_ISA names; -1 if it cannot
 * run. */
static int choose_set(void) {
    const char *cap = getenv("FASTNN_ISA");
    int chosen = -1;
    for (int i = 0; i < FASTNN_SET_COUNT; i++) {
        const int has = fastnn_sets[i].cpu_has();
        if (cap && *cap ? has && strcmp(cap, fastnn_sets[i].name) == 0 : has > 0) chosen = i;
    }
    return chosen;
}

int fastnn_open(void) {
    static int opened = 0;
    if (opened) return FASTNN_OK;
    const int chosen = choose_set();
    if (chosen < 0) return FASTNN_BAD_ARGUMENT;
    for (int i = 0; i <= chosen; i++) {
        fastnn_inherit_f32(&fastnn_f32, fastnn_sets[i].f32);
        fastnn_inherit_f64(&fastnn_f64, fastnn_sets[i].f64);
    }
    fastnn_filled_table.isa = fastnn_sets[chosen].name;
    cpu_set_t cpus;
    const int64_t cores = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    const int64_t asked = number("FASTNN_NUM_THREADS");
    const int64_t l2 = cache_size(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
    /* Two units of multiply-add, as in most cores; no result depends on it. */
    fastnn_assume(cache_size(_SC_LEVEL1_DCACHE_SIZE, 32 << 10), l2,
                  cache_size(_SC_LEVEL3_CACHE_SIZE, 32 << 20), cores, 2.0 * fastnn_f32.lanes);
    if (fastnn_begin((int)(asked ? asked : fastnn_omp_max_threads())) != 0) return FASTNN_NO_MEMORY;
    opened = 1;
    return FASTNN_OK;
}
