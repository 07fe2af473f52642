/* The world: its first state, and its actions. */
#include "explore.h"

#include <stdarg.h>
#include <string.h>

void explore_tell(const explorer *x, const char *format, ...) {
    if (x->story == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    fprintf(x->story, "    ");
    vfprintf(x->story, format, arguments);
    fprintf(x->story, "\n");
    fflush(x->story); /* the next may be a failed assertion */
    va_end(arguments);
}

/* Node 0 owns an empty log. */
void explore_world_make(explorer *x, explore_world *w) {
    memset(w, 0, sizeof *w);
    explore_node *node = &w->node[0];
    explore_slot *slot = &w->slot[0];
    etx_put put;
    slot->batch = explore_batch_own(x->cores, 1);
    slot->nonce = 1;
    etx__owner_claim(&node->owner, 0, 1, 0, 0);
    etx__owner_fill(&node->owner, explore_batch_bytes(x->cores, slot->batch), &put);
    etx__owner_judge(&node->owner, &put, ETX_PUT_WRITTEN);
    slot->checksum = put.checksum;
    explore_step(x->cores, x->cores->empty,
                 (explore_ask){.type = EXPLORE_FOLD, .number = slot->batch}, &slot->fold);
    w->slots = 1;
    w->claims = 1;
    w->newest = 1;
    w->left = x->config->budget;
    node->role = EXPLORE_OWNER;
    node->core = x->cores->empty;
    for (unsigned c = 0; c < EXPLORE_CLIENTS; c++) {
        w->client[c].stopped = explore_client_step(x, &w->client[c], c) == 0;
    }
    if (x->config->tx[0].mode == ETX_RESUMED) {
        w->client[1].stopped = 1; /* comes when the initiator is run again */
    }
    explore_ask_node(x, w, 0, (explore_ask){.type = EXPLORE_RECOVER, .number = 1});
}

/* ---- actions */

typedef struct list {
    uint16_t *action;
    unsigned count;
} list;

static void add(list *to, explore_kind kind, unsigned arg) {
    if (to->count < EXPLORE_ACTIONS_MAX) {
        to->action[to->count++] = (uint16_t)(kind << 8 | arg);
    }
}

static void calls_of(const explore_world *w, unsigned tx, unsigned place, list *to) {
    const explore_part *part = &w->tx[tx].part[place];
    for (unsigned operation = 0; operation < 3; operation++) {
        for (unsigned source = 0; source <= EXPLORE_NODES; source++) {
            if (!(part->request[operation] >> source & 1)) {
                continue;
            }
            unsigned arg = source | tx << 2 | place << 3 | operation << 5;
            add(to, ACT_CALL, arg);
            add(to, ACT_CALL, arg | 1u << 7);
            if (w->left.duplicates > 0) {
                add(to, ACT_CALL_TWICE, arg);
                add(to, ACT_CALL_TWICE, arg | 1u << 7);
            }
            if (w->left.lost > 0 && source < EXPLORE_NODES) {
                add(to, ACT_CALL_LOST, arg);
            }
        }
    }
}

static void place_of(const explore_world *w, unsigned tx, unsigned place, list *to) {
    calls_of(w, tx, place, to);
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        if (w->node[n].reply[tx][place] != 0) {
            add(to, ACT_REPLY, n | tx << 1 | place << 2);
            if (w->left.lost > 0) {
                add(to, ACT_REPLY_LOST, n | tx << 1 | place << 2);
            }
        }
    }
}

static void clients_of(const explorer *x, const explore_world *w, list *to) {
    for (unsigned c = 0; c < EXPLORE_CLIENTS; c++) {
        if (explore_client_step(x, &w->client[c], c) == 0) {
            continue;
        }
        for (unsigned choice = 0; choice < 2; choice++) {
            add(to, ACT_CLIENT, c | choice << 1);
            add(to, ACT_SEND, c | choice << 2);
            add(to, ACT_SEND, c | 1u << 1 | choice << 2);
        }
    }
}

static void node_of(const explorer *x, const explore_world *w, unsigned n, list *to) {
    const explore_node *node = &w->node[n];
    if (node->role == EXPLORE_NONE) {
        add(to, ACT_CLAIM, n);
        return;
    }
    if (node->result != 0) {
        add(to, ACT_ACK, n);
    } else if (node->flying != 0) {
        for (unsigned how = 0; how < 6; how++) {
            add(to, ACT_ARRIVE, n | how << 1);
        }
    }
    if (node->forming != 0) {
        add(to, ACT_PUT, n);
    }
    if (w->left.crashes > 0) {
        add(to, ACT_CRASH, n);
    }
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        int live = node->role == EXPLORE_OWNER && explore_facts_at(x, node->core)->tx[tx].live;
        for (unsigned what = 0; live && what <= EXPLORE_OLD; what++) {
            add(to, ACT_TICK, n | tx << 1 | what << 2);
        }
    }
    const char *ops = x->config->operators;
    for (unsigned i = 0; ops != NULL && w->left.operators > 0 && ops[i] != 0; i++) {
        add(to, ACT_OPERATE, n | i << 1);
    }
}

unsigned explore_actions(const explorer *x, const explore_world *w, uint16_t *ret_actions) {
    list to = {ret_actions, 0};
    clients_of(x, w, &to);
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        node_of(x, w, n, &to);
    }
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        for (unsigned place = 0; place < EXPLORE_PLACES; place++) {
            place_of(w, tx, place, &to);
        }
    }
    for (unsigned i = 0; i < w->copies; i++) {
        add(&to, ACT_LAND, i);
    }
    if (!w->late && (x->config->tx[0].deadline || x->config->tx[1].deadline)) {
        add(&to, ACT_LATE, 0);
    }
    return to.count;
}

static int reply_lost(explorer *x, explore_world *w, unsigned arg) {
    uint8_t *reply = &w->node[arg & 1].reply[arg >> 1 & 1][arg >> 2 & 3];
    if (*reply == 0 || w->left.lost == 0) {
        return 0;
    }
    *reply = 0;
    w->left.lost--;
    explore_tell(x, "the answer of t%u/%c to node %u is lost", (arg >> 1 & 1) + 1,
                 'a' + (int)(arg >> 2 & 3), arg & 1);
    return 1;
}

static int deadlines_pass(explorer *x, explore_world *w) {
    if (w->late) {
        return 0;
    }
    w->late = 1;
    explore_tell(x, "the deadlines pass");
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        explore_check_deaf(x, w, n);
    }
    return 1;
}

static int do_action(explorer *x, explore_world *w, explore_kind kind, unsigned arg) {
    switch (kind) {
        case ACT_SEND:
            return explore_send(x, w, arg);
        case ACT_CLIENT:
            return explore_client_act(x, w, arg);
        case ACT_PUT:
            return explore_put_start(x, w, arg);
        case ACT_ARRIVE:
            return explore_put_arrive(x, w, arg);
        case ACT_ACK:
            return explore_put_ack(x, w, arg);
        case ACT_LAND:
            return explore_put_land(x, w, arg);
        case ACT_CRASH:
            return explore_crash(x, w, arg);
        case ACT_CLAIM:
            return explore_claim(x, w, arg);
        case ACT_CALL:
        case ACT_CALL_TWICE:
        case ACT_CALL_LOST:
            return explore_call_arrives(x, w, arg, kind);
        case ACT_REPLY:
            return explore_reply(x, w, arg);
        case ACT_REPLY_LOST:
            return reply_lost(x, w, arg);
        case ACT_TICK:
            return explore_tick(x, w, arg);
        case ACT_LATE:
            return deadlines_pass(x, w);
        case ACT_OPERATE:
            return explore_operate(x, w, arg);
        case ACT_KINDS:
            break;
    }
    return 0;
}

int explore_act(explorer *x, explore_world *w, uint16_t action) {
    int done = do_action(x, w, (explore_kind)(action >> 8), action & 0xff);
    if (done && x->wrong == NULL) {
        explore_check_agree(x, w);
    }
    return done;
}
