/* Those outside: participants with their fences, the network between, clients. */
#include "explore.h"

#include <string.h>

static const char *operation_name(const explorer *x, unsigned tx, unsigned place, unsigned op) {
    if (place == EXPLORE_INITIATOR) {
        return x->config->tx[tx].mode == ETX_RESUMED ? "resume" : "query";
    }
    return etx_operation_name((etx_kind)x->config->tx[tx].branch[place].kind, (etx_operation)op);
}

static int letter(unsigned place) {
    return place == EXPLORE_INITIATOR ? 'i' : 'a' + (int)place;
}

/* ---- the network */

/* A call of the node there counts no more: a copy may arrive, its answer is not awaited. */
static void part_stale(explore_part *part, unsigned n) {
    for (unsigned i = 0; i < 3; i++) {
        if (part->request[i] >> n & 1) {
            part->request[i] = (uint8_t)((part->request[i] & ~(1u << n)) | EXPLORE_STALE);
        }
    }
}

void explore_calls_stale(explore_world *w, unsigned n) {
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        for (unsigned place = 0; place < EXPLORE_PLACES; place++) {
            part_stale(&w->tx[tx].part[place], n);
            w->node[n].reply[tx][place] = 0;
        }
    }
}

void explore_call_leaves(explorer *x, explore_world *w, unsigned n, const explore_call *call) {
    explore_part *part = &w->tx[call->tx].part[call->place];
    explore_tell(x, "    node %u calls %s t%u/%c%s", n,
                 operation_name(x, call->tx, call->place, call->operation), call->tx + 1,
                 letter(call->place), call->given ? ", given results" : "");
    explore_check_call(x, w, call);
    explore_check_given(x, w, call);
    part_stale(part, n);
    w->node[n].reply[call->tx][call->place] = 0;
    part->request[call->operation] |= (uint8_t)(1u << n);
    if (call->place == EXPLORE_INITIATOR) {
        w->node[n].run[call->tx] = call->run;
    } else if (call->operation != ETX_FORWARD) {
        explore_check_acted(x, w, call->tx, call->operation == ETX_COMMIT);
    }
}

/* ---- participants */

static etx_reply do_forward(explore_part *part, const explore_branch *branch, int refuses) {
    if (part->forward != EXPLORE_ABSENT) {
        return part->forward == EXPLORE_DONE ? ETX_DONE : ETX_REFUSED;
    }
    if (refuses) { /* the work is rolled back; a fence of ours keeps the row */
        part->forward = branch->flags & ETX_KEEPS_REFUSALS ? EXPLORE_REFUSED : EXPLORE_ABSENT;
        return ETX_REFUSED;
    }
    part->forward = EXPLORE_DONE;
    return ETX_DONE;
}

static etx_reply do_commit(explorer *x,
                           explore_part *part,
                           const explore_branch *branch,
                           int fails) {
    if (branch->kind <= ETX_XA && part->forward != EXPLORE_DONE && !part->settled) {
        x->wrong = "confirmed, and its forward operation was never done";
    }
    if (part->undo && !part->settled) {
        x->wrong = "confirmed, and undone";
    }
    if (fails) {
        return ETX_RETRY;
    }
    part->commit = 1;
    return ETX_DONE;
}

static etx_reply do_undo(explorer *x, explore_part *part) {
    if (part->commit && !part->settled) {
        x->wrong = "undone, and confirmed";
    }
    if (part->forward == EXPLORE_ABSENT) {
        part->forward = EXPLORE_MARKER;
    }
    part->undo = 1;
    return ETX_DONE;
}

/* A new run of the initiator's code; an older one may still be at work. */
static etx_reply do_resume(explore_world *w, uint32_t run) {
    explore_client *client = w->client[0].run <= w->client[1].run ? &w->client[0] : &w->client[1];
    if (run <= client->run) {
        return ETX_DONE;
    }
    memset(client, 0, sizeof *client);
    client->run = run;
    client->at = 1;
    client->unsure = 1;
    return ETX_DONE;
}

static etx_reply do_query(explore_part *part) {
    if (part->forward == EXPLORE_ABSENT) {
        part->forward = EXPLORE_MARKER;
    }
    return part->forward == EXPLORE_DONE ? ETX_DONE : ETX_REFUSED;
}

static etx_reply carry_out(explorer *x,
                           explore_world *w,
                           unsigned source,
                           unsigned tx,
                           unsigned place,
                           unsigned operation,
                           int choice) {
    explore_part *part = &w->tx[tx].part[place];
    if (place == EXPLORE_INITIATOR) {
        uint32_t older =
            w->node[0].run[tx] < w->node[1].run[tx] ? w->node[0].run[tx] : w->node[1].run[tx];
        return x->config->tx[tx].mode == ETX_RESUMED
                   ? do_resume(w, source < EXPLORE_NODES ? w->node[source].run[tx] : older)
                   : do_query(part);
    }
    const explore_branch *branch = &x->config->tx[tx].branch[place];
    explore_check_order(x, w, tx, place, operation);
    if (operation == ETX_FORWARD) {
        return do_forward(part, branch, choice);
    }
    return operation == ETX_COMMIT ? do_commit(x, part, branch, choice) : do_undo(x, part);
}

static int may_choose(const explorer *x, const explore_part *part, unsigned place, unsigned op) {
    if (place == EXPLORE_INITIATOR) {
        return 0;
    }
    return op == ETX_FORWARD ? (x->config->refuse >> place & 1) && part->forward == EXPLORE_ABSENT
                             : op == ETX_COMMIT && (x->config->fail >> place & 1);
}

/* An owner that still waits for another call of that branch hears the answer to an old one. */
static void answer_late(explorer *x, explore_world *w, unsigned tx, unsigned place, etx_reply is) {
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        if (w->node[n].role == EXPLORE_OWNER && explore_facts_at(x, w->node[n].core)->tx[tx].live) {
            explore_ask_node(x, w, n, explore_old_ask(w, tx, place, (uint8_t)is));
        }
    }
}

/* 0 to 1: source; 2: transaction; 3 to 4: place; 5 to 6: operation; 7: choice */
int explore_call_arrives(explorer *x, explore_world *w, unsigned arg, explore_kind how) {
    unsigned source = arg & 3, tx = arg >> 2 & 1, place = arg >> 3 & 3, operation = arg >> 5 & 3;
    int choice = arg >> 7 & 1;
    explore_part *part = &w->tx[tx].part[place];
    uint8_t *budget = how == ACT_CALL_TWICE ? &w->left.duplicates : &w->left.lost;
    if (operation > ETX_UNDO || !(part->request[operation] >> source & 1) ||
        (choice && !may_choose(x, part, place, operation)) || (how != ACT_CALL && *budget == 0)) {
        return 0;
    }
    *budget = (uint8_t)(*budget - (how != ACT_CALL));
    part->request[operation] &= (uint8_t) ~(1u << source);
    explore_tell(x, "%s call of %s arrives at t%u/%c%s",
                 source == EXPLORE_NODES ? "an old"
                 : source == 0           ? "node 0's"
                                         : "node 1's",
                 operation_name(x, tx, place, operation), tx + 1, letter(place),
                 how == ACT_CALL_LOST    ? ": no, it is lost"
                 : how == ACT_CALL_TWICE ? ", and a copy of it will"
                                         : "");
    if (how == ACT_CALL_LOST) {
        return 1;
    }
    part->request[operation] |= how == ACT_CALL_TWICE ? EXPLORE_STALE : 0;
    etx_reply is = carry_out(x, w, source, tx, place, operation, choice);
    explore_tell(x, "    it answers: %s", etx_reply_name(is));
    if (source == EXPLORE_NODES) {
        answer_late(x, w, tx, place, is);
    } else {
        w->node[source].reply[tx][place] = (uint8_t)is;
    }
    return 1;
}

/* ---- clients */

char explore_client_step(const explorer *x, const explore_client *client, unsigned c) {
    const char *script = x->config->script[c];
    return script == NULL || client->stopped || strlen(script) <= 2u * client->at
               ? 0
               : script[2 * client->at];
}

static void step_on(const explorer *x, explore_client *client, unsigned c) {
    client->at++;
    if (explore_client_step(x, client, c) == 0) {
        client->stopped = 1;
    }
}

int explore_client_act(explorer *x, explore_world *w, unsigned arg) {
    unsigned c = arg & 1;
    int refuses = arg >> 1 & 1;
    explore_client *client = &w->client[c];
    unsigned tx = x->config->of[c];
    char step = explore_client_step(x, client, c);
    if (client->waiting != 0 || (step != 'T' && step != 'X')) {
        return 0;
    }
    unsigned place = step == 'X' ? (unsigned)EXPLORE_INITIATOR
                                 : (unsigned)(x->config->script[c][2 * client->at + 1] - '0');
    explore_part *part = &w->tx[tx].part[place];
    if (refuses && !may_choose(x, part, place, ETX_FORWARD)) {
        return 0;
    }
    static const explore_branch own = {.flags = ETX_KEEPS_REFUSALS};
    const explore_branch *branch = step == 'X' ? &own : &x->config->tx[tx].branch[place];
    etx_reply is = do_forward(part, branch, refuses);
    explore_tell(x, "client %u does t%u/%c itself: %s", c, tx + 1, letter(place),
                 etx_reply_name(is));
    client->abort |= is != ETX_DONE;
    step_on(x, client, c);
    return 1;
}

static void told_decision(explorer *x, explore_world *w, unsigned tx, uint8_t state) {
    if (state == ETX_COMMITTING || state == ETX_COMMITTED) {
        explore_check_acted(x, w, tx, 1);
    } else if (state == ETX_ABORTING || state == ETX_ABORTED) {
        explore_check_acted(x, w, tx, 0);
    }
    if (state == ETX_COMMITTED || state == ETX_ABORTED) {
        w->tx[tx].ended = 1;
    }
}

/* Nobody else could have begun it. */
static int is_alone(const explorer *x, unsigned c) {
    return x->config->script[1 - c] == NULL || x->config->of[1 - c] != x->config->of[c];
}

static void told_error(explorer *x, explore_world *w, unsigned c, int rc) {
    explore_client *client = &w->client[c];
    explore_money *tx = &w->tx[x->config->of[c]];
    if (rc == ETX_EUNKNOWN) {
        client->unsure = 1;
        return;
    }
    if (client->asked == 'B' && rc == ETX_EUNAVAILABLE && !client->unsure && is_alone(x, c)) {
        tx->told_not_begun = 1;
    }
    if (rc == ETX_ENOTFOUND) {
        x->wrong = "what was begun is not found";
    }
    if (client->asked == 'H') { /* its parent hears that it is refused, and undoes it */
        client->abort = 1;
        step_on(x, client, c);
        return;
    }
    client->stopped = 1;
}

void explore_answered(explorer *x, explore_world *w, unsigned n, const explore_answer *answer) {
    unsigned c = answer->client;
    explore_client *client = &w->client[c];
    int mine = client->waiting == n + 1;
    explore_tell(x, "    node %u answers client %u: %s %s%s", n, c, etx_error_name(answer->rc),
                 answer->state ? etx_state_name((etx_state)answer->state) : "",
                 mine ? "" : " (nobody listens)");
    if (!mine) {
        return;
    }
    explore_check_refused(x, w, c, answer->rc);
    client->waiting = 0;
    client->behind = 0;
    if (answer->rc < 0) {
        told_error(x, w, c, answer->rc);
        return;
    }
    told_decision(x, w, x->config->of[c], answer->state);
    if (client->asked == 'R') {
        client->abort |= answer->rc == ETX_REFUSED;
    } else if (client->asked == 'B') {
        client->run = answer->run;
    }
    if (client->asked == 'C' || client->asked == 'A') {
        if (answer->state == ETX_ACTIVE) {
            x->wrong = "told that it is decided, and it is not";
        }
        client->stopped = 1;
        return;
    }
    step_on(x, client, c);
}
