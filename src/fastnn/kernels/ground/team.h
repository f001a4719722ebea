/* team.h: queries about the OpenMP team of the calling thread. Without OpenMP every team has one
 * member. */
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
#else
static inline int fastnn_team_size(void) { return 1; }
static inline int fastnn_thread_id(void) { return 0; }
static inline int fastnn_in_parallel(void) { return 0; }
static inline int fastnn_omp_max_threads(void) { return 1; }
static inline int fastnn_omp_thread_limit(void) { return 1; }
static inline void fastnn_barrier(void) {}
#endif

#endif
