/* The simulation: whole nodes on one seeded clock, in one thread. The nodes are the real library;
 * what is made here is the world around them. */
#ifndef SIMULATION_SIM_H
#define SIMULATION_SIM_H

#include <setjmp.h>
#include <stdio.h>

#include "../../src/runtime/home.h"
#include "../../src/runtime/request.h"
#include "../../src/runtime/shard.h"
#include "faults.h"
#include "plan.h"

enum {
    SIM_NODES = 3,
    SIM_STORES = 2,
    SIM_PARTITIONS = 2,
    SIM_THREADS = 16,
    SIM_BUCKETS = 512,
    SIM_SIZES = 64,
    SIM_BUSY_MS = 12000,
    SIM_LEASE_MS = 1500
};

/* Streams of chance, apart from each other, so that leaving out one kind of fault changes little
 * else. */
typedef enum sim_stream {
    SIM_LOAD,    /* what is asked of the nodes */
    SIM_NET,     /* how long things take, what is lost */
    SIM_CRASHES, /* nodes */
    SIM_STORING, /* stores */
    SIM_INSIDE,  /* the library's own random bits */
    SIM_ORDERS,  /* what operators do with nodes and partitions */
    SIM_STREAMS,
    SIM_STREAMS_AT_FIRST = SIM_ORDERS /* that seeds are multiplied by, for ever */
} sim_stream;

/* Have the nodes logs of their own? */
typedef enum sim_locals {
    SIM_NO_LOCALS,
    SIM_LOCALS_BEHIND, /* behind the stores: for when those are away */
    SIM_LOCAL_ONLY     /* one node, no stores */
} sim_locals;

/* What a seed draws; `without` leaves faults out (to make a story short). */
typedef struct sim_options {
    uint64_t seed;
    uint64_t without;          /* bit 1 << sim_fault */
    uint32_t plans;            /* at most so many transactions; 0: as drawn */
    uint32_t nodes;            /* at most so many; 0: as drawn */
    uint32_t busy_ms;          /* faults stop after it; 0: SIM_BUSY_MS */
    uint8_t absent[SIM_PLANS]; /* clients that do not come */
    FILE *trace;               /* or NULL */
    uint32_t patience_s;       /* a child that is silent for so long is killed; 0: never */
    uint8_t quiet;             /* an assertion that fails was told already */
    const char *only;          /* traced: of gids this one, its children and its parent; or NULL */
} sim_options;

/* ---- events */

typedef void (*sim_act)(sim *s, void *what);

/* ---- nodes */

/* A call on its way to a participant, and its answer on the way back. */
typedef struct sim_message {
    sim_node *node;
    sim_truth *truth;
    etx_token token;
    uint32_t life, place, attempt;
    etx_operation operation;
    etx_reply reply;
} sim_message;

typedef struct sim_thread {
    sim_node *node;
    etx__turn_fn turn;
    void *argument;
    _Atomic uint32_t *word; /* it waits for a change of this, or NULL */
    uint32_t value;         /* ... which was so */
    uint32_t number;        /* of its due turn: an older event is void */
    uint8_t alive, writer, core;
} sim_thread;

/* What a node was acknowledged last, of one partition. */
typedef struct sim_known {
    uint64_t nonce, slot;
    uint32_t checksum;
    uint8_t lost; /* and the store does not have it any more, as it told the node */
} sim_known;

typedef struct sim_kept { /* a file of a node's state directory: it outlives its process */
    etx_seen seen;        /* home is "" until it is written */
    etx_seen_mark mark[SIM_PARTITIONS];
} sim_kept;

struct sim_node {
    sim *world;
    sim_known known[SIM_STORES][SIM_PARTITIONS];
    sim_kept kept[SIM_STORES];
    uint32_t place;
    char name[8];
    uint32_t life; /* which incarnation; what belongs to an older one is void */
    uint8_t up, paused, entered, late_names;
    uint8_t cut[SIM_STORES];                             /* cannot reach the store */
    int64_t wall_offset_ms, wall_least_ms, wall_most_ms; /* its clock: now, and ever */
    uint64_t paused_until_us;
    etx_engine *engine;
    sim_thread thread[SIM_THREADS];
    uint32_t threads;
    sim_thread *current;
    const sim_message *returning; /* whose callback returns now (workers.c) */
    jmp_buf out;                  /* taken by a crash */
    uint8_t *arena;
    size_t arena_used, arena_large;
    void *free_block[SIM_SIZES]; /* released blocks, by size */
    size_t free_size[SIM_SIZES];
};

/* ---- stores */

typedef struct sim_slot {
    uint8_t *bytes;
    uint32_t len, checksum, predecessor;
    uint64_t nonce;
    uint64_t own; /* nonce of the newest OWN up to here */
} sim_slot;

typedef struct sim_shelf { /* one partition of a store */
    sim_slot *slot;
    uint64_t count, room;
    uint64_t mark;  /* below it is trimmed */
    uint64_t doubt; /* one more than the slot of the newest put that ended unknown */
    uint64_t told;  /* slots below it were acknowledged, themselves or by one behind them */
    uint64_t last_nonce;
    uint64_t accepted_ms; /* when somebody accepted what it has lost; 0: never */
    uint64_t lease_us;    /* until then it is ... */
    uint32_t lease_place; /* ... of this node */
} sim_shelf;

struct sim_store {
    sim *world;
    struct disk *disk; /* a node's own log: the real one is there, and this is its shadow */
    uint32_t place;
    char id[ETX_HOME_ID_LEN + 1];
    etx_durability grade;
    uint8_t down, regressed;
    uint8_t leased;                 /* nodes share it by leases; else who starts takes all */
    uint32_t moves;                 /* of its partitions, that operators have ordered */
    uint64_t attends_us[SIM_NODES]; /* until then the node is there */
    uint32_t attends[SIM_NODES];    /* ... in this life */
    char address[SIM_NODES][400];   /* ... and says so of itself */
    uint32_t slack, batch_max;      /* when nodes trim it, and what it takes at once */
    sim_shelf shelf[SIM_PARTITIONS];
};

typedef struct sim_stats {
    uint64_t events, transactions, committed, aborted, crashes, takeovers, pauses, puts, calls;
    uint64_t unknown_puts, outages, failovers, forced, moves, restarts;
    uint64_t late_puts, erased, regressed, disk_errors, disk_full, flips, refusals, lies, hangs,
        handovers;
} sim_stats;

struct sim {
    sim_options options;
    uint64_t random[SIM_STREAMS];
    uint32_t chance[SIM_FAULTS]; /* of 10,000 */
    uint8_t healing;             /* faults have stopped */
    uint8_t restarts;            /* ... and then all nodes are started anew; else none is */
    uint64_t now_us, order;
    struct sim_event *heap;
    uint32_t events, events_room;
    sim_node node[SIM_NODES];
    uint32_t nodes;
    sim_node *running;                       /* whose code runs now */
    sim_store store[SIM_STORES + SIM_NODES]; /* shared ones, then each node's own */
    uint8_t locals;                          /* sim_locals */
    uint32_t stores, partitions;
    uint8_t leased;               /* the shared stores are */
    uint8_t forgets;              /* nodes remember little: gids are not repeated then */
    sim_plan plan[SIM_PLANS * 2]; /* and those of children */
    uint32_t plans;
    sim_truth *truths;
    sim_truth *truth_bucket[SIM_BUCKETS];
    etx_record_room room; /* for reading records */
    uint8_t *arena;
    size_t arena_used, arena_size;
    uint64_t digest; /* of the trace */
    sim_stats stats;
    /* the first promise that broke */
    char broken[64];
    char story[512];
    char broken_gid[ETX_GID_MAX + 1];
    jmp_buf over;
};

/* ---- world.c: chance, time, memory */
sim *sim_make(void);
void sim_free(sim *s);
/* Runs a seed from its beginning. 0: all promises held; 1: s->broken says which did not. */
int sim_run(sim *s, const sim_options *options);
uint64_t sim_random(sim *s, sim_stream stream);
uint32_t sim_below(sim *s, sim_stream stream, uint32_t bound);
/* Does it happen now? Never while healing. */
int sim_happens(sim *s, sim_fault fault);
/* A time around `us`: mostly shorter, sometimes ten times as long. */
uint64_t sim_about(sim *s, uint64_t us);
void sim_at(sim *s, uint64_t in_us, sim_act act, void *what);
void *sim_alloc(sim *s, size_t size); /* zero; until the seed is over */
void sim_say(sim *s, const char *gid, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A promise is broken: ends the seed. */
void sim_break(sim *s, const char *promise, const char *gid, const char *format, ...)
    __attribute__((format(printf, 4, 5), noreturn));
const char *sim_fault_name(sim_fault fault);
void sim_run_until(sim *s, uint64_t until_us);
void sim_store_back(sim *s, void *store); /* all reach it again */

/* ---- live.c */
/* Faults stop, and everything must end. */
void sim_live_on(sim *s);

/* ---- swarm.c */
/* Draws which faults this seed has, how many nodes, stores and transactions. */
void sim_draw(sim *s);

/* ---- machine.c */
sim **sim_current(void);
void sim_machine_forget(sim_node *node); /* its memory */
void sim_machine_free(sim_node *node);

/* ---- node.c */
void sim_node_boot(sim_node *node);
/* Runs `act` as the node; 0: it crashed meanwhile. */
int sim_node_run(sim_node *node, void (*act)(sim_node *node, void *what), void *what);
/* Does the node die here, in the middle of its own code? Does not return then. */
void sim_node_may_die(sim_node *node);
void sim_node_crash(sim_node *node);
void sim_node_close(sim_node *node); /* in order */
void sim_node_pause(sim_node *node, uint64_t us);
void sim_node_wake(sim_node *node); /* at the end of its pause, or when faults stop */
void sim_node_register(sim_node *node);
/* Wakes the shards that have something in their queues. */
void sim_node_poke(sim_node *node);
void sim_thread_wake(sim_thread *thread, uint64_t in_us);
/* Is a node up that can take requests? */
int sim_node_ready(const sim_node *node);

/* ---- store.c */
/* What both kinds of adapter begin with. */
typedef struct sim_adapter {
    etx_log head;
    sim_node *node;
    sim_store *store;
    etx_log *inner; /* local: the file log */
    uint8_t attended;
} sim_adapter;
void sim_store_append(sim_store *store, uint32_t partition, const etx_put *put);
/* All up to and with this slot cannot vanish any more. */
void sim_store_acknowledge(sim_store *store, uint32_t partition, uint64_t slot);
const char *sim_put_word(etx_put_result result);
const etx_log_ops *sim_store_ops(int leased);
void sim_store_failover(sim_store *store);
void sim_store_regress(sim_store *store);
void sim_store_accept(sim_store *store); /* somebody goes on although it has lost something */
void sim_store_jump(sim_store *store);

/* ---- local.c */
const etx_log_ops *sim_local_ops(void);
void sim_local_make(sim *s);
void sim_local_free(sim *s);
void sim_local_lost(sim_node *node); /* its process is gone, or its machine */
void sim_local_fault(sim_node *node);
void sim_local_help(sim_node *node);
/* It could not start: is its disk damaged, and did it say where? Then that is mended. */
int sim_local_refused(sim_node *node, const char *message);

/* ---- bank.c */
const char *sim_bank_name(uint8_t kind);
void sim_bank_register(sim_node *node);
/* A call that a worker is to make: fills in the message. */
void sim_bank_called(sim_node *node, const etx__due *due, sim_message *ret);
/* The worker's callback begins: what it asks of the participant is done. 1: no answer comes. */
int sim_bank_begin(sim_message *m);
/* One call, as the participant hears it: the reply. */
etx_reply sim_bank_hear(sim *s, sim_truth *truth, uint32_t branch, etx_operation operation);

/* ---- client.c */
void sim_client_look(sim *s); /* somebody asks about some gid */
void sim_client_start(sim *s);
/* The place of the node that an answer names as the right one, or -1. */
int sim_client_where(int rc, const etx_outcome *outcome);
void sim_client_lost(sim *s, const sim_node *node); /* its handles are gone */
etx_reply sim_client_query(sim *s, const char *gid);
void sim_client_resume(sim_node *node, const char *gid, uint64_t run);

#include "truth.h"

#endif
