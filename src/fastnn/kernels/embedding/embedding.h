/* embedding.h: gather rows of a table, and scatter-add gradients to them. */
#ifndef FASTNN_EMBEDDING_H
#define FASTNN_EMBEDDING_H

#include "stream.h"
#include "vec.h"

/* Prefetch distance in rows: the hardware cannot predict their addresses. */
enum { EMBEDDING_AHEAD = 8 };

/* out_i = scale table_ids[i] for m rows of n. past_caches: use non-temporal stores (stream.h) if
 * the rows of out are aligned. */
static void gather_rows(int64_t m, int64_t n, const int64_t *ids, const real *table,
                        int64_t ldtable, real scale, real *out, int64_t ldout, int past_caches) {
    past_caches = past_caches && can_stream(out, ldout);
    for (int64_t r = 0; r < m; r++) {
        const real *row = table + ids[r] * ldtable;
        if (r + EMBEDDING_AHEAD < m) __builtin_prefetch(table + ids[r + EMBEDDING_AHEAD] * ldtable);
        for (int64_t i = 0; i < n; i += LANES)
            store_some(out + r * ldout + i, n - i, load_some(row + i, n - i, 0) * scale,
                       past_caches);
    }
    if (past_caches) stream_end();
}

/* table_ids[i] += scale dy_i in the order of i, except for ids equal to `skipped`. */
static void scatter_add_rows(int64_t m, int64_t n, const int64_t *ids, int64_t skipped,
                             const real *dy, int64_t lddy, real scale, real *table,
                             int64_t ldtable) {
    for (int64_t r = 0; r < m; r++) {
        real *row = table + ids[r] * ldtable;
        const real *g = dy + r * lddy;
        if (r + EMBEDDING_AHEAD < m)
            __builtin_prefetch(table + ids[r + EMBEDDING_AHEAD] * ldtable, 1);
        if (ids[r] == skipped) continue;
        for (int64_t i = 0; i < n; i += LANES)
            store_some(row + i, n - i,
                       load_some(row + i, n - i, 0) + load_some(g + i, n - i, 0) * scale, 0);
    }
}

/* Index of the first id outside 0..rows-1, or m if all are valid. */
static int64_t first_outside(int64_t m, const int64_t *ids, int64_t rows) {
    enum { RUN = 256 };
    for (int64_t start = 0; start < m; start += RUN) {
        const int64_t stop = m - start < RUN ? m : start + RUN;
        int64_t outside = 0;
        for (int64_t i = start; i < stop; i++) outside |= (uint64_t)ids[i] >= (uint64_t)rows;
        if (outside)
            for (int64_t i = start;; i++)
                if ((uint64_t)ids[i] >= (uint64_t)rows) return i;
    }
    return m;
}

#endif
