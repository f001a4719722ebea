/* philox.h: Philox 4x32-10, random bits as a function of a key and a counter.
 *
 * Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The key is
 * the seed (64 bits); the counter (128 bits) is the number of a block of four words and, above it,
 * the step. Words can be computed in any order and are the same for every instruction set: word i
 * of (seed, step) is word i % 4 of block i / 4.
 *
 * A 64-bit lane holds one counter. A round multiplies 32 by 32 bits, so only the low halves of the
 * four state vectors count; the high halves are leftovers of the last round. With AVX-512 a round
 * of eight blocks takes six instructions.
 */
#ifndef FASTNN_PHILOX_H
#define FASTNN_PHILOX_H

#include "vec.h"

enum {
    PHILOX_ROUNDS = 10,
    /* Blocks per vector, one per lane. */
    PHILOX_BLOCKS = VBYTES / 8,
    /* Words per call, from two vectors of blocks whose rounds hide each other's latency. */
    PHILOX_WORDS = 8 * PHILOX_BLOCKS,
};
/* Lane 2l has block l and lane 2l + 1 block PHILOX_BLOCKS / 2 + l, so that two shuffles within 128
 * bits put the words in order. PHILOX_EVEN interleaves the even lanes of two vectors. */
#if VBYTES == 64
#define PHILOX_DEAL {0, 4, 1, 5, 2, 6, 3, 7}
#define PHILOX_EVEN {0, 8, 2, 10, 4, 12, 6, 14}
#elif VBYTES == 32
#define PHILOX_DEAL {0, 2, 1, 3}
#define PHILOX_EVEN {0, 4, 2, 6}
#else
#define PHILOX_DEAL {0, 1}
#define PHILOX_EVEN {0, 2}
#endif
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u

/* The round keys of one seed, and the step. */
typedef struct {
    uint64_t k0[PHILOX_ROUNDS], k1[PHILOX_ROUNDS], step;
} philox_key;

static philox_key philox_start(uint64_t seed, uint64_t step) {
    philox_key key = {.step = step};
    for (int r = 0; r < PHILOX_ROUNDS; r++) {
        key.k0[r] = (uint32_t)((uint32_t)seed + (uint32_t)r * 0x9E3779B9u);
        key.k1[r] = (uint32_t)((uint32_t)(seed >> 32) + (uint32_t)r * 0xBB67AE85u);
    }
    return key;
}

/* m times the low halves of the lanes of a. */
#ifndef times_32
INLINE u64vec times_32(u64vec a, uint32_t m) { return (a & 0xffffffff) * m; }
#endif

#ifndef xor_3
INLINE u64vec xor_3(u64vec a, u64vec b, uint64_t c) { return a ^ b ^ c; }
#endif

/* PHILOX_WORDS words in order, starting at `block`, a multiple of 2 PHILOX_BLOCKS. */
INLINE void philox_words(const philox_key *key, uint64_t block, u32vec words[4]) {
    const u64vec deal = PHILOX_DEAL, even = PHILOX_EVEN;
    u64vec a[2], b[2], c[2], d[2];
    UNROLL for (int v = 0; v < 2; v++) {
        a[v] = deal + (block + (uint64_t)v * PHILOX_BLOCKS);
        b[v] = (u64vec){0} + (block >> 32);
        c[v] = (u64vec){0} + key->step;
        d[v] = (u64vec){0} + (key->step >> 32);
    }
    UNROLL for (int r = 0; r < PHILOX_ROUNDS; r++) {
        UNROLL for (int v = 0; v < 2; v++) {
            const u64vec p = times_32(a[v], PHILOX_M0), q = times_32(c[v], PHILOX_M1);
            a[v] = xor_3(q >> 32, b[v], key->k0[r]);
            c[v] = xor_3(p >> 32, d[v], key->k1[r]);
            b[v] = q;
            d[v] = p;
        }
    }
    UNROLL for (int v = 0; v < 2; v++) {
        const u64vec ab = (a[v] & 0xffffffff) | b[v] << 32, cd = (c[v] & 0xffffffff) | d[v] << 32;
#if defined(__clang__)
        for (int l = 0; l < PHILOX_BLOCKS; l++) {
            ((u64vec *)words)[2 * v][l] = l % 2 ? cd[l - 1] : ab[l];
            ((u64vec *)words)[2 * v + 1][l] = l % 2 ? cd[l] : ab[l + 1];
        }
        (void)even;
#else
        words[2 * v] = (u32vec)__builtin_shuffle(ab, cd, even);
        words[2 * v + 1] = (u32vec)__builtin_shuffle(ab, cd, even + 1);
#endif
    }
}

/* n words, starting at `block`. */
static void philox_run(int64_t n, uint64_t seed, uint64_t step, uint64_t block, uint32_t *out) {
    const philox_key key = philox_start(seed, step);
    /* Words before the first one requested. */
    int64_t skip = 4 * (int64_t)(block % (2 * PHILOX_BLOCKS));
    block -= block % (2 * PHILOX_BLOCKS);
    for (; n > 0; block += 2 * PHILOX_BLOCKS, skip = 0) {
        u32vec words[4];
        philox_words(&key, block, words);
        const int64_t count = PHILOX_WORDS - skip < n ? PHILOX_WORDS - skip : n;
        memcpy(out, (const uint32_t *)words + skip, (size_t)count * sizeof *out);
        out += count;
        n -= count;
    }
}

#endif
