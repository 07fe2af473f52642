/* Faults stop, and everything must end by itself: nobody nudges it. An operator resumes what an
 * operator parked, and restarts a node only where a rule says that nothing else helps. */
#include <string.h>

#include "nest.h"
#include "operator.h"
#include "sim.h"

/* How long it may take: a deadline and the initiator that is then asked, the longest pauses between
 * calls and between writes, a write that hangs, callbacks that hang, a home that is held down;
 * each may follow another.
 * Deadlines are of the wall clock, so what clocks have jumped comes on top. */
enum { PATIENCE_MS = 75000, STEP_US = 1000000 };
/* A lease that runs out, a claim, and a handing over. */
enum { SETTLE_US = 6000 * SIM_LEASE_MS };

static int is_waited_for(const sim_truth *truth) {
    return truth->begun && !truth->ended && !truth->store->regressed;
}

static int plans_wait(const sim *s) {
    for (uint32_t i = 0; i < s->plans; i++) {
        if (!s->plan[i].over) {
            return 1;
        }
    }
    return 0;
}

static const sim_store *store_of(const etx__partition *partition) {
    return ((const sim_adapter *)(const void *)partition->home->log)->store;
}

/* Who was superseded, and has had nothing to write since, does not know it. */
static int is_owner(const etx__partition *partition) {
    const sim_shelf *shelf = &store_of(partition)->shelf[partition->number];
    return partition->state != ETX__GONE && partition->state != ETX__ELSEWHERE &&
           (shelf->count == 0 || shelf->slot[shelf->count - 1].own == partition->owner.nonce);
}

static int in_flight(const sim *s) {
    for (uint32_t i = 0; i < s->nodes; i++) {
        const etx_engine *engine = s->node[i].engine;
        for (uint32_t p = 0; s->node[i].up && p < engine->partition_count; p++) {
            const etx__partition *partition = engine->partition[p];
            if (is_owner(partition) && partition->live > 0 && !store_of(partition)->regressed) {
                return 1;
            }
        }
    }
    return 0;
}

static int all_ended(const sim *s) {
    if (in_flight(s) || plans_wait(s)) {
        return 0;
    }
    for (const sim_truth *truth = s->truths; truth != NULL; truth = truth->next) {
        if (is_waited_for(truth)) {
            return 0;
        }
    }
    return 1;
}

/* 1: all ended in time. */
static int wait_for_end(sim *s) {
    uint64_t until_us = PATIENCE_MS * 1000ull;
    int64_t least = 0;
    int64_t most = 0;
    for (uint32_t i = 0; i < s->nodes; i++) {
        least = s->node[i].wall_least_ms < least ? s->node[i].wall_least_ms : least;
        most = s->node[i].wall_most_ms > most ? s->node[i].wall_most_ms : most;
    }
    until_us += s->now_us + (uint64_t)(most - least) * 1000;
    while (s->now_us < until_us) {
        sim_operator_resume(s);
        for (uint32_t i = 0; i < s->nodes; i++) {
            sim_local_help(&s->node[i]); /* as its thread does once a second */
        }
        sim_run_until(s, s->now_us + STEP_US);
        if (all_ended(s)) {
            return 1;
        }
    }
    return 0;
}

/* ---- who owns what */

/* The node that works with this partition, or NULL. */
static const sim_node *owner_of(const sim *s, const sim_store *store, uint32_t number) {
    for (uint32_t i = 0; i < s->nodes; i++) {
        const etx_engine *engine = s->node[i].engine;
        for (uint32_t p = 0; s->node[i].up && p < engine->partition_count; p++) {
            const etx__partition *partition = engine->partition[p];
            if (store_of(partition) == store && partition->number == number &&
                partition->state == ETX__OPEN && is_owner(partition)) {
                return &s->node[i];
            }
        }
    }
    return NULL;
}

/* Is no partition of a shared store owned by another node than this one's? */
static int owns_all(const sim *s, const sim_node *node) {
    for (uint32_t i = 0; i < s->stores; i++) {
        for (uint32_t p = 0; p < s->partitions; p++) {
            if (owner_of(s, &s->store[i], p) != node) {
                return 0;
            }
        }
    }
    return 1;
}

static int has_children(const sim_truth *truth) {
    for (uint32_t i = 0; truth->plan != NULL && i < truth->branches && i < SIM_BRANCHES; i++) {
        if (truth->plan->branch[i].nests) {
            return 1;
        }
    }
    return 0;
}

static int some_regressed(const sim *s) {
    for (uint32_t i = 0; i < s->stores; i++) {
        if (s->store[i].regressed) {
            return 1;
        }
    }
    return 0;
}

static const char *why_restart_for_children(const sim *s, const sim_truth *truth) {
    if (!has_children(truth)) {
        return NULL;
    }
    if (some_regressed(s)) {
        return "its child's store went back";
    }
    return !s->leased && !owns_all(s, owner_of(s, truth->store, truth->partition))
               ? "another node owns its child's partition"
               : NULL;
}

/* The three rules by which an operator restarts a node, so that it takes all:
 * 1. a partition without leases that nobody owns any more: each of two owners was superseded by
 *    what the other wrote, and what one of them wrote was never acknowledged and vanished;
 * 2. a transaction that has a transaction for a branch, and its child belongs to a partition that
 *    another node owns: without leases nobody knows whom to ask. What is held meanwhile, another
 *    child of that one, waits with it;
 * 3. one whose child belongs to a store that went back: who noticed decides nothing there any more,
 *    and begins nothing, until he is told to go on: with leases by a record in that store. */
static const char *why_restart(sim *s, const sim_truth *truth) {
    if (owner_of(s, truth->store, truth->partition) == NULL) {
        return truth->store->disk == NULL && !truth->store->leased ? "nobody owns its partition"
                                                                   : NULL;
    }
    const sim_truth *parent = truth->held ? sim_nest_parent(s, truth) : NULL;
    int waits = parent != NULL && is_waited_for(parent);
    return why_restart_for_children(s, waits ? parent : truth);
}

static void accept_losses(sim *s) {
    for (uint32_t i = 0; i < s->stores; i++) {
        if (s->store[i].regressed && s->store[i].leased) {
            sim_store_accept(&s->store[i]);
        }
    }
}

/* Something has not ended: may a restart help? Else a promise is broken. */
static void restart_one(sim *s, uint32_t turn) {
    const char *why = NULL;
    for (const sim_truth *truth = s->truths; truth != NULL; truth = truth->next) {
        const char *of = is_waited_for(truth) ? why_restart(s, truth) : NULL;
        if (is_waited_for(truth) && (of == NULL || turn >= 2 * s->nodes)) {
            sim_break(s, "it ends", truth->gid, "unfinished %u s after the last fault",
                      (unsigned)(PATIENCE_MS / 1000));
        }
        why = of != NULL ? of : why;
    }
    for (uint32_t i = 0; i < s->plans; i++) {
        if (!s->plan[i].over) {
            sim_break(s, "it ends", s->plan[i].gid, "client %u has no answer", i);
        }
    }
    if (why == NULL) {
        sim_break(s, "it ends", NULL, "something is in flight, and no log knows it");
    }
    accept_losses(s);
    sim_node *node = &s->node[turn % s->nodes];
    sim_say(s, NULL, "the operator restarts %s: %s", node->name, why);
    s->stats.restarts++;
    if (node->up) {
        sim_node_crash(node);
    }
}

/* ---- shares */

static uint32_t count_owned(const sim *s, const sim_store *store, const sim_node *node) {
    uint32_t count = 0;
    for (uint32_t p = 0; p < s->partitions; p++) {
        count += owner_of(s, store, p) == node;
    }
    return count;
}

/* Once all is quiet, each partition of a leased store has an owner, and each node its share. One
 * that was moved stays where it is, and others make up for it, as far as they were not. */
static void check_shares(sim *s, const sim_store *store) {
    uint32_t least = s->partitions / s->nodes;
    uint32_t most = least + (s->partitions % s->nodes > 0);
    uint32_t owned = 0;
    for (uint32_t i = 0; i < s->nodes; i++) {
        uint32_t count = count_owned(s, store, &s->node[i]);
        owned += count;
        if (!store->regressed && store->moves < 2 && (count < least || count > most)) {
            sim_break(s, "work is shared evenly", NULL, "%s has %u of %u partitions of store %u",
                      s->node[i].name, count, s->partitions, store->place);
        }
    }
    if (!store->regressed && owned != s->partitions) {
        sim_break(s, "work is shared evenly", NULL, "%u of %u partitions of store %u have an owner",
                  owned, s->partitions, store->place);
    }
}

/* ---- the end of faults */

static void heal(sim *s) {
    s->healing = 1;
    sim_say(s, NULL, "faults stop");
    for (uint32_t i = 0; i < s->stores; i++) {
        sim_store_back(s, &s->store[i]);
    }
    for (uint32_t i = 0; i < s->nodes; i++) {
        sim_local_fault(&s->node[i]);
        if (s->node[i].paused) {
            sim_node_wake(&s->node[i]);
        }
    }
    sim_operator_undrain(s);
}

/* All nodes at once, when what was on its way, late copies of puts too, has come to its end. The
 * last owns all. */
static void start_all_anew(sim *s) {
    for (uint32_t i = 0; i < s->nodes; i++) {
        if (s->node[i].up) {
            sim_node_crash(&s->node[i]);
        }
    }
    sim_run_until(s, s->now_us + 200000000);
    for (uint32_t i = 0; i < s->nodes && !s->node[i].up; i++) {
        sim_node_boot(&s->node[i]);
    }
}

static void end_all(sim *s) {
    for (uint32_t turn = 0; !wait_for_end(s); turn++) {
        restart_one(s, turn);
    }
}

void sim_live_on(sim *s) {
    heal(s);
    if (s->restarts) {
        start_all_anew(s);
    }
    end_all(s);
    if (s->leased) {
        sim_run_until(s, s->now_us + SETTLE_US);
        if (!all_ended(s)) { /* a begin that nobody knew of has taken effect late */
            end_all(s);
        }
        for (uint32_t i = 0; i < s->stores; i++) {
            check_shares(s, &s->store[i]);
        }
    }
}
