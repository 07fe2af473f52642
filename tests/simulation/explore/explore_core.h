/* Cores and batches under numbers: each step of the real core is done once. */
#ifndef ETX__EXPLORE_CORE_H
#define ETX__EXPLORE_CORE_H

#include <stdio.h>

#include <etx/codec.h>

#include "../../../src/core/rules.h"
#include "explore_memo.h"

enum {
    EXPLORE_NODES = 2,
    EXPLORE_TX = 2,
    EXPLORE_CLIENTS = 2,
    EXPLORE_BRANCHES = 3,
    EXPLORE_INITIATOR = 3, /* its place */
    EXPLORE_PLACES = 4,
    EXPLORE_SLOTS = 14,
    EXPLORE_COPIES = 4,
    EXPLORE_TWINS = 6, /* exchanges of branches, with the one that exchanges none */
    EXPLORE_CALLS = 8,
    EXPLORE_STALE = 1 << EXPLORE_NODES /* beside a bit a node: a copy whose answer nobody awaits */
};

/* ---- configurations */

typedef struct explore_branch {
    uint8_t kind, flags;
    uint8_t after;       /* bits of the places that it depends on */
    uint8_t participant; /* 0; 1: gives up after an attempt; 2: after two */
    uint8_t bytes;       /* its forward operation gives a result */
} explore_branch;

typedef struct explore_transaction {
    uint8_t mode, branches;
    uint8_t begun; /* so many branches stand in BEGIN */
    uint8_t deadline, initiator;
    explore_branch branch[EXPLORE_BRANCHES];
} explore_transaction;

/* How often each may happen. */
typedef struct explore_budget {
    uint8_t crashes, takeovers, outages;
    uint8_t duplicates, lost;
    uint8_t early;   /* timeouts of calls that are not lost */
    uint8_t repeats; /* of a request at the other node, while the first waits */
    uint8_t operators;
} explore_budget;

typedef struct explore_config {
    const char *name, *about;
    explore_transaction tx[EXPLORE_TX];
    /* What clients do, two characters a step: B begin, E enlist, T do the branch, R record its
     * result, H hold, X commit the initiator's own transaction, C commit, A abort, D either. */
    const char *script[EXPLORE_CLIENTS];
    const char *operators; /* p park, r resume, a c force abort, commit, f g h settle a branch */
    explore_budget budget;
    uint8_t of[EXPLORE_CLIENTS]; /* the client's transaction */
    uint8_t refuse;              /* bits of the places whose forward operation may be refused */
    uint8_t fail;                /* ... whose commit operation may fail */
    uint8_t quick;               /* in CI's slice */
} explore_config;

const explore_config *explore_config_at(unsigned number); /* NULL: there are no more */

/* ---- cores */

/* What is asked of a core. */
typedef enum explore_type {
    EXPLORE_FOLD = 1, /* number: a batch */
    EXPLORE_RECOVER,  /* number: the slot of OWN */
    EXPLORE_COMMAND,  /* of a client's step; number: the run */
    EXPLORE_REPLY,
    EXPLORE_DURABLE, /* number: up to which record */
    EXPLORE_FLUSH,
    EXPLORE_TICK, /* the attempt at `place` is due; or one of the two below */
    EXPLORE_FORGET,
    EXPLORE_GIVE_UP,
    EXPLORE_OPERATE
} explore_type;

/* In place of an attempt's place. The last: an answer comes to a call that is over. */
enum { EXPLORE_SILENCE = 4, EXPLORE_DEADLINE = 5, EXPLORE_OLD = 6 };

typedef struct explore_ask {
    uint8_t type; /* explore_type */
    uint8_t late; /* the deadlines are over */
    uint8_t client, tx, place, reply;
    char op; /* of a script, or of an operator */
    uint8_t stale;
    uint32_t number;
} explore_ask;

typedef struct explore_call {
    uint32_t run;
    uint8_t tx, place, operation;
    uint8_t given; /* bits of the places whose bytes it is given */
} explore_call;

typedef struct explore_answer {
    uint32_t run;
    int rc;
    uint8_t client, state;
} explore_answer;

/* What a step (and those that follow from it at once) came to. */
typedef struct explore_out {
    const char *wrong;
    uint32_t records; /* the number of their bytes; 0: none */
    uint32_t seq;     /* of the newest record, counted from the durable one */
    uint8_t want, calls, answers;
    explore_call call[EXPLORE_CALLS];
    explore_answer answer[EXPLORE_CLIENTS];
} explore_out;

/* What is read off a core's memory. */
typedef struct explore_facts {
    uint32_t image;               /* the number of the bytes of its transactions' MOVEs */
    uint32_t twin[EXPLORE_TWINS]; /* with branches exchanged; 0: not known */
    uint8_t clients;              /* bits of those that it will answer */
    uint8_t live;
    uint8_t deaf; /* bits: looked at before (1) and after (2) the deadlines */
    struct explore_known {
        uint8_t state, marks, branches; /* state 0: not known */
        uint8_t live, deadline, silent;
        uint8_t asks; /* has an initiator that is asked, or run again */
        uint8_t forward[EXPLORE_BRANCHES], settled;
        uint8_t bytes;       /* bits of the places with a result's bytes */
        uint8_t outstanding; /* bits of the places with a call */
        uint8_t waiting;     /* ... whose next call is not due yet */
    } tx[EXPLORE_TX];
} explore_facts;

typedef struct explore_cores {
    const explore_config *config;
    const etx_codec *codec;
    etx_record_room room;
    etx__core *core; /* the one memory in which every step is done */
    etx__waiter waiter[EXPLORE_CLIENTS];
    void *block;
    size_t *dirty; /* of each span: what lies behind is zero */
    uint8_t *buffer;
    uint16_t depends[EXPLORE_TX][EXPLORE_BRANCHES][EXPLORE_BRANCHES];
    explore_intern memory;
    explore_intern bytes;
    explore_facts *facts;
    explore_out *out;
    uint32_t facts_room, outs, outs_room;
    explore_memo memo, joined;
    uint32_t empty;   /* the number of a core that has read nothing */
    uint32_t nothing; /* ... of an empty batch */
    uint64_t steps;
    uint8_t exchange[EXPLORE_TWINS][EXPLORE_PLACES]; /* of branches that are alike */
    uint8_t twins;                                   /* so many */
    uint8_t told_apart;
} explore_cores;

explore_cores *explore_cores_make(const explore_config *config);
void explore_cores_free(explore_cores *c);
/* Steps core number `core`; which it is then is *ret_core. */
const explore_out *explore_step(explore_cores *c,
                                uint32_t core,
                                explore_ask ask,
                                uint32_t *ret_core);
int explore_decode(explore_cores *c, etx_bytes bytes, etx_record *ret_record, size_t *ret_used);
/* explore_twin.c: the step is done to the memory's twins too. */
void explore_twins_make(explore_cores *c);
void explore_twins_step(explore_cores *c,
                        uint32_t core,
                        explore_ask ask,
                        uint32_t after,
                        uint32_t out);
/* Whether both come to the same. */
int explore_same(explore_cores *c, uint32_t core, explore_ask one, explore_ask other);
/* explore_canon.c: the memory of the core, without what does not matter for its future. */
void explore_canon(explore_cores *c, int late);
size_t explore_save(explore_cores *c);
void explore_restore(explore_cores *c, uint32_t number);
void explore_facts_of(explore_cores *c, explore_facts *ret_facts);
/* explore_event.c */
void explore_event(explore_cores *c,
                   const explore_ask *ask,
                   etx__event *ret_event,
                   etx_record_begin *begin,
                   etx_record_branch *branches);
void explore_names(explore_cores *c, unsigned tx, etx_record_branch *branches);
etx_bytes explore_gid(unsigned tx);
etx__now explore_now(int late);
unsigned explore_tx_of(etx_bytes gid);

/* ---- batches: bytes under a number */
uint32_t explore_batch_join(explore_cores *c, uint32_t batch, uint32_t records);
/* The batch without the records of the transactions that `begun` says. */
uint32_t explore_batch_without(explore_cores *c, uint32_t batch, unsigned begun);
uint32_t explore_batch_own(explore_cores *c, uint64_t nonce);
etx_bytes explore_batch_bytes(const explore_cores *c, uint32_t batch);
/* Which records it holds. */
typedef struct explore_said {
    uint8_t own, begin, end, commit, abort; /* bits of the transactions, but for own */
} explore_said;
explore_said explore_batch_said(explore_cores *c, uint32_t batch);
void explore_batch_print(explore_cores *c, FILE *to, uint32_t batch);

#endif
