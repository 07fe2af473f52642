/* Operators: park, resume, force; move partitions, drain nodes. */
#include <string.h>

#include "nest.h"
#include "operator.h"
#include "sim.h"

typedef struct order {
    const char *gid;
    uint8_t type, force, operation;
    char branch[16];
} order;

static void told(int rc, const etx_outcome *outcome, void *user) {
    sim_node *node = user;
    sim_say(node->world, outcome->gid, "the operator hears: %s", etx_error_name(rc));
}

static void give(sim_node *node, void *what) {
    const order *given = what;
    int rc = 0;
    etx_tx *request = etx__request_command(node->engine, given->gid, given->type, &rc);
    if (request == NULL) {
        return;
    }
    request->text[0] = etx__request_keep(request, "operator", 8);
    request->text[1] = etx__request_keep(request, "to see what happens", 19);
    request->text[2] = etx__request_keep(request, given->branch, strlen(given->branch));
    request->force = given->force;
    request->operation = given->operation;
    request->done = told;
    request->user = node;
    etx__request_send(request);
}

static sim_truth *any_live(sim *s) {
    sim_truth *found = NULL;
    uint32_t count = 0;
    for (sim_truth *truth = s->truths; truth != NULL; truth = truth->next) {
        if (truth->begun && !truth->ended && sim_below(s, SIM_LOAD, ++count) == 0) {
            found = truth;
        }
    }
    return found;
}

void sim_operator_act(sim *s) {
    sim_truth *truth = any_live(s);
    sim_node *node = &s->node[sim_below(s, SIM_LOAD, s->nodes)];
    if (truth == NULL || !sim_node_ready(node)) {
        return;
    }
    order given = {.gid = truth->gid};
    switch (sim_below(s, SIM_LOAD, 6)) {
        case 0:
        case 1:
            given.type = ETX__EV_PARK;
            break;
        case 2:
            given.type = ETX__EV_UNPARK;
            break;
        case 3:
            given.type = ETX__EV_RETRY;
            break;
        case 4:
            given.type = ETX__EV_FORCE;
            given.force = (uint8_t)(ETX_FORCE_ABORT + sim_below(s, SIM_LOAD, 2));
            break;
        case 5:
            given.type = ETX__EV_FORCE;
            given.force = ETX_FORCE_DONE;
            given.operation = truth->decided == 2 ? ETX_COMMIT : ETX_UNDO;
            snprintf(given.branch, sizeof given.branch, "b%u", sim_below(s, SIM_LOAD, 2));
            break;
    }
    sim_say(s, truth->gid, "the operator gives order %u to %s", given.type, node->name);
    sim_node_run(node, give, &given);
}

/* Who has forced a child against its parent, or has lost it with its store, has to say so of the
 * parent's branch: its participant can never do what it is asked to. */
static void settle_hopeless(sim *s, const sim_truth *truth, sim_node *node) {
    for (uint32_t i = 0; truth->plan != NULL && i < truth->plan->branches; i++) {
        order given = {.gid = truth->gid,
                       .type = ETX__EV_FORCE,
                       .force = ETX_FORCE_DONE,
                       .operation = truth->decided == 2 ? ETX_COMMIT : ETX_UNDO};
        if (truth->plan->branch[i].nests && !truth->row[i].settled &&
            sim_nest_hopeless(s, truth, i)) {
            snprintf(given.branch, sizeof given.branch, "b%u", i);
            sim_say(s, truth->gid, "the operator settles branch %u: its child was forced, or lost",
                    i);
            sim_node_run(node, give, &given);
        }
    }
}

/* Held is what waits for its parent, however long: where that is lost, or does not ask any more,
 * somebody has to decide. */
static void end_orphan(sim *s, const sim_truth *truth, sim_node *node) {
    order given = {.gid = truth->gid, .type = ETX__EV_FORCE};
    int commit = 0;
    if (truth->held && truth->decided == 0 && sim_nest_orphaned(s, truth, &commit)) {
        given.force = commit ? ETX_FORCE_COMMIT : ETX_FORCE_ABORT;
        sim_say(s, truth->gid, "the operator %s it: its parent will not",
                commit ? "commits" : "aborts");
        sim_node_run(node, give, &given);
    }
}

void sim_operator_resume(sim *s) {
    for (sim_truth *truth = s->truths; truth != NULL; truth = truth->next) {
        for (uint32_t i = 0; truth->begun && !truth->ended && i < s->nodes; i++) {
            order given = {.gid = truth->gid, .type = ETX__EV_UNPARK};
            if (truth->parked && sim_node_ready(&s->node[i])) {
                sim_node_run(&s->node[i], give, &given);
            }
            if (sim_node_ready(&s->node[i])) {
                settle_hopeless(s, truth, &s->node[i]);
            }
            if (sim_node_ready(&s->node[i])) {
                end_orphan(s, truth, &s->node[i]);
            }
        }
    }
}

/* ---- nodes and partitions */

typedef struct place_order {
    uint32_t place, number;
    const char *node; /* it goes there; NULL: drain, or take part again */
    int drained;
} place_order;

static void give_place(sim_node *node, void *what) {
    const place_order *given = what;
    int rc = given->node != NULL
                 ? etx_engine_move(node->engine, given->place, given->number, given->node)
                 : etx_engine_drain(node->engine, given->place, given->drained);
    sim_say(node->world, NULL, "the operator hears from %s: %s", node->name, etx_error_name(rc));
}

/* As `etx cluster move` does: who is to take it is asked first, and then who has it. */
static void move_one(sim *s, place_order *given) {
    sim_node *to = &s->node[sim_below(s, SIM_ORDERS, s->nodes)];
    given->number = sim_below(s, SIM_ORDERS, s->partitions);
    given->node = to->name;
    s->store[given->place].moves++;
    sim_say(s, NULL, "the operator moves partition %u of store %u to %s", given->number,
            given->place, to->name);
    for (uint32_t i = 0; i < s->nodes; i++) {
        sim_node *node = &s->node[(to->place + i) % s->nodes];
        if (sim_node_ready(node)) {
            sim_node_run(node, give_place, given);
        }
    }
}

void sim_operator_order(sim *s) {
    place_order given = {.place = sim_below(s, SIM_ORDERS, s->stores)};
    uint32_t how = sim_below(s, SIM_ORDERS, 4);
    if (how < 2) {
        move_one(s, &given);
        return;
    }
    sim_node *node = &s->node[sim_below(s, SIM_ORDERS, s->nodes)];
    given.drained = how == 2;
    if (sim_node_ready(node)) {
        sim_say(s, NULL, "the operator %s %s at store %u",
                given.drained ? "drains" : "ends the drain of", node->name, given.place);
        sim_node_run(node, give_place, &given);
    }
}

void sim_operator_undrain(sim *s) {
    for (uint32_t i = 0; s->leased && i < s->nodes; i++) {
        for (uint32_t p = 0; p < s->stores && sim_node_ready(&s->node[i]); p++) {
            place_order given = {.place = p};
            if (atomic_load(&s->node[i].engine->home[p]->drains)) {
                sim_node_run(&s->node[i], give_place, &given);
            }
        }
    }
}
