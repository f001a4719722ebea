/* pool.h: aligned memory blocks that are recycled. Included by memory.pyx alone.
 *
 * A block is a header of one cache line followed by the caller's bytes. Blocks come in size
 * classes, eight per octave, so rounding wastes at most an eighth. Each class has a few slots, and
 * a slot holds a free block or NULL. Taking and giving back are one atomic exchange each: there is
 * no lock for a fork to leave held, and no thread waits for another.
 */
#ifndef FASTNN_POOL_H
#define FASTNN_POOL_H

#include <stdint.h>
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#endif

enum {
    POOL_ALIGN = 64,         /* a cache line, and the widest vector */
    POOL_SMALLEST_LOG2 = 10, /* smallest class: 1 KiB */
    POOL_PARTS_LOG2 = 3,     /* log2 of the classes per octave */
    /* The largest class holds 16 GiB; larger blocks are not recycled. */
    POOL_CLASSES = (24 << POOL_PARTS_LOG2) + 1,
    /* Free blocks kept per class: arrays of one size that a training step holds at once. */
    POOL_SLOTS = 32,
    /* Huge pages are requested from this size on: a packed operand then needs few TLB entries. */
    POOL_HUGE_PAGE = 2 << 20
};
#define POOL_KEEP ((int64_t)512 << 20) /* maximum bytes kept free, over all classes */

struct pool_header {
    int32_t size_class; /* -1: too large to recycle */
    int64_t bytes;      /* size of the class */
};

static void *pool_slots[POOL_CLASSES][POOL_SLOTS];
static int64_t pool_kept = 0;

/* The smallest class whose blocks hold `bytes`; *size is the size of its blocks. Above the largest
 * class: -1, and *size = bytes. */
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

/* The caller's part of a block. AddressSanitizer reports any access to what lies around it. */
static void *pool_lend(void *block, int64_t bytes) {
    char *start = (char *)block + POOL_ALIGN;
    const struct pool_header *header = block;
    ASAN_POISON_MEMORY_REGION(header + 1, POOL_ALIGN - sizeof *header + header->bytes);
    ASAN_UNPOISON_MEMORY_REGION(start, bytes);
    return start;
}

/* Take a block of at least `bytes` bytes, aligned to POOL_ALIGN, with undefined contents; NULL if
 * there is no memory. Return it with pool_give. */
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
                return pool_lend(block, bytes);
            }
        }
    /* The header comes on top of the class size: a class of whole huge pages then takes one small
     * page more, not a huge one. */
    void *block = NULL;
    if (posix_memalign(&block, size >= POOL_HUGE_PAGE ? POOL_HUGE_PAGE : POOL_ALIGN,
                       (size_t)size + POOL_ALIGN))
        return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= POOL_HUGE_PAGE) (void)madvise(block, (size_t)size, MADV_HUGEPAGE);
#endif
    *(struct pool_header *)block = (struct pool_header){c, size};
    return pool_lend(block, bytes);
}

static void pool_give(void *bytes) {
    if (!bytes) return;
    void *block = (char *)bytes - POOL_ALIGN;
    const struct pool_header header = *(struct pool_header *)block;
    ASAN_POISON_MEMORY_REGION(bytes, header.bytes);
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

/* Free all recycled blocks; return the number of bytes freed. */
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
