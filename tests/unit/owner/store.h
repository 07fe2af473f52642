/* Two owners and an abstract store of write-once slots: one state, and what may happen next. */
#ifndef OWNER_STORE_H
#define OWNER_STORE_H

#include <stdint.h>

#include "../../../src/runtime/owner.h"

enum { SLOTS = 8, COPIES = 6, OWNERS = 2, ACTIONS_MAX = 32 };

typedef struct slot {
    uint64_t nonce;
    uint32_t checksum, predecessor;
    uint8_t is_own; /* holds an OWN record */
} slot;

/* An attempt that may take effect later. */
typedef struct copy {
    slot bytes;
    uint8_t at;
} copy;

typedef struct node {
    etx__owner owner;
    uint8_t claiming; /* its OWN is not acknowledged yet */
    uint8_t claims;   /* left */
    uint8_t doubtful; /* an attempt of the put at `slot` ended unknown */
    uint8_t batch;    /* what it puts: changes with each put */
    uint64_t own_at;
} node;

typedef struct store {
    slot slot[SLOTS];
    copy copy[COPIES];
    node node[OWNERS];
    uint8_t slots;   /* visible */
    uint8_t durable; /* ... of which no failover erases */
    uint8_t copies;
    uint8_t failovers; /* left */
} store;

/* What a put comes to, as the store has it. */
typedef enum outcome {
    HONEST,  /* carried out and told */
    REFUSED, /* not carried out, and told */
    LATE,    /* unknown: carried out later, or never */
    SILENT,  /* unknown: carried out now, not yet replicated */
    BROKEN,  /* unknown, with an I/O error */
    OUTCOMES
} outcome;

/* One owner that has claimed an empty log, another that has not. */
void store_make(store *s);
/* Carries out action `number` of those possible. 0: there are no more; -1: not possible now.
 * *ret_wrong: what was broken, or NULL. */
int store_act(store *s, int number, const char **ret_wrong);
/* What the action is called, for a trace. */
const char *store_action_name(int number);

#endif
