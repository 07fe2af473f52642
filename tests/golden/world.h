/* A world for stories about one partition: the real core, a log of encoded records, a clock. */
#ifndef GOLDEN_WORLD_H
#define GOLDEN_WORLD_H

#include <stdio.h>

#include <etx/codec.h>

#include "../../src/core/rules.h"

enum {
    WORLD_RECORDS = 8192,
    WORLD_CALLS = 4096,
    WORLD_WAITERS = 1024,
    WORLD_PARTICIPANTS = 16,
};

/* A record as it was appended, in bytes. */
typedef struct world_record {
    uint8_t *bytes;
    size_t len;
    uint64_t seq; /* in the core that appended or folded it last */
    uint8_t given_up;
} world_record;

/* A call that was made; its callback may have returned, and it may have been answered. */
typedef struct world_call {
    char gid[ETX_GID_MAX + 1];
    char branch[ETX_NAME_MAX + 1]; /* "-": the initiator */
    uint64_t serial;
    const etx__tx *tx;
    etx__results *results;
    uint32_t rests_on; /* so many records stood before it in the log */
    uint32_t entry;
    uint16_t place;
    uint8_t operation;
    uint8_t kind;
    uint8_t returned, over;
} world_call;

typedef struct world_waiter {
    etx__waiter waiter; /* first */
    char label[64];
    uint8_t answered;
} world_waiter;

typedef struct world {
    etx__core *core;
    void *memory;
    etx__core_options options;
    etx__now now;
    const etx_codec *codec;
    etx_record_room room;
    world_record record[WORLD_RECORDS];
    uint32_t records;
    uint32_t first;  /* what stands before was trimmed */
    uint32_t read;   /* so many were there when the core was recovered */
    uint32_t flying; /* records of the batch that is put; 0: none */
    uint64_t flying_seq;
    uint64_t slot;
    world_call call[WORLD_CALLS];
    uint32_t calls;
    world_waiter waiter[WORLD_WAITERS];
    uint32_t waiters;
    etx__policy policy[WORLD_PARTICIPANTS];
    uint32_t policies;
    FILE *trace; /* or NULL */
    uint32_t steps;
    uint32_t check_every; /* so many steps live state is compared with refolded; 0: each */
    int failures;         /* of what must always hold; told on stderr */
    const char *at;       /* what is done now, for messages */
} world;

/* An empty log, claimed. */
world *world_make(const etx__core_options *options, const char *at);
void world_free(world *w);
/* Steps the core and does with the outputs what a runtime does, but for the put. */
void world_step(world *w, etx__event *event);
/* A waiter for the event, under a label. */
etx__waiter *world_waiter_make(world *w, const char *label, etx_wait wait, int look);
void world_register(world *w, const etx__policy *policy);
/* Lets time pass and gives the core its ticks. */
void world_tick(world *w, uint64_t ms);
/* Closes the batch that forms; acknowledges it (or, if none flies, all that was appended). */
void world_fly(world *w);
void world_durable(world *w);
/* What is not durable is lost, all that is volatile too; then another owner reads the log. */
void world_crash(world *w);
/* A new core that has folded records [first, last) of `from`; no claim on it yet. */
etx__core *world_fold(const world *from, uint32_t first, uint32_t last, void **ret_memory);
void world_recover(world *w);
void world_give_up(world *w, const char *gid);
void world_fail(world *w, const char *what, const char *gid);
/* The newest call of the branch that is not over, or NULL. */
world_call *world_call_find(world *w, const char *gid, const char *branch);
void world_reply(world *w,
                 world_call *call,
                 etx_reply reply,
                 etx_bytes bytes,
                 etx_bytes reason,
                 uint32_t after_ms);
void world_event(world *w, etx__event *event, etx__event_type type, const char *gid);

/* trace.c: one line for each output */
void trace_record(FILE *to, const world *w, const etx_record *record);
void trace_call(FILE *to, const etx__call *call, uint32_t rests_on);
void trace_told(FILE *to, const world *w, const etx__told *told);
void trace_answer(FILE *to, const world *w, const world_waiter *waiter);
void trace_entry(FILE *to, const world *w, const etx__entry *entry);

/* story.c: one command. 0, or -1: it cannot be understood. */
int story_do(world **w, const char *line, FILE *trace);

/* prefix.c: every prefix of the log, recovered and driven to the end. Returns the failures. */
int prefix_check(const world *w, const char *name);

/* equal.c: does the log give the state that the core has? */
void equal_check(world *w);

#endif
