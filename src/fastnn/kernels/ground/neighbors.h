/* neighbors.h: are the cores busy with other programs? Included by threads.pyx alone.
 *
 * A thread that is taken off its core before it waits for something shares the core. The counts of
 * the operating system show it, and cost a microsecond every LOOK_EVERY ms of calls. */
#ifndef FASTNN_NEIGHBORS_H
#define FASTNN_NEIGHBORS_H

#include <stdint.h>

#if defined(__linux__)
#include <sys/resource.h>
#include <time.h>

enum {
    LOOK_EVERY = 20,      /* ms between two looks at the counts */
    CROWDED_FOR = 200,    /* ms to the next look if the cores are busy */
    FEWEST_SWITCHES = 3,  /* a quiet machine has one in a while */
    BETWEEN_SWITCHES = 20 /* ms of CPU time; on a busy core it is a scheduler's slice of about 3 */
};

static int64_t fastnn_milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t fastnn_cpu_milliseconds(const struct rusage *usage) {
    return (int64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000 +
           (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1000;
}

/* 1 if other programs took cores from this process lately. Several threads may ask: a lost update
 * makes one look a little early or late. */
static int fastnn_crowded(void) {
    static int64_t next = 0, since = 0, seen = 0;
    static int crowded = 0;
    const int64_t now = fastnn_milliseconds();
    int found = __atomic_load_n(&crowded, __ATOMIC_RELAXED);
    if (now < __atomic_load_n(&next, __ATOMIC_RELAXED)) return found;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const int64_t cpu = fastnn_cpu_milliseconds(&usage);
    const int64_t time = cpu - __atomic_load_n(&since, __ATOMIC_RELAXED);
    const int64_t switches = usage.ru_nivcsw - __atomic_load_n(&seen, __ATOMIC_RELAXED);
    if (switches >= FEWEST_SWITCHES || time >= FEWEST_SWITCHES * BETWEEN_SWITCHES) {
        found = switches >= FEWEST_SWITCHES && time <= switches * BETWEEN_SWITCHES;
        __atomic_store_n(&seen, (int64_t)usage.ru_nivcsw, __ATOMIC_RELAXED);
        __atomic_store_n(&since, cpu, __ATOMIC_RELAXED);
        __atomic_store_n(&crowded, found, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&next, now + (found ? CROWDED_FOR : LOOK_EVERY), __ATOMIC_RELAXED);
    return found;
}
#else
static int fastnn_crowded(void) { return 0; }
#endif

#endif
