/* The pool: blocks of any size from one region that is taken at open. */
#ifndef ETX__POOL_H
#define ETX__POOL_H

#include <stddef.h>
#include <stdint.h>

enum {
    ETX__SPAN = 64 * 1024, /* the region is cut into spans; small blocks share one */
    ETX__CLASSES = 44      /* 16 bytes to half a span, four steps to each doubling */
};

/* A span: free (class 0), the first of a run of whole spans, inside a run, or cut into blocks of
 * a class. */
typedef struct etx__span {
    uint32_t next,
        prev;       /* in the list of its class's spans with room, or of free runs; +1, 0: none */
    uint32_t spans; /* of a run, at its first and last span */
    uint32_t free_head; /* first returned block, as its offset / 16 + 1 in the span */
    uint16_t used;      /* blocks in use */
    uint16_t cut;       /* blocks cut so far: what lies behind was never touched */
    uint8_t kind;       /* etx__span_kind */
    uint8_t class;
} etx__span;

typedef struct etx__pool {
    uint8_t *region;
    etx__span *spans;
    uint32_t span_count;
    uint32_t span_top;              /* spans from here on are free, and most were never used */
    uint32_t spans_used;            /* of those below, not free */
    uint32_t spans_kept;            /* so many stay free: set around what may be refused */
    uint32_t free_runs;             /* list of returned runs; +1 */
    uint32_t partial[ETX__CLASSES]; /* spans of the class with room; +1 */
    uint64_t used_bytes;
    uint64_t capacity_bytes;
} etx__pool;

/* Bytes that the span table of `region_size` needs. */
size_t etx__pool_table_size(size_t region_size);
/* `table` must be zero-filled; both are borrowed and 16-aligned. */
void etx__pool_init(etx__pool *pool, void *region, size_t region_size, void *table);
/* A block aligned to 16, or NULL. The contents are whatever was there. */
void *etx__pool_alloc(etx__pool *pool, size_t size);
/* `size` as given to alloc. NULL is nothing. */
void etx__pool_free(etx__pool *pool, void *block, size_t size);

#endif
