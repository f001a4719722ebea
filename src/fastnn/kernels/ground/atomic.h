/* atomic.h: what a structure that threads share needs: a count of its holders, and slots that hold a pointer or NULL. */
#ifndef FASTNN_ATOMIC_H
#define FASTNN_ATOMIC_H

#include <stddef.h>
#include <stdint.h>

/* Returns the new count. */
static inline int64_t fastnn_count(int64_t *count, int64_t change) { return __atomic_add_fetch(count, change, __ATOMIC_ACQ_REL); }

static inline void *fastnn_slot_take(void **slot) {
    return __atomic_load_n(slot, __ATOMIC_RELAXED) ? __atomic_exchange_n(slot, NULL, __ATOMIC_ACQUIRE) : NULL;
}

/* Whether the slot was empty and now holds the pointer. */
static inline int fastnn_slot_put(void **slot, void *pointer) {
    void *empty = NULL;
    return __atomic_compare_exchange_n(slot, &empty, pointer, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

#endif
