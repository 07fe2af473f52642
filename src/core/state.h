/* What a core remembers: transactions and branches, the durable part of each beside the volatile
 * one. */
#ifndef ETX__STATE_H
#define ETX__STATE_H

#include <etx/record.h>

#include "pool.h"

/* How calls of one operation stand. Volatile: forgetting it only makes ETX call again. */
typedef struct etx__attempt {
    uint64_t serial; /* of the call that is outstanding; 0: none */
    uint64_t
        /* outstanding: when it counts as unanswered; else: not to be called before. monotonic */
        due_ms;
    uint32_t count;    /* calls of this operation so far */
    uint32_t failures; /* in a row */
    uint32_t unsent;   /* as failures, of forward operations that nobody was asked for */
    uint8_t operation; /* of the last call */
    uint8_t running;   /* its callback has not returned */
    uint8_t slow;      /* it counts as unknown already, and its callback has not returned */
} etx__attempt;

/* What few branches have, kept apart from the others' sake. */
typedef struct etx__rare {
    uint64_t digest; /* of an enlisted branch's content; 0 for those of BEGIN */
    uint32_t attempts_max, call_timeout_ms, retry_first_ms, retry_cap_ms;
} etx__rare;

/* The durable part of a branch: written by apply alone. */
typedef struct etx__branch_state {
    const uint8_t *name; /* ends with NUL, as `participant` does; name_len does not count it */
    const uint8_t *participant;
    const uint8_t *payload;
    uint8_t *result; /* a block of result_len */
    const uint16_t *depends_on;
    const etx__rare *rare; /* NULL: all of it is 0 */
    uint32_t payload_len;
    uint32_t result_len;
    uint16_t depends_on_count;
    uint16_t place;
    uint8_t name_len, participant_len, kind, flags;
    uint8_t forward; /* 0, ETX_DONE, ETX_REFUSED */
    uint8_t finish;  /* the same, of commit or undo */
    uint8_t settled; /* bit 1 << operation: by hand */
} etx__branch_state;

/* The volatile part of a branch. */
typedef struct etx__branch_run {
    etx__attempt call;
    uint8_t *reason; /* a block of reason_len: the last that the participant gave */
    uint8_t *result; /* a block of result_len: known, not recorded yet (`dirty`) */
    uint32_t result_len;
    uint32_t participant; /* its place among the registered; ETX__NOBODY */
    uint8_t reason_len;
    uint8_t forward; /* known: recorded or answered */
    uint8_t finish;
    uint8_t called;            /* this owner has called its forward operation */
    uint8_t dirty;             /* bit 1 << operation: answered, not recorded */
    uint8_t no_room;           /* its forward operation is done, and its result cannot be kept */
    uint16_t forward_attempts; /* calls of its forward operation by this owner, or the most */
} etx__branch_run;

typedef struct etx__branch {
    etx__branch_state s;
    etx__branch_run r;
    uint32_t block_size; /* of an enlisted branch's own block; 0: in the transaction's */
} etx__branch;

enum { ETX__NOBODY = UINT32_MAX, ETX__INITIATOR = 0xffff /* in place of a branch's place */ };

/* Somebody who waits. Made by the runtime, borrowed until the core answers it. */
typedef struct etx__waiter {
    struct etx__waiter *next;
    uint64_t seq;    /* BEGUN: answered once this is durable; set by the core */
    int rc;          /* the answer: 0 or an error; set by the core */
    const char *why; /* of an error, more than its code says; static, or NULL; set by the core */
    uint32_t entry;  /* the transaction answered about, or ETX__NOBODY; set by the core */
    uint8_t wait;    /* etx_wait: which state it waits for */
    uint8_t kind;    /* the runtime's */
    uint8_t look;    /* wants the state as it is now, once that is durable */
} etx__waiter;

/* The lists that a live transaction can be in. */
typedef enum etx__list {
    ETX__UNDURABLE = 0, /* rests on a record that is not durable yet */
    ETX__DIRTY = 1      /* has results that are answered and not recorded */
} etx__list;

/* The durable part of a live transaction. */
typedef struct etx__tx_state {
    const uint8_t *initiator; /* ends with NUL, and its payload follows */
    uint8_t *reason;          /* reason_len, NUL; in a block behind the gid, from reason_at on */
    uint64_t deadline_ms;
    uint64_t decided_ms;
    uint32_t resume_ms;
    uint32_t initiator_payload_len;
    uint16_t branch_count;
    uint8_t mode, durability, initiator_len, reason_len, reason_at;
} etx__tx_state;

/* The volatile part of a live transaction. */
typedef struct etx__tx_run {
    etx__waiter *waiters;
    uint64_t queued_seq;  /* in ETX__UNDURABLE: to be looked at once this is durable */
    uint64_t decided_seq; /* of its DECIDE, if this owner wrote it */
    uint64_t run_no;      /* resumed: of the run that is valid now */
    uint64_t silent_ms;   /* resumed: when the initiator counts as silent. monotonic */
    uint64_t grace_ms;    /* the deadline does not count before this. monotonic */
    etx__attempt *asking; /* query or resume; NULL: there is no initiator */
    uint32_t initiator;   /* its place among the registered */
    uint32_t timer;       /* place in the heap + 1; 0: none */
    uint32_t calls;       /* outstanding */
    uint32_t running;     /* callbacks that have not returned */
    uint8_t ours;         /* this owner put the BEGIN */
    uint8_t commit_asked; /* interactive: the initiator said commit */
    uint8_t listed;       /* bit 1 << etx__list: the lists that it is in */
    uint8_t stalled;
    uint8_t ordered; /* some branch depends on another */
    uint8_t unregistered;
    uint8_t over; /* ended: only callbacks that have not returned still borrow it */
    /* So many callbacks wait, one for the other, the last of them for this: 0: none was heard of.
     * At most UINT8_MAX. The runtime's, for its threads: nothing here depends on it. */
    uint8_t depth;
} etx__tx_run;

typedef struct etx__tx {
    etx__tx_state s;
    etx__tx_run r;
    struct etx__tx *buried_next;
    etx__branch **branch; /* s.branch_count of them */
    uint32_t branch_room; /* of the table; a block of its own if it was grown (table_size) */
    uint32_t table_size;
    uint32_t block_size;
    uint32_t image_size; /* at most so many bytes say all of it */
    uint32_t entry;
    uint32_t lent_gid_size;
    uint8_t *lent_gid; /* ended while callbacks run: the gid as they were given it */
    struct etx__link { /* neighbours in the core's lists; entry number + 1, 0: none */
        uint32_t before, after;
    } link[2];
} etx__tx;

/* A transaction that is known: live (tx is there) or remembered. */
typedef struct etx__entry {
    uint8_t *gid; /* a block: gid, NUL, and of a remembered one its reason, NUL */
    etx__tx *tx;
    uint64_t digest;
    uint64_t begin_ms;
    uint64_t ended_ms; /* 0: live */
    uint64_t ended_no;
    uint64_t first_seq;    /* of the oldest record that recovery needs. volatile */
    uint64_t rests_on;     /* what is told or done of it waits for this record. volatile */
    uint64_t last_seq;     /* of its newest record. volatile */
    uint64_t begun_us;     /* monotonic; 0: not begun by this owner. volatile */
    uint32_t older, newer; /* by first_seq; entry number + 1. volatile */
    uint8_t gid_len;
    uint8_t reason_len;
    uint8_t state; /* etx_state */
    uint8_t marks; /* low byte of etx_mark */
    uint8_t kind;  /* of all its branches; 0: several, or none, or it has ended long ago */
} etx__entry;

#endif
