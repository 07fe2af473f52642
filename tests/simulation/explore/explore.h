/* The explorer: all that can happen to small configurations of the real core, owner and codec. */
#ifndef ETX__EXPLORE_H
#define ETX__EXPLORE_H

#include "../../../src/runtime/owner.h"
#include "explore_core.h"

/* A core touches nothing outside its memory: so what a step does is a function of that memory and
 * the event, and is done once. Each distinct memory of a core is kept under a number, and a state
 * of the world is a few hundred bytes: numbers of cores and batches, the store, the network, the
 * participants' fences, the clients, and what faults are left. */

/* ---- the world */

typedef enum explore_role {
    EXPLORE_NONE = 0,
    EXPLORE_CLAIMING = 1, /* its OWN is on its way */
    EXPLORE_OWNER = 2     /* believes so */
} explore_role;

typedef struct explore_node {
    etx__owner owner;
    uint32_t core;            /* claiming: what it has read */
    uint32_t flying, forming; /* batches */
    uint32_t flying_seq, forming_seq;
    uint32_t found_checksum; /* of the result that is on its way */
    uint16_t found_nonce;
    uint8_t role;
    uint8_t result, broken; /* etx_put_result on its way to the owner; 0: the put is */
    uint8_t own_at;
    uint8_t reply[EXPLORE_TX][EXPLORE_PLACES]; /* etx_reply on its way */
    uint32_t run[EXPLORE_TX];                  /* of the newest resume call */
} explore_node;

typedef struct explore_put {
    uint32_t batch, predecessor, checksum;
    uint16_t nonce, slot;
} explore_put;

typedef struct explore_slot {
    uint32_t batch, checksum, fold; /* the core that has read up to here */
    uint32_t nonce;
} explore_slot;

/* A branch as its participant has it: the rows of its fence. */
typedef enum explore_row {
    EXPLORE_ABSENT = 0,
    EXPLORE_DONE = 1,
    EXPLORE_REFUSED = 2,
    EXPLORE_MARKER = 3 /* the undo came first */
} explore_row;

typedef struct explore_part {
    uint8_t forward;      /* explore_row */
    uint8_t commit, undo; /* done */
    uint8_t settled;      /* by an operator: exempt from "all agree" */
    uint8_t request[3];   /* by operation: bits of the nodes whose call is on its way */
} explore_part;

typedef struct explore_money {
    explore_part part[EXPLORE_PLACES];
    uint8_t begun, ended;   /* stands in the log */
    uint8_t acted;          /* 1: somebody acted on, or was told, commit; 2: abort */
    uint8_t asked;          /* by a client: 1 commit, 2 abort */
    uint8_t told_not_begun; /* and its caller asks no more */
} explore_money;

typedef struct explore_client {
    uint32_t run;
    uint8_t at;      /* its step */
    uint8_t waiting; /* the node + 1 */
    uint8_t abort;   /* a branch refused: it must not commit */
    uint8_t unsure;  /* an answer was lost, or unknown */
    uint8_t stopped;
    uint8_t behind; /* the node that it waits for was superseded before it was asked */
    char asked;
} explore_client;

typedef struct explore_world {
    explore_node node[EXPLORE_NODES];
    explore_money tx[EXPLORE_TX];
    explore_client client[EXPLORE_CLIENTS];
    explore_budget left;
    uint8_t late, slots, copies, claims, newest;
    explore_put copy[EXPLORE_COPIES];
    explore_slot slot[EXPLORE_SLOTS];
} explore_world;

typedef struct explorer {
    const explore_config *config;
    uint8_t whole; /* states are told apart by every byte */
    explore_cores *cores;
    const char *wrong; /* what was broken */
    FILE *story;       /* or NULL */
    uint8_t fair;      /* faults have stopped */
} explorer;

/* An action: what happens, and to whom. */
typedef enum explore_kind {
    ACT_SEND = 1, /* a client asks a node */
    ACT_CLIENT,   /* ... does its own part */
    ACT_PUT,      /* a node gives a batch to the store */
    ACT_ARRIVE,   /* the store has it */
    ACT_ACK,      /* the node hears of it */
    ACT_LAND,     /* a late copy takes effect */
    ACT_CRASH,
    ACT_CLAIM,
    ACT_CALL,       /* a call arrives */
    ACT_CALL_TWICE, /* ... and a copy of it is still on its way */
    ACT_CALL_LOST,
    ACT_REPLY, /* an answer arrives */
    ACT_REPLY_LOST,
    ACT_TICK,
    ACT_LATE, /* the deadlines pass */
    ACT_OPERATE,
    ACT_KINDS
} explore_kind;

enum { EXPLORE_ACTIONS_MAX = 256 };

void explore_world_make(explorer *x, explore_world *w);
/* The actions that may be possible now. */
unsigned explore_actions(const explorer *x, const explore_world *w, uint16_t *ret_actions);
/* 0: not possible now, and nothing was changed. x->wrong says what was broken. */
int explore_act(explorer *x, explore_world *w, uint16_t action);
/* explore_hash.c: equal for states of which the same can come. The second is equal for states that
 * are equal in every byte. What is left of the budget counts in the second only. */
uint64_t explore_hash(const explorer *x, const explore_world *w);
uint64_t explore_hash_whole(const explore_world *w);
void explore_tell(const explorer *x, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* explore_node.c */
int explore_send(explorer *x, explore_world *w, unsigned arg);
int explore_crash(explorer *x, explore_world *w, unsigned n);
int explore_claim(explorer *x, explore_world *w, unsigned n);
int explore_reply(explorer *x, explore_world *w, unsigned arg);
int explore_tick(explorer *x, explore_world *w, unsigned arg);
int explore_operate(explorer *x, explore_world *w, unsigned arg);
/* An answer to a call that is over; the second: to some call. */
explore_ask explore_old_ask(const explore_world *w, unsigned tx, unsigned place, uint8_t reply);
explore_ask explore_old_answer(const explorer *x, const explore_world *w, unsigned n, unsigned tx);
const explore_out *explore_ask_node(explorer *x, explore_world *w, unsigned n, explore_ask ask);
void explore_forget(explorer *x, explore_world *w, unsigned n);
const explore_facts *explore_facts_at(const explorer *x, uint32_t core);
/* explore_store.c */
int explore_put_start(explorer *x, explore_world *w, unsigned n);
int explore_put_arrive(explorer *x, explore_world *w, unsigned arg);
int explore_put_ack(explorer *x, explore_world *w, unsigned n);
int explore_put_land(explorer *x, explore_world *w, unsigned copy);
void explore_copy_keep(explorer *x, explore_world *w, const explore_node *node);
/* explore_people.c */
int explore_call_arrives(explorer *x, explore_world *w, unsigned arg, explore_kind how);
int explore_client_act(explorer *x, explore_world *w, unsigned arg);
void explore_answered(explorer *x, explore_world *w, unsigned n, const explore_answer *answer);
void explore_call_leaves(explorer *x, explore_world *w, unsigned n, const explore_call *call);
void explore_calls_stale(explore_world *w, unsigned n);
char explore_client_step(const explorer *x, const explore_client *client, unsigned c);
/* explore_check.c: what must always hold, one function each */
void explore_check_call(explorer *x, const explore_world *w, const explore_call *call);
void explore_check_given(explorer *x, const explore_world *w, const explore_call *call);
void explore_check_asked(explorer *x, const explore_world *w, uint32_t before, uint32_t batch);
void explore_check_refused(explorer *x, const explore_world *w, unsigned c, int rc);
void explore_check_acted(explorer *x, explore_world *w, unsigned tx, int commit);
void explore_check_landed(explorer *x, explore_world *w, uint32_t before, uint32_t batch);
void explore_check_owner(explorer *x, const explore_world *w, unsigned n);
void explore_check_refold(explorer *x, const explore_world *w, unsigned n);
void explore_check_order(explorer *x,
                         const explore_world *w,
                         unsigned tx,
                         unsigned place,
                         unsigned operation);
void explore_check_agree(explorer *x, const explore_world *w);
void explore_check_known(explorer *x, const explore_world *w, unsigned n);
void explore_check_deaf(explorer *x, const explore_world *w, unsigned n);
/* explore_fair.c: from here on no faults: does it end? */
void explore_fair(explorer *x, const explore_world *from);

/* explore_search.c */
typedef struct explore_limits {
    uint64_t states_max; /* 0: to the fixpoint */
    uint32_t fair_every; /* of so many states one is run to its end without faults */
    uint32_t seconds;    /* 0: no limit */
    uint8_t check;       /* once more without reductions: does it find what they leave out? */
    uint8_t whole;       /* without reductions */
} explore_limits;

typedef struct explore_found { /* in memory that outlives a core's failed assertion */
    uint64_t states, transitions, ends, cores, fair, steps, bytes;
    uint64_t reduced; /* of a check: the states with reductions */
    double seconds, cpu_seconds;
    uint64_t at;     /* the state that is looked at; counted from 1 */
    uint16_t action; /* what happens to it; 0: it is run to its end */
    uint16_t depth;
    uint8_t complete, broken;
    char wrong[160];
} explore_found;

typedef struct explore_way { /* one a state: how it was reached */
    uint32_t from;
    uint16_t action;
    uint16_t depth;
} explore_way;

void explore_search(const explore_config *config,
                    const explore_limits *limits,
                    explore_found *found,
                    explore_way *way,
                    uint64_t ways_max);
enum { EXPLORE_LOST = 3 /* instead of an exit code: what was told could not be written */ };
/* What stands beside `--explore` on the command line. */
int etx__explore_main(int argc, char **argv);

#endif
