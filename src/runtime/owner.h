/* Owning a partition: which put follows from which result. Pure: no log, no thread, no clock. */
#ifndef ETX__OWNER_H
#define ETX__OWNER_H

#include <etx/log.h>

typedef enum etx__owner_state {
    ETX__OWNER_NONE = 0, /* has no claim */
    ETX__OWNER_IDLE = 1, /* may put at `slot` */
    ETX__OWNER_PUT = 2,  /* a put at `slot` is outstanding */
    ETX__OWNER_PROVE =
        3, /* its own bytes were found there: an empty batch at slot + 1 is to prove it */
    ETX__OWNER_OVER = 4 /* lost, regressed or poisoned: nothing may be put */
} etx__owner_state;

typedef struct etx__owner {
    etx__owner_state state;
    uint32_t partition;
    uint32_t predecessor; /* checksum of slot - 1 */
    uint64_t slot;        /* of the put that is outstanding, or the next */
    uint64_t nonce;       /* drawn afresh for every claim */
    uint32_t checksum;    /* of the put that is outstanding */
    uint8_t doubtful;     /* an attempt of it ended unknown */
    uint8_t acknowledged; /* slot - 1 was acknowledged to this owner */
} etx__owner;

/* What to do next. */
typedef enum etx__verdict {
    ETX__DURABLE,   /* the batch stands; put the next */
    ETX__AGAIN,     /* the same put again, no other */
    ETX__PROVE,     /* put the empty batch (etx__owner_fill says which) */
    ETX__GIVE_BACK, /* nothing of it can take effect any more: its records may go elsewhere */
    ETX__LOST,      /* another owns the partition */
    ETX__BROKEN,    /* the log must be reopened and read anew */
    ETX__REGRESSED  /* the store has lost what it acknowledged */
} etx__verdict;

/* Begins a claim behind the last slot that was read (`next` is the slot for OWN). */
void etx__owner_claim(etx__owner *owner,
                      uint32_t partition,
                      uint64_t nonce,
                      uint64_t next,
                      uint32_t predecessor);
/* Fills a put with the batch (or, when proving, an empty one). State IDLE, or PUT and PROVE to
 * repeat. */
void etx__owner_fill(etx__owner *owner, etx_bytes batch, etx_put *ret_put);
/* Judges what the put came to. */
etx__verdict etx__owner_judge(etx__owner *owner, const etx_put *put, etx_put_result result);

/* The empty batch: a codec's id and no record. */
etx_bytes etx__owner_empty(void);

#endif
