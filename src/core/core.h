/* The core of one partition: step(core, event) -> outputs. It touches nothing outside its
 * memory. */
#ifndef ETX__CORE_H
#define ETX__CORE_H

#include "ages.h"
#include "state.h"

/* Time and chance, as they enter with an event. */
typedef struct etx__now {
    uint64_t mono_ms; /* never goes back */
    uint64_t mono_us;
    uint64_t wall_ms; /* since 1970 by the home's clock; may step */
    uint32_t random;
} etx__now;

/* What the core knows of a registered participant. */
typedef struct etx__policy {
    uint32_t call_timeout_ms, retry_first_ms, retry_cap_ms, attempts_max;
    uint8_t name_len;
    char name[ETX_NAME_MAX + 1];
} etx__policy;

typedef struct etx__core_options {
    uint32_t transactions_max;  /* in flight, with those of etx__core.others */
    uint32_t transactions_room; /* ... in this core; 0: transactions_max */
    uint32_t branches_max;
    uint64_t history_max;
    uint64_t history_age_ms;
    uint32_t participants_max;
    uint32_t image_max; /* bytes of one transaction with its results: what a batch can hold */
    uint32_t call_timeout_ms, retry_first_ms, retry_cap_ms, working_ms, park_after;
    uint8_t inspect;
    uint8_t read_only; /* nothing is put: what was folded is all that is known */
    uint8_t history_strict;
    uint64_t first_serial; /* of calls: no other core of the partition gave it */
    uint64_t memory_max;   /* bytes, with those of etx__core.others; 0: pool_size */
    size_t pool_size;      /* bytes for transactions, payloads and results in this core */
} etx__core_options;

typedef enum etx__event_type {
    ETX__EV_BEGIN,
    ETX__EV_ENLIST,
    ETX__EV_RESULT,
    ETX__EV_HOLD,
    ETX__EV_COMMIT,
    ETX__EV_ABORT,
    ETX__EV_WAIT,
    ETX__EV_RETRY,
    ETX__EV_PARK,
    ETX__EV_UNPARK,
    ETX__EV_FORCE,
    ETX__EV_REPLY,   /* of a call */
    ETX__EV_DURABLE, /* all records up to seq are durable */
    ETX__EV_TICK,  /* time has passed: one transaction that is due; out->more if there are others */
    ETX__EV_FLUSH, /* a batch is about to be put: what nobody waits for rides along */
    ETX__EV_REGISTERED, /* a participant was registered */
    ETX__EV_GIVE_UP,    /* a BEGIN that was never written is taken back */
    ETX__EV_MOVE,       /* rewrite what recovery needs from before seq; out->more */
    ETX__EV_RECOVERED,  /* the log is read and owned: go on from here */
    ETX__EV_FORGET      /* the partition is lost or closed: one transaction's waiters; out->more */
} etx__event_type;

/* The forward results that a call is given. */
typedef struct etx__results {
    uint32_t size;
    uint32_t count;
    struct etx__given {
        const char *name;
        etx_bytes bytes;
    } item[];
} etx__results;

typedef struct etx__event {
    etx__event_type type;
    etx__now now;
    etx__waiter *waiter; /* or NULL */
    etx_bytes gid;
    uint32_t hash; /* of gid: etx__core_hash */
    uint8_t old;   /* a gid made by ETX that is not new: if it is not known, it is gone */
    uint8_t depth; /* of commands: a callback waits for this; see etx__tx_run */
    union {
        struct {
            const etx_record_begin *begin;
            uint8_t fresh; /* a gid made by ETX for this begin: nothing can be known under it */
        } begin;
        struct {
            uint64_t run;
            const etx_record_branch *branch;
            const etx_bytes *depends_on; /* names; the places in `branch` are ignored */
            uint16_t depends_on_count;
            uint8_t default_order;
            uint8_t registered; /* of the branch's flags: not what its digest is of */
            etx_bytes content;  /* what its digest is of instead of the payload; data NULL: that */
        } enlist;
        struct {
            uint64_t run;
            etx_bytes branch, bytes;
            uint8_t reply;
        } result;
        struct {
            uint64_t run;
            etx_bytes reason;
        } decide;
        struct {
            etx_bytes who, why, branch;
            uint8_t force; /* etx_force */
            uint8_t operation;
        } operate;
        struct {
            uint64_t serial;
            uint32_t entry;
            uint16_t place; /* or ETX__INITIATOR */
            uint8_t reply;
            uint8_t returned; /* the callback has returned (else: completed by its token) */
            uint32_t retry_after_ms;
            etx_bytes bytes, reason;
            const etx__tx *tx; /* these two as the call gave them, with `returned` */
            etx__results *results;
        } reply;
        struct {
            uint64_t seq;
            uint64_t room; /* so many bytes may be appended; 0: no limit */
            uint32_t each; /* what one record takes beside its bytes */
        } durable;         /* also of FLUSH: the latter two */
        struct {
            uint64_t seq;
        } move;
        struct {
            uint32_t place;
            const etx__policy *policy;
        } registered;
        struct {
            uint64_t slot; /* of the owner's OWN */
        } recovered;
        struct {
            int rc; /* what the waiters hear */
        } forget;
    } u;
} etx__event;

/* A call to make. Borrowed pointers hold until the callback has returned (ETX__EV_REPLY,
 * returned), also if the transaction has ended by then. */
typedef struct etx__call {
    uint64_t rests_on; /* durable already: the runtime asserts it */
    uint64_t serial;
    uint64_t run_no;
    uint64_t begin_ms;
    const char *gid;
    const etx__tx *tx;
    const etx__branch *branch; /* NULL: the initiator's */
    etx__results *results;
    uint32_t entry;
    uint32_t participant;
    uint32_t attempt;
    uint32_t timeout_ms;
    uint16_t place;
    uint8_t operation;
    uint8_t depth; /* of its transaction; the initiator's is above its branches */
} etx__call;

/* Something to tell the monitor; what it says is durable. */
typedef struct etx__told {
    uint8_t type; /* etx_event_type */
    uint8_t operation;
    uint32_t entry;
    uint32_t attempt;
    const etx__branch *branch;
    const char *reason;
} etx__told;

enum { ETX__BUCKETS_FIRST = 64 };
enum { ETX__OUT_MAX = ETX_BRANCHES_MAX + 8 };

/* What a step came to. Borrowed until the next step. */
typedef struct etx__out {
    uint32_t record_count, call_count, told_count;
    uint64_t room_used;
    uint32_t silent;       /* calls that count as unknown now, since no answer came in time */
    uint8_t want;          /* somebody waits for what was appended: start a put */
    uint8_t more;          /* step again with the same event */
    etx__waiter *answered; /* a list; each with rc and entry set */
    const char *why;       /* the command was refused; static, or NULL */
    uint64_t wake_ms;      /* monotonic time of the next ETX__EV_TICK; UINT64_MAX: none */
    etx_record record[ETX__OUT_MAX];
    uint32_t record_entry[ETX__OUT_MAX];
    const etx__tx *record_body[ETX__OUT_MAX]; /* of END: what it ends; NULL: nothing was live */
    etx__call call[ETX__OUT_MAX];
    etx__told told[ETX__OUT_MAX];
} etx__out;

typedef struct etx__timer {
    uint64_t due_ms;
    uint32_t entry;
} etx__timer;

/* What the engine's other cores have. */
typedef struct etx__others {
    uint64_t live, bytes;
} etx__others;

typedef struct etx__core {
    etx__core_options options;
    etx__pool pool;
    etx__entry *entry;
    /* The index, apart from the entries: a look into it touches little memory. */
    struct etx__chained {
        uint32_t hash;
        uint32_t next; /* of its bucket; entry number + 1 */
    } * chained;       /* one an entry */
    uint32_t *bucket;  /* heads of the chains by hash; entry number + 1 */
    etx__timer *timer;
    uint32_t *ended; /* ring: entry + 1, by ended_no: see history.c */
    etx__policy *policy;
    uint16_t *named; /* places of policies + 1, by the hash of their names; at most half full */
    etx__out *out;
    uint8_t *scratch;                /* one per place of a branch */
    uint16_t *places;                /* of the branches to call now */
    etx_record_branch *image_branch; /* of a MOVE */
    etx_record_progress *image_progress;
    uint64_t ended_room, ended_turn; /* the ring's places: at most; now */
    uint64_t ended_base;             /* a number that has the first place */
    uint64_t ended_last;             /* the newest ended_no */
    uint64_t ended_oldest;           /* nothing below is remembered */
    uint64_t forgotten_ms; /* begin of the newest that was forgotten: older gids may be gone */
    uint64_t seq;          /* of the newest record */
    uint64_t durable;
    uint64_t serial; /* of the newest call */
    uint64_t own_slot;
    uint64_t calls;    /* outstanding */
    int64_t offset_ms; /* wall - mono */
    uint32_t entries_max, entries_top, entries_free;
    uint32_t buckets;      /* in use: grows by one bucket with each entry */
    uint32_t buckets_mask; /* of the last power of two that was reached */
    uint32_t entries;      /* in use */
    uint32_t timer_count;
    uint32_t oldest, newest; /* by first_seq; + 1 */
    uint32_t live, remembered, parked, stalled;
    etx__ages ages;    /* of those that are live */
    uint32_t chosen;   /* of those remembered, how many gids callers chose */
    struct etx__ends { /* of the list of each etx__list; entry number + 1 */
        uint32_t first, last;
    } list[2];
    uint32_t named_mask;
    etx__others others; /* set before what may begin */
    uint8_t grade;      /* ... an etx_durability: the log promises it; 0: all that is asked for */
    etx__tx *buried;    /* ended: freed at the next step */
    etx__waiter *absent_first, *absent_last; /* asked about what is not live; by seq */
    uint8_t started;                         /* recovered: acts */
    uint8_t offset_known;
} etx__core;

/* Bytes that a core with these options needs; hold zero-filled memory of that size, aligned to
 * 16. */
size_t etx__core_size(const etx__core_options *options);
/* Lays a core out in `memory`, which it borrows. */
etx__core *etx__core_init(void *memory, const etx__core_options *options);

/* Recovery: folds one record, in the log's order. Errors: ETX_EBUSY (options too small for what
 * is live), ETX_ECORRUPT (a record that no core would have written). */
int etx__core_fold(etx__core *core, const etx_record *record);

/* One step. The outputs are borrowed until the next one. */
const etx__out *etx__core_step(etx__core *core, const etx__event *event);

uint32_t etx__core_hash(etx_bytes gid);
/* Brings near what a begin with that hash will touch. */
void etx__core_prefetch(const etx__core *core, uint32_t hash);
/* The entry of a gid, or NULL. */
const etx__entry *etx__core_find(const etx__core *core, etx_bytes gid, uint32_t hash);
/* How far a transaction is in the log: of one that is decided, and not durably so, ETX_ACTIVE. */
etx_state etx__core_durable_state(const etx__core *core, const etx__entry *entry);
uint32_t etx__core_hash_of(const etx__core *core, const etx__entry *entry);
/* All that is durable of a transaction, as MOVE says it; the branches and progress are put where
 * the caller gives room for ETX_BRANCHES_MAX of each. */
void etx__core_image(const etx__core *core,
                     const etx__entry *entry,
                     etx_record_branch *branches,
                     etx_record_progress *progress,
                     etx_record *ret_move);
/* Is nothing live, and nothing remembered that ended less than history_age_ms before? */
int etx__core_drained(const etx__core *core, uint64_t wall_ms);
/* A place in the order of records, for one that the core does not know of. */
uint64_t etx__core_barrier(etx__core *core);
/* Since when nothing that began was forgotten, ms since 1970; 0: never. */
uint64_t etx__core_known_since(const etx__core *core);

#endif
