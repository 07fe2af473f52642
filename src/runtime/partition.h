/* A partition at run time: its core, its claim, the batches on their way, its writer. */
#ifndef ETX__PARTITION_H
#define ETX__PARTITION_H

#include "runtime.h"

/* A put that has not come back for so long counts as a home that does not answer. */
enum { ETX__MARKS = 256, ETX__PUT_HANGS_MS = 800 };

/* The memory of one core. It outlives its claim while callbacks still hold pointers into it. */
typedef struct etx__memory {
    struct etx__memory *next; /* of those that are retired */
    etx__core *core;
    void *block;
    size_t size;
    uint32_t running; /* callbacks that have not returned; the shard's */
    uint8_t retired;
} etx__memory;

/* An event that is told once its batch is durable. */
typedef struct etx__tale {
    uint64_t begin_ms;
    uint8_t type, state, marks;
    char gid[ETX_GID_MAX + 1];
    char reason[ETX_REASON_MAX + 1];
} etx__tale;

/* Records on their way to one slot. */
typedef struct etx__batch {
    struct etx__batch *next;
    uint8_t *bytes;
    size_t len, room;
    size_t moves; /* bytes of it that are moves */
    uint64_t last_seq;
    uint64_t since_ms; /* of its first record. monotonic */
    uint32_t records;
    uint32_t begun, ended;
    uint32_t committed[ETX_METRICS_KINDS], aborted[ETX_METRICS_KINDS]; /* by kind */
    uint8_t wanted;                                                    /* somebody waits for it */
    uint8_t padded; /* no record in it, but the claim: to see whether there is room */
    etx__tale *tale;
    uint32_t tales, tales_room;
} etx__batch;

/* Where a slot begins in the order of records: for trimming. */
typedef struct etx__mark {
    uint64_t slot, seq, bytes, blocks;
} etx__mark;

typedef enum etx__partition_state {
    ETX__CLOSED = 0,
    ETX__OPEN = 1,     /* owned: takes commands */
    ETX__POISONED = 2, /* is reopened at retry_ms */
    ETX__GONE = 3,     /* lost or regressed */
    ETX__ELSEWHERE = 4 /* of a shared home: another node's, or not yet ours */
} etx__partition_state;

/* A job of the writer thread. */
typedef enum etx__job {
    ETX__JOB_NONE = 0,
    ETX__JOB_PUT,
    ETX__JOB_TRIM,
    ETX__JOB_READ,  /* at start: reads; once all are read, */
    ETX__JOB_CLAIM, /* ... claims */
    ETX__JOB_LOAD,  /* later: both */
    ETX__JOB_STOP
} etx__job;

/* What another node remembers of it, and which. */
typedef struct etx__word {
    etx_seen_mark mark;
    char node[ETX_NAME_MAX + 1];
} etx__word;

/* Of so many nodes; the oldest word goes where there are more. */
enum { ETX__WORDS = 8 };

struct etx__partition {
    etx__home *home;
    etx__shard *shard;
    uint32_t number; /* in its home */
    uint32_t place;  /* in the engine */
    _Atomic uint32_t state;
    etx__memory *memory;
    etx__memory *retired; /* whose callbacks have not all returned */
    etx__owner owner;
    /* of a shared home: what its keeper wants (etx__wish) */
    _Atomic uint32_t wish;
    _Atomic uint32_t order;    /* ... and an operator (etx__order) */
    _Atomic uint64_t lease_us; /* until then new puts may begin; UINT64_MAX: it needs no lease */
    _Atomic uint32_t loading;  /* it is being read and claimed */
    _Atomic uint32_t lapsed;   /* its lease was free, or another's, for a while */
    _Atomic uint32_t load_failures; /* in a row */
    _Atomic uint64_t leave_us;      /* handed over then, quiet or not. Both monotonic */
    _Atomic uint64_t nonce;         /* of the claim, as gids carry it */
    _Atomic uint64_t counter;       /* of gids made here */
    _Atomic uint32_t live;          /* transactions in flight, for placing new ones */
    uint64_t wake_ms;               /* the core's. monotonic */
    uint64_t flush_ms;              /* then the answers in ETX__DIRTY are put; UINT64_MAX: none */
    /* batches */
    etx__batch *flying;       /* given to put */
    etx__batch *first, *last; /* forming */
    etx__batch *spare;
    uint32_t record_room; /* bytes that one record takes at most, beside what it carries */
    uint32_t byte_room;   /* ... and each byte it carries, in sixteenths */
    uint8_t unsettled;    /* what follows from the last acknowledgement waits for memory */
    uint8_t busy;         /* the writer has a job, or a put is to be repeated */
    uint8_t again;        /* ... repeated at retry_ms */
    uint8_t hangs;        /* the put has not come back for long */
    etx_put put;
    etx_put_result put_result;
    uint64_t put_start_us, put_usual_us;
    uint64_t retry_ms; /* monotonic */
    uint64_t room_ms;  /* full: when to look for room again. monotonic */
    uint64_t room;     /* bytes that the log can take without more space from its store */
    uint64_t unit;     /* bytes that go at once when it is trimmed; 0: not known */
    uint32_t retries;
    _Atomic uint32_t lacks; /* a put was refused: bytes to be written until there is room again */
    uint32_t piece;         /* ... with each put */
    uint32_t relapses;      /* it was refused again soon after */
    uint64_t room_was_ms;   /* when there was room again last. monotonic */
    /* trimming */
    etx__mark mark[ETX__MARKS];
    uint32_t mark_first, marks;
    uint64_t bytes, blocks; /* put since the log began, as far as it was read */
    uint64_t moving_seq;    /* moves for all before this are under way; 0: none */
    uint64_t moved_seq;     /* ... durable once this is */
    etx__mark trim_to;      /* what the moves are for */
    etx__mark trimmed;      /* what is gone */
    /* the writer */
    pthread_t writer;
    _Atomic uint32_t job;         /* a futex */
    _Atomic uint32_t writer_over; /* a futex: it has seen ETX__JOB_STOP */
    etx__node job_done;
    etx__job job_was;
    int job_rc;
    etx__memory *loaded;                   /* what reading gave */
    uint64_t read_next;                    /* the slot behind what was read */
    uint32_t read_checksum;                /* of the one before */
    char chosen_then[ETX_HOME_ID_LEN + 1]; /* the home for chosen gids, as was read; or "" */
    uint64_t loaded_own;
    etx_record_loss loss; /* the newest that was accepted; time_ms 0: none was */
    char loss_who[ETX_NAME_MAX], loss_why[ETX_REASON_MAX];
    uint8_t loss_new;           /* what is remembered is not there, and that is accepted */
    etx__word told[ETX__WORDS]; /* changed with its home's lock, as is the next place in it */
    uint32_t told_next;
    _Atomic uint32_t told_new; /* and that has not been weighed yet */
    _Atomic uint32_t regressed;
    char regress[480]; /* why; changed with its home's lock */
    char message[480];
    uint8_t has_writer;
    uint8_t stuck; /* its writer has not come back */
    uint8_t full;  /* as its log says */
    uint8_t whole; /* its core has room for all that the engine may have */
    uint8_t fresh; /* opened a moment ago: look for room once, at room_ms */
    /* metrics */
    _Atomic uint64_t begun, ended, recovered;
    _Atomic uint64_t puts, put_bytes, put_records, put_failures, put_unknown;
    _Atomic uint64_t inline_puts, trims, moves;
    etx__histogram put_us, put_batch, decided_us, ended_us;
    _Atomic uint64_t kind_committed[ETX_METRICS_KINDS], kind_aborted[ETX_METRICS_KINDS];
    _Atomic uint64_t put_max_us, calls, calls_done, calls_refused, calls_working, calls_unknown;
    /* gauges, set after each round of the shard */
    _Atomic uint64_t parked, stalled, remembered, calls_out, memory_used, oldest_ms;
    _Atomic uint64_t oldest_begin_ms; /* of what is live; 0: nothing is */
};

etx__partition *etx__partition_make(etx__home *home, uint32_t number);
void etx__partition_free(etx__partition *partition);

/* ---- on the shard's thread */
/* Steps the core and does what it says: encodes records, gives answers, sends calls off. */
void etx__partition_step(etx__partition *partition, etx__event *event);
/* Steps an event that goes through a list, as far as there is room. 0: memory is lacking. */
int etx__partition_step_list(etx__partition *partition, etx__list list, etx__event *event);
/* Puts what is due: on this thread if that is allowed, else on the writer's. 1: something was
 * begun or done. */
int etx__partition_put(etx__partition *partition, int may_inline);
int etx__partition_put_due(const etx__partition *partition);
/* Without its lease a partition starts no new put, and does not say what may be over by now. */
int etx__partition_has_lease(const etx__partition *partition);
/* How long after the `retries`-th failure in a row a put, or a reopening, is tried again. */
uint64_t etx__partition_pause_ms(uint32_t retries);
/* What the writer's job came to. */
void etx__partition_job_done(etx__partition *partition);
/* Time has passed. */
void etx__partition_tick(etx__partition *partition);
/* Sets the gauges of the metrics to what the core has now. */
void etx__partition_gauges(etx__partition *partition);
/* When it wants to be looked at by itself. monotonic ms */
uint64_t etx__partition_wake(etx__partition *partition);
/* Everybody who waits hears rc; what is not durable is dropped. */
void etx__partition_forget(etx__partition *partition, int rc);
/* A callback has returned to a core's memory. */
void etx__memory_return(etx__partition *partition, etx__memory *memory);
/* Goes on with trimming after a batch of so many bytes that were no moves. */
void etx__partition_trim(etx__partition *partition, size_t bytes);
void etx__partition_mark(etx__partition *partition, uint64_t slot, uint64_t seq, size_t bytes);

/* ---- on any one thread that owns the partition */
int etx__partition_read(etx__partition *partition); /* into partition->loaded */
void etx__partition_unload(etx__partition *partition);
int etx__partition_claim(etx__partition *partition); /* what was read, and is the newest */
int etx__partition_load(etx__partition *partition);  /* both, while the engine runs */
/* Takes over what was loaded. The shard's. */
void etx__partition_install(etx__partition *partition);
/* What it has lost, in short. */
void etx__partition_regress_says(const etx__partition *partition, char *ret_text, size_t size);
/* Appends once more what the claim said: its slot will be trimmed. The shard's. */
void etx__partition_own_again(etx__partition *partition);
/* The claim, and the newest loss that was accepted, in at most ETX__OWN_ROOM bytes of `room`. */
enum { ETX__OWN_ROOM = 2048 };
etx_bytes etx__own_batch(const etx__partition *partition, uint64_t nonce, uint8_t *room);
/* The home for chosen gids, as a claim of this partition says it; "" where none is known. */
const char *etx__chosen_recorded(const etx__partition *partition);
/* May this engine have the home for chosen gids that it has? All is read, nothing claimed; or one
 * partition is read again. 0 or ETX_ECONFLICT, with the engine's message. */
int etx__chosen_check(etx_engine *engine);
/* May a home that was away at start be made, if there is none? */
int etx__chosen_lets_make(const etx__home *home);
/* May a home that was away at start be taken now? It is read later. 0 or ETX_ECONFLICT. */
int etx__chosen_check_arrival(const etx__home *home);
/* Of one that another node had: its message says what is wrong, and chosen gids are denied here. */
int etx__chosen_check_again(etx__partition *partition);
/* Do other nodes have them in another home, as was read? Then why says so, and it is not 0. */
int etx__chosen_denied(etx_engine *engine, char why[ETX_REASON_MAX + 1]);
int etx__writer_start(etx__partition *partition);
void etx__writer_give(etx__partition *partition, etx__job job);
/* Waits for it until the time, monotonic; ETX_EBUSY: its put has not come back. It ends by itself
 * then, and the engine's memory with it. */
int etx__writer_stop(etx__partition *partition, uint64_t until_us);

/* What the core knows of a participant. */
void etx__policy_of(const etx__registered *registered, etx__policy *ret_policy);

/* ---- batches */
/* Appends a record to what forms: etx__room_make has seen to the room. `kind` is the
 * transaction's. */
void etx__batch_append(etx__partition *partition, const etx_record *record, unsigned kind);
/* The newest that forms, made if there is none. */
etx__batch *etx__batch_forming(etx__partition *partition);
void etx__batch_recycle(etx__partition *partition, etx__batch *batch);
void etx__batch_free(etx_engine *engine, etx__batch *batch);
/* Takes back the BEGINs of batches that were never written, with all of their transactions; what
 * remains forms anew. `from` is &partition->flying (not written) or &partition->first (all that
 * forms). ETX_ENOMEM: nothing was taken back, and all stays as it was. */
int etx__batch_give_back(etx__partition *partition, etx__batch **from, int error);
/* Keeps the events that a record is, if somebody wants them. */
void etx__tales_keep(etx__partition *partition, const etx_record *record, const etx__entry *entry);
void etx__tales_tell(etx__partition *partition, etx__batch *batch);

/* ---- answers that nobody waits for (flush.c). The shard's */
/* Looks whether there are any; the time of those that are new counts from here on. */
void etx__flush_note(etx__partition *partition);
/* Has those put which have waited for long enough; says when to look again. monotonic ms */
void etx__flush_look(etx__partition *partition);
uint64_t etx__flush_wake(const etx__partition *partition);
/* Closing: they are put now, as what forms is. 0: there is nothing to be put. */
int etx__flush_rest(etx__partition *partition);

/* ---- space: what the log has of it (full.c). The shard's */
/* Asks the log whether it is full. */
void etx__full_look(etx__partition *partition);
/* A put came to nothing for lack of space. */
void etx__full_note(etx__partition *partition);
/* ... and is not put again as late as one that failed otherwise. */
void etx__full_again(etx__partition *partition);
/* Sees to it that something is put while there was no room, although nobody comes. */
void etx__full_probe(etx__partition *partition);
/* Makes a batch without a record as large as what was refused; takes that back. */
void etx__full_pad(etx__partition *partition, etx__batch *batch);
void etx__full_unpad(etx__batch *batch);
/* So many bytes were written. */
void etx__full_took(etx__partition *partition, size_t len, int padded);
/* Does it take nothing new for lack of space? */
static inline int etx__partition_is_full(const etx__partition *partition) {
    return partition->full || atomic_load_explicit(&partition->lacks, memory_order_relaxed) > 0;
}

/* ---- room: before each step that can bring records or calls */
/* Sees to it that records of so many bytes, and a step's calls, find room; `begins`: and that a
 * spare batch of as much stays for what follows. 0: there is no memory for it now. */
int etx__room_make(etx__partition *partition, size_t need, int begins);
/* For an event that goes through a list: for the first in it at least; the event says for how
 * much. */
int etx__room_for_list(etx__partition *partition, etx__list list, etx__event *event);
/* What one record with so many bytes may take; what may follow from a transaction in one step. */
size_t etx__need_bytes(const etx__partition *partition, size_t bytes);
size_t etx__need_of(const etx__partition *partition, const etx__tx *tx);
size_t etx__need_of_own(const etx__partition *partition); /* of a claim that is said again */
size_t etx__need_of_entry(const etx__partition *partition, uint32_t entry);
/* What is left in the batch that forms. */
size_t etx__room_left(const etx__partition *partition);
/* A spare batch that takes more than so many bytes, or a new one; NULL: no memory. */
etx__batch *etx__spare_take(etx__partition *partition, size_t bytes);
/* Once: how large the codec makes records. */
void etx__room_measure(etx__partition *partition);

#endif
