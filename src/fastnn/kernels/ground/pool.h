/* pool.h: aligned blocks that are kept when they are given back. Included by memory.pyx alone.
 *
 * A block is a header of one cache line followed by the caller's bytes. Blocks come in size
 * classes, eight to an octave (at most an eighth is lost to rounding); each class has a few slots,
 * and a slot holds a free block or NULL. Taking and giving back are one atomic exchange each, so
 * there is no lock that a thread could hold while another forks, and no thread waits for another.
 */
#ifndef FASTNN_POOL_H
#define FASTNN_POOL_H

#include <stdint.h>
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum {
    POOL_ALIGN = 64,         /* a cache line, and the widest vector */
    POOL_SMALLEST_LOG2 = 10, /* the smallest class: 1 KiB */
    POOL_PARTS_LOG2 = 3,     /* classes of an octave */
    POOL_CLASSES = (24 << POOL_PARTS_LOG2) +
        1,           /* the largest: 16 GiB; what is larger is not kept */
    POOL_SLOTS = 32, /* free blocks kept of each class: arrays of one size that a training step
                        holds at once */
    POOL_HUGE_PAGE = 2
        << 20 /* from here on ask for huge pages: a packed operand then costs few TLB entries */
};
#define POOL_KEEP ((int64_t)512 << 20) /* bytes kept free at most, over all classes */

struct pool_header {
    int32_t size_class; /* -1: too large to be kept */
    int64_t bytes;      /* of the class */
};

static void *pool_slots[POOL_CLASSES][POOL_SLOTS];
static int64_t pool_kept = 0;

/* The class whose blocks hold so many bytes, and how many those hold; -1 and the bytes themselves
 * past the largest class. */
static int pool_class(int64_t bytes, int64_t *size) {
    *size = (int64_t)1 << POOL_SMALLEST_LOG2;
    if (bytes <= *size) return 0;
    const int octave = 63 - __builtin_clzll((unsigned long long)(bytes - 1)),
              step = octave - POOL_PARTS_LOG2;
    const int64_t start = (int64_t)1 << octave,
                  parts = (bytes - start + ((int64_t)1 << step) - 1) >> step;
    const int64_t c = ((int64_t)(octave - POOL_SMALLEST_LOG2) << POOL_PARTS_LOG2) + parts;
    *size = c < POOL_CLASSES ? start + (parts << step) : bytes;
    return c < POOL_CLASSES ? (int)c : -1;
}

/* At least so many bytes, aligned to POOL_ALIGN, contents unknown; NULL when there is no memory.
 * Give back by pool_give. */
static void *pool_take(int64_t bytes) {
    if (bytes < 0 || bytes > INT64_MAX / 2) return NULL;
    int64_t size;
    const int c = pool_class(bytes, &size);
    if (c >= 0)
        for (int s = 0; s < POOL_SLOTS; s++) {
            if (!__atomic_load_n(&pool_slots[c][s], __ATOMIC_RELAXED)) continue;
            void *block = __atomic_exchange_n(&pool_slots[c][s], NULL, __ATOMIC_ACQUIRE);
            if (block) {
                __atomic_fetch_sub(&pool_kept, size, __ATOMIC_RELAXED);
                return (char *)block + POOL_ALIGN;
            }
        }
    /* The header stands before the size of a class: a class of whole huge pages then takes one
     * small page more, not a huge one. */
    void *block = NULL;
    if (posix_memalign(&block, size >= POOL_HUGE_PAGE ? POOL_HUGE_PAGE : POOL_ALIGN,
                       (size_t)size + POOL_ALIGN))
        return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= POOL_HUGE_PAGE) (void)madvise(block, (size_t)size, MADV_HUGEPAGE);
#endif
    *(struct pool_header *)block = (struct pool_header){c, size};
    return (char *)block + POOL_ALIGN;
}

static void pool_give(void *bytes) {
    if (!bytes) return;
    void *block = (char *)bytes - POOL_ALIGN;
    const struct pool_header header = *(struct pool_header *)block;
    if (header.size_class >= 0 &&
        __atomic_load_n(&pool_kept, __ATOMIC_RELAXED) + header.bytes <= POOL_KEEP)
        for (int s = 0; s < POOL_SLOTS; s++) {
            void *empty = NULL;
            if (__atomic_load_n(&pool_slots[header.size_class][s], __ATOMIC_RELAXED)) continue;
            if (__atomic_compare_exchange_n(&pool_slots[header.size_class][s], &empty, block, 0,
                                            __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
                __atomic_fetch_add(&pool_kept, header.bytes, __ATOMIC_RELAXED);
                return;
            }
        }
    free(block);
}

/* Free what is kept; returns the bytes freed. */
static int64_t pool_trim(void) {
    int64_t freed = 0;
    for (int c = 0; c < POOL_CLASSES; c++)
        for (int s = 0; s < POOL_SLOTS; s++) {
            void *block = __atomic_exchange_n(&pool_slots[c][s], NULL, __ATOMIC_ACQUIRE);
            if (!block) continue;
            freed += ((struct pool_header *)block)->bytes;
            free(block);
        }
    __atomic_fetch_sub(&pool_kept, freed, __ATOMIC_RELAXED);
    return freed;
}

static int64_t pool_bytes_kept(void) { return __atomic_load_n(&pool_kept, __ATOMIC_RELAXED); }

#endif
