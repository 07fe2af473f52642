/* What clients want, and what is true of it: plans, the gids they come to have, fences' rows. */
#ifndef SIMULATION_PLAN_H
#define SIMULATION_PLAN_H

#include <etx/etx.h>

enum { SIM_BRANCHES = 4, SIM_PLANS = 96, SIM_CONFUSED_BY = 1000 /* added to a plan's number */ };

typedef struct sim sim;
typedef struct sim_node sim_node;
typedef struct sim_store sim_store;
typedef struct sim_truth sim_truth;
typedef struct sim_plan sim_plan;

typedef struct sim_plan_branch {
    uint8_t kind;
    uint8_t refuses; /* its forward operation */
    uint8_t forgets; /* ... and keeps no row of it: a late copy may succeed */
    uint8_t by_initiator;
    uint8_t stuck;      /* does not answer while faults last */
    uint8_t nests;      /* it is a transaction itself */
    uint8_t wants;      /* results of those it depends on */
    uint8_t depends_on; /* bits of places */
    uint8_t alone;      /* not even a step of a saga waits for the one before */
    int32_t delta;      /* of its account; a plan's sum is 0 */
} sim_plan_branch;

/* What a client wants. */
struct sim_plan {
    sim *world;
    uint32_t number;
    char gid[48]; /* chosen, or as it was told; "" */
    uint8_t chosen, mode, aborts, silent, deadline, durability;
    uint8_t over;  /* its client wants nothing more */
    uint8_t begun; /* interactive, resumed: begin was answered */
    uint32_t step; /* interactive, resumed: what comes next */
    uint32_t tries, hops;
    uint32_t asked;  /* number of the newest question: an older answer changes nothing */
    uint8_t waiting; /* for its answer */
    uint64_t run;    /* resumed: the run that is valid, as far as its code knows */
    sim_node *node;  /* asked last */
    uint32_t life;
    etx_tx *tx; /* the handle there, or NULL */
    uint32_t branches;
    sim_plan_branch branch[SIM_BRANCHES];
};

/* One row of a participant's fence, and the effect of its branch. */
typedef struct sim_row {
    uint8_t forward; /* 0, SIM_ROW_... */
    uint8_t commit, undo;
    uint8_t calls;   /* bit 1 << operation: asked for by some node */
    uint8_t settled; /* by hand */
    uint8_t lied;    /* its participant, about it */
    int32_t applied;
    uint32_t handled;
} sim_row;

enum { SIM_ROW_DONE = 1, SIM_ROW_REFUSED = 2, SIM_ROW_MARKER = 3 };

/* What is known of one gid, from the logs and from what anybody was told. */
struct sim_truth {
    sim_truth *next, *chained;
    char gid[ETX_GID_MAX + 1];
    sim_plan *plan;
    sim_store *store;
    uint32_t partition;
    /* durable in its home's log */
    uint8_t begun, decided, ended, held, forced, never_begun; /* decided: 0, 1 abort, 2 commit */
    uint8_t parked;   /* by an operator, as the newest record says */
    uint8_t confused; /* it was begun with the other content */
    uint32_t branches;
    uint8_t result[SIM_BRANCHES]; /* of forward operations: 1 recorded, 2 with bytes */
    uint64_t full_slot;           /* the newest BEGIN or MOVE */
    /* what BEGIN and ENLIST said: sums */
    uint64_t said, deadline_ms, said_branch[SIM_BRANCHES], said_digest[SIM_BRANCHES];
    /* told to a client */
    uint8_t told; /* bits 1 abort, 2 commit */
    sim_row row[SIM_BRANCHES];
};

#endif
