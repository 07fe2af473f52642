/* From a state on no faults, and everybody does what is due: does every transaction end? */
#include "explore.h"

#include <string.h>

enum { STEPS_MAX = 600, STORY_MAX = 60 };

static int ended(const explorer *x, const explore_world *w) {
    const explore_facts *log = explore_facts_at(x, w->slot[w->slots - 1].fold);
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        if (log->tx[tx].live) {
            return 0;
        }
        for (unsigned place = 0; place < EXPLORE_PLACES; place++) {
            const explore_part *part = &w->tx[tx].part[place];
            if (part->request[0] | part->request[1] | part->request[2]) {
                return 0; /* a late copy could still do something */
            }
        }
    }
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        if (w->node[n].role != EXPLORE_NONE && (w->node[n].flying || w->node[n].forming)) {
            return 0;
        }
    }
    return w->copies == 0 || log->live == 0;
}

static int try_act(explorer *x, explore_world *w, explore_kind kind, unsigned arg) {
    return explore_act(x, w, (uint16_t)(kind << 8 | arg));
}

static int puts_go_on(explorer *x, explore_world *w) {
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        if (try_act(x, w, ACT_ACK, n) ||
            (w->node[n].role != EXPLORE_NONE && try_act(x, w, ACT_ARRIVE, n)) ||
            try_act(x, w, ACT_PUT, n)) {
            return 1;
        }
    }
    return 0;
}

static int calls_go_on(explorer *x, explore_world *w) {
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        for (unsigned place = 0; place < EXPLORE_PLACES; place++) {
            for (unsigned n = 0; n < EXPLORE_NODES; n++) {
                if (try_act(x, w, ACT_REPLY, n | tx << 1 | place << 2)) {
                    return 1;
                }
            }
            for (unsigned i = 0; i < 9; i++) {
                unsigned arg = i % 3 | tx << 2 | place << 3 | (i / 3) << 5;
                if (try_act(x, w, ACT_CALL, arg)) {
                    return 1;
                }
            }
        }
    }
    return 0;
}

/* The node whose claim is the newest in the log, or -1. */
static int owner_of(const explore_world *w) {
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        if (w->node[n].role != EXPLORE_NONE && w->node[n].owner.nonce == w->newest) {
            return (int)n;
        }
    }
    return -1;
}

static int owners_go_on(explorer *x, explore_world *w) {
    return owner_of(w) < 0 && (try_act(x, w, ACT_CLAIM, 0) || try_act(x, w, ACT_CLAIM, 1));
}

/* One that was superseded and has nothing to put need never hear of it. */
static int clocks_go_on(explorer *x, explore_world *w) {
    int owner = owner_of(w);
    for (unsigned i = 0; owner >= 0 && i < (EXPLORE_DEADLINE + 1) * EXPLORE_TX; i++) {
        uint32_t before = w->node[owner].core;
        if (try_act(x, w, ACT_TICK, (unsigned)owner | i % EXPLORE_TX << 1 | i / EXPLORE_TX << 2) &&
            w->node[owner].core != before) {
            return 1;
        }
    }
    return 0;
}

/* An initiator that is run again runs, and a parent decides what it holds; any other client is
 * silent for good. One whose node is not the owner any more asks the owner. */
static int clients_go_on(explorer *x, explore_world *w) {
    int owner = owner_of(w);
    const char *script = x->config->script[0];
    if (owner < 0 || (x->config->tx[0].mode != ETX_RESUMED && strchr(script, 'H') == NULL)) {
        return 0;
    }
    for (unsigned c = 0; c < EXPLORE_CLIENTS; c++) {
        explore_client *client = &w->client[c];
        if (client->waiting != 0 && client->waiting != owner + 1) {
            client->waiting = 0;
            client->unsure = 1;
        }
        if (client->waiting == 0 &&
            (try_act(x, w, ACT_CLIENT, c) || try_act(x, w, ACT_SEND, c | (unsigned)owner << 1))) {
            return 1;
        }
    }
    return 0;
}

static int operators_go_on(explorer *x, explore_world *w) {
    const char *ops = x->config->operators;
    for (unsigned i = 0; ops != NULL && ops[i] != 0; i++) {
        for (unsigned n = 0; n < EXPLORE_NODES && ops[i] == 'r'; n++) {
            if (w->node[n].role == EXPLORE_OWNER &&
                (explore_facts_at(x, w->node[n].core)->tx[0].marks & ETX_MARK_PARKED) &&
                try_act(x, w, ACT_OPERATE, n | i << 1)) {
                return 1;
            }
        }
    }
    return 0;
}

void explore_fair(explorer *x, const explore_world *from) {
    explore_world w = *from;
    x->fair = 1;
    memset(&w.left, 0, sizeof w.left);
    explore_tell(x, "from here on there are no faults:");
    for (int i = 0; x->wrong == NULL && !ended(x, &w); i++) {
        int goes_on = puts_go_on(x, &w) || calls_go_on(x, &w) || owners_go_on(x, &w) ||
                      clients_go_on(x, &w) || operators_go_on(x, &w) || clocks_go_on(x, &w) ||
                      try_act(x, &w, ACT_LATE, 0);
        x->story = i < STORY_MAX ? x->story : NULL;
        if (!goes_on || i == STEPS_MAX) {
            x->wrong = "it does not end, though all faults have stopped";
        }
    }
    x->fair = 0;
}
