/* atomic.h: a reference count and a lock for structures that threads share. */
#ifndef FASTNN_ATOMIC_H
#define FASTNN_ATOMIC_H

#include <stdint.h>

/* Add `change` to the count and return the new count. */
static inline int64_t fastnn_count(int64_t *count, int64_t change) {
    return __atomic_add_fetch(count, change, __ATOMIC_ACQ_REL);
}

/* Try to take the lock; true if it was free. */
static inline int fastnn_lock(int64_t *lock) {
    return !__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE);
}

static inline void fastnn_unlock(int64_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }

#endif
