/* team.h: run a function on a team of threads, and ask about the team of the calling thread.
 * Without OpenMP every team has one member. */
#ifndef FASTNN_TEAM_H
#define FASTNN_TEAM_H

#ifdef _OPENMP
#include <omp.h>
static inline int fastnn_team_size(void) { return omp_get_num_threads(); }
static inline int fastnn_thread_id(void) { return omp_get_thread_num(); }
static inline int fastnn_in_parallel(void) { return omp_in_parallel(); }
static inline int fastnn_omp_max_threads(void) { return omp_get_max_threads(); }
static inline int fastnn_omp_thread_limit(void) { return omp_get_thread_limit(); }
/* Wait for the team of the innermost region; a no-op outside of one. */
static inline void fastnn_barrier(void) {
#pragma omp barrier
}
#define FASTNN_PARALLEL _Pragma("omp parallel num_threads(size_)")
#else
static inline int fastnn_team_size(void) { return 1; }
static inline int fastnn_thread_id(void) { return 0; }
static inline int fastnn_in_parallel(void) { return 0; }
static inline int fastnn_omp_max_threads(void) { return 1; }
static inline int fastnn_omp_thread_limit(void) { return 1; }
static inline void fastnn_barrier(void) {}
#define FASTNN_PARALLEL
#endif

/* Call part(team, thread, ...) in every thread of a team of this size. A macro, so that the
 * compiler checks the arguments; a team of 1 is a plain call, which may be inside another team. */
#define fastnn_run_team(size, part, ...)                               \
    do {                                                               \
        const int size_ = (size);                                      \
        if (size_ == 1) {                                              \
            part(1, 0, __VA_ARGS__);                                   \
        } else {                                                       \
            FASTNN_PARALLEL                                            \
            part(fastnn_team_size(), fastnn_thread_id(), __VA_ARGS__); \
        }                                                              \
    } while (0)

#endif
