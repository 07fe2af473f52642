/* Running seeds: one in a process of its own, many at the same time, and making a story short. */
#ifndef SIMULATION_RUN_H
#define SIMULATION_RUN_H

#include <sys/types.h>

#include "sim.h"

/* What a seed came to. */
typedef struct run_result {
    uint64_t seed, digest;
    int broken;
    uint8_t hung; /* it was killed, since it did not end */
    uint8_t lost; /* its trace could not be written */
    char promise[64], story[512], gid[ETX_GID_MAX + 1];
    sim_stats stats;
} run_result;

/* Runs it in this process. */
void run_seed(sim *s, const sim_options *options, run_result *ret_result);
/* Runs it in a child, so that an assertion that fails is a result like others. */
void run_apart(const sim_options *options, run_result *ret_result);
void run_add(sim_stats *sum, const sim_stats *more);

/* ---- watch.c */
typedef struct run_watch {
    uint64_t sign;
    double looked, quiet_s;
} run_watch;

double run_now_s(void);
/* In a child: it ends with its parent. */
void run_tie(pid_t parent);
/* Did the sign not change for so long (0: for ever) while somebody looked, as from 0 s on? */
int run_watch_over(run_watch *watch, uint64_t sign, uint32_t patience_s);
void run_hung(run_result *ret_result, uint64_t seed, uint32_t patience_s);

typedef struct run_many_options {
    uint64_t first, last; /* seeds */
    double seconds;       /* 0: all seeds */
    uint32_t jobs;
    sim_options one; /* what of them all */
    int digest;      /* of all seeds: the same wherever the same seeds run */
} run_many_options;

typedef struct run_total {
    uint64_t seeds;
    double seconds;
    uint64_t digest;
    sim_stats stats;
    run_result failure; /* the first, if broken */
    int stopped;        /* by this signal, or 0 */
    uint64_t next;      /* ... and then the first seed that has not held, and how to go on; */
    uint8_t done;       /* none is left */
} run_total;

/* Stops at the first failure. Shows progress on a terminal. */
void run_many(const run_many_options *options, run_total *ret_total);

/* ---- minimise.c */
/* Leaves out clients, faults, nodes and time as long as the seed breaks the same promise. */
void run_minimise(sim_options *options, run_result *result);

/* ---- story.c */
/* In at most sixty lines. Does it break a promise once more? */
int run_story(const sim_options *options, FILE *to);

#endif
