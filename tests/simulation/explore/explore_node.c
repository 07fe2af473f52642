/* Nodes: what the runtime does around a core, in a page: batches, claims, crashes, clocks. */
#include "explore.h"

#include <string.h>

const explore_facts *explore_facts_at(const explorer *x, uint32_t core) {
    return &x->cores->facts[core];
}

/* ---- what a step brings */

static void tell_records(const explorer *x, unsigned n, uint32_t records) {
    if (x->story == NULL) {
        return;
    }
    fprintf(x->story, "        node %u writes down, not durable yet: ", n);
    explore_batch_print(x->cores, x->story,
                        explore_batch_join(x->cores, x->cores->nothing, records));
    fprintf(x->story, "\n");
}

static void take_out(explorer *x, explore_world *w, unsigned n, explore_out out) {
    explore_node *node = &w->node[n];
    if (out.wrong != NULL) {
        x->wrong = out.wrong;
    }
    if (out.records != 0 || out.want) {
        node->forming = node->forming != 0 ? node->forming : x->cores->nothing;
        node->forming_seq = out.seq;
    }
    if (out.records != 0) {
        node->forming = explore_batch_join(x->cores, node->forming, out.records);
        tell_records(x, n, out.records);
    }
    for (unsigned i = 0; i < out.calls; i++) {
        explore_call_leaves(x, w, n, &out.call[i]);
    }
    for (unsigned i = 0; i < out.answers; i++) {
        explore_answered(x, w, n, &out.answer[i]);
    }
}

const explore_out *explore_ask_node(explorer *x, explore_world *w, unsigned n, explore_ask ask) {
    ask.late = w->late;
    const explore_out *out = explore_step(x->cores, w->node[n].core, ask, &w->node[n].core);
    take_out(x, w, n, *out);
    if (ask.type != EXPLORE_FORGET && ask.type != EXPLORE_GIVE_UP) {
        explore_check_refold(x, w, n);
        explore_check_known(x, w, n);
        explore_check_deaf(x, w, n);
    }
    return out;
}

/* ---- clients' words */

static char said_of(const explore_client *client, char step, unsigned choice) {
    if (step == 'D' || step == 'C') {
        int aborts = client->abort || choice;
        return aborts ? (client->abort || step == 'D' ? 'A' : 0) : 'C';
    }
    return choice ? 0 : step;
}

static explore_ask ask_of(const explorer *x, const explore_world *w, unsigned c, char op) {
    const explore_client *client = &w->client[c];
    unsigned tx = x->config->of[c];
    unsigned place = (unsigned)(x->config->script[c][2 * client->at + 1] - '0');
    int done = op == 'R' && w->tx[tx].part[place & 3].forward == EXPLORE_DONE;
    return (explore_ask){
        .type = EXPLORE_COMMAND,
        .client = (uint8_t)c,
        .tx = (uint8_t)tx,
        .place = (uint8_t)place,
        .reply = done        ? ETX_DONE
                 : op == 'R' ? ETX_REFUSED
                             : 0,
        .op = op,
        .number = client->run,
    };
}

int explore_send(explorer *x, explore_world *w, unsigned arg) {
    unsigned c = arg & 1, n = arg >> 1 & 1;
    explore_client *client = &w->client[c];
    char step = explore_client_step(x, client, c);
    char op = step != 0 && strchr("BERHCAD", step) != NULL ? said_of(client, step, arg >> 2) : 0;
    if (op == 0 || w->node[n].role != EXPLORE_OWNER || client->waiting == n + 1 ||
        (client->waiting != 0 && w->left.repeats == 0) ||
        (explore_facts_at(x, w->node[n].core)->clients & (1u << c))) {
        return 0;
    }
    if (client->waiting != 0) {
        w->left.repeats--;
        client->unsure = 1;
    }
    client->waiting = (uint8_t)(n + 1);
    client->behind = w->newest != (uint8_t)w->node[n].owner.nonce;
    client->asked = op;
    w->tx[x->config->of[c]].asked |= (uint8_t)(op == 'C' ? 1 : op == 'A' ? 2 : 0);
    explore_tell(x, "client %u asks node %u: %s", c, n,
                 op == 'B'   ? "begin"
                 : op == 'E' ? "enlist"
                 : op == 'R' ? "record a result"
                 : op == 'H' ? "hold"
                 : op == 'C' ? "commit"
                             : "abort");
    explore_ask_node(x, w, n, ask_of(x, w, c, op));
    return 1;
}

/* ---- crashes, claims */

static void leave(explore_world *w, unsigned n) {
    explore_node *node = &w->node[n];
    uint32_t run[EXPLORE_TX];
    memcpy(run, node->run, sizeof run);
    explore_calls_stale(w, n);
    for (unsigned c = 0; c < EXPLORE_CLIENTS; c++) {
        if (w->client[c].waiting == n + 1) {
            w->client[c].waiting = 0;
            w->client[c].behind = 0;
            w->client[c].unsure = 1;
        }
    }
    memset(node, 0, sizeof *node);
    memcpy(node->run, run, sizeof run);
}

int explore_crash(explorer *x, explore_world *w, unsigned n) {
    explore_node *node = &w->node[n];
    if (w->left.crashes == 0 || node->role == EXPLORE_NONE) {
        return 0;
    }
    w->left.crashes--;
    explore_tell(x, "node %u crashes%s", n,
                 node->flying != 0 && node->result == 0 ? "; its put may take effect later" : "");
    if (node->flying != 0 && node->result == 0) {
        explore_copy_keep(x, w, node);
    }
    leave(w, n);
    return 1;
}

void explore_forget(explorer *x, explore_world *w, unsigned n) {
    if (w->node[n].role == EXPLORE_OWNER) {
        explore_ask_node(x, w, n, (explore_ask){.type = EXPLORE_FORGET});
    }
    leave(w, n);
}

int explore_claim(explorer *x, explore_world *w, unsigned n) {
    explore_node *node = &w->node[n];
    if (node->role != EXPLORE_NONE || (w->left.takeovers == 0 && !x->fair)) {
        return 0;
    }
    w->left.takeovers = (uint8_t)(w->left.takeovers - !x->fair);
    const explore_slot *last = &w->slot[w->slots - 1];
    node->role = EXPLORE_CLAIMING;
    node->core = last->fold;
    etx__owner_claim(&node->owner, 0, ++w->claims, w->slots, last->checksum);
    node->flying = explore_batch_own(x->cores, node->owner.nonce);
    explore_tell(x, "node %u reads to the end and puts OWN (claim %u) at slot %u", n,
                 (unsigned)w->claims, (unsigned)w->slots);
    etx_put put;
    etx__owner_fill(&node->owner, explore_batch_bytes(x->cores, node->flying), &put);
    return 1;
}

/* ---- answers of calls, clocks */

int explore_reply(explorer *x, explore_world *w, unsigned arg) {
    unsigned n = arg & 1, tx = arg >> 1 & 1, place = arg >> 2 & 3;
    uint8_t reply = w->node[n].reply[tx][place];
    if (reply == 0 || w->node[n].role != EXPLORE_OWNER) {
        return 0;
    }
    w->node[n].reply[tx][place] = 0;
    explore_tell(x, "node %u hears of t%u/%c: %s", n, tx + 1, place == 3 ? 'i' : 'a' + (int)place,
                 etx_reply_name((etx_reply)reply));
    explore_ask_node(
        x, w, n,
        (explore_ask){
            .type = EXPLORE_REPLY, .tx = (uint8_t)tx, .place = (uint8_t)place, .reply = reply});
    return 1;
}

static int requested(const explore_world *w, unsigned n, unsigned tx, unsigned place) {
    const explore_part *part = &w->tx[tx].part[place];
    unsigned all = part->request[0] | part->request[1] | part->request[2];
    return (all >> n & 1) || w->node[n].reply[tx][place] != 0;
}

explore_ask explore_old_ask(const explore_world *w, unsigned tx, unsigned place, uint8_t reply) {
    return (explore_ask){.type = EXPLORE_REPLY,
                         .late = w->late,
                         .tx = (uint8_t)tx,
                         .place = (uint8_t)place,
                         .reply = reply,
                         .stale = 1};
}

explore_ask explore_old_answer(const explorer *x, const explore_world *w, unsigned n, unsigned tx) {
    int branches = explore_facts_at(x, w->node[n].core)->tx[tx].branches;
    return explore_old_ask(w, tx, branches > 0 ? 0 : EXPLORE_INITIATOR, ETX_DONE);
}

/* Copies of calls that change nothing are not told apart (explore_hash.c): so an answer to a call
 * that is over may come at any time. */
static int old_answer(explorer *x, explore_world *w, unsigned n, unsigned tx) {
    explore_ask ask = explore_old_answer(x, w, n, tx);
    uint32_t after;
    const explore_out *out = explore_step(x->cores, w->node[n].core, ask, &after);
    if (after == w->node[n].core && !out->records && !out->calls && !out->answers && !out->want) {
        return 0;
    }
    explore_tell(x, "node %u hears of t%u: the answer to a call that is over", n, tx + 1);
    explore_ask_node(x, w, n, ask);
    return 1;
}

static int may_tick(explorer *x, const explore_world *w, unsigned n, unsigned tx, unsigned what) {
    const explore_facts *facts = explore_facts_at(x, w->node[n].core);
    const struct explore_known *known = &facts->tx[tx];
    if (what == EXPLORE_SILENCE) {
        return known->silent && (w->left.early > 0 || x->fair);
    }
    if (what == EXPLORE_DEADLINE) {
        return w->late && known->deadline;
    }
    if (known->waiting >> what & 1) {
        return 1;
    }
    return (known->outstanding >> what & 1) && (!requested(w, n, tx, what) || w->left.early > 0);
}

static void call_over(explore_world *w, unsigned n, unsigned tx, unsigned place) {
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *request = &w->tx[tx].part[place].request[i];
        if (*request >> n & 1) {
            *request = (uint8_t)((*request & ~(1u << n)) | EXPLORE_STALE);
        }
    }
    w->node[n].reply[tx][place] = 0;
}

static const char *tick_name(unsigned what, int outstanding) {
    if (what == EXPLORE_SILENCE) {
        return "the initiator has been silent too long";
    }
    if (what == EXPLORE_DEADLINE) {
        return "the deadline is over";
    }
    return outstanding ? "no answer in time" : "time to call again";
}

int explore_tick(explorer *x, explore_world *w, unsigned arg) {
    unsigned n = arg & 1, tx = arg >> 1 & 1, what = arg >> 2 & 7;
    if (w->node[n].role == EXPLORE_OWNER && what == EXPLORE_OLD) {
        return explore_facts_at(x, w->node[n].core)->tx[tx].live && old_answer(x, w, n, tx);
    }
    if (w->node[n].role != EXPLORE_OWNER || !may_tick(x, w, n, tx, what)) {
        return 0;
    }
    const struct explore_known *known = &explore_facts_at(x, w->node[n].core)->tx[tx];
    int outstanding = what < EXPLORE_PLACES && (known->outstanding >> what & 1);
    if (what == EXPLORE_SILENCE || (outstanding && requested(w, n, tx, what))) {
        w->left.early = (uint8_t)(w->left.early - (w->left.early > 0));
    }
    explore_tell(x, "node %u, t%u%s%c: %s", n, tx + 1, what < 3 ? "/" : "",
                 what < 3 ? 'a' + (int)what : ' ', tick_name(what, outstanding));
    if (outstanding) {
        call_over(w, n, tx, what);
    }
    explore_ask_node(
        x, w, n, (explore_ask){.type = EXPLORE_TICK, .tx = (uint8_t)tx, .place = (uint8_t)what});
    return 1;
}

/* ---- operators */

static uint8_t operation_now(uint8_t state) {
    return state == ETX_ACTIVE ? ETX_FORWARD : state == ETX_COMMITTING ? ETX_COMMIT : ETX_UNDO;
}

int explore_operate(explorer *x, explore_world *w, unsigned arg) {
    unsigned n = arg & 1;
    char op = x->config->operators[arg >> 1];
    int unparks = x->fair && op == 'r';
    if (w->node[n].role != EXPLORE_OWNER || (w->left.operators == 0 && !unparks) ||
        !explore_facts_at(x, w->node[n].core)->tx[0].live) {
        return 0;
    }
    w->left.operators = (uint8_t)(w->left.operators - !unparks);
    uint8_t state = explore_facts_at(x, w->node[n].core)->tx[0].state;
    explore_tell(x, "an operator asks node %u: %s", n,
                 op == 'p'   ? "park"
                 : op == 'r' ? "resume"
                 : op == 'a' ? "force abort"
                 : op == 'c' ? "force commit"
                             : "settle a branch by hand");
    explore_ask_node(
        x, w, n, (explore_ask){.type = EXPLORE_OPERATE, .op = op, .reply = operation_now(state)});
    unsigned settled = explore_facts_at(x, w->node[n].core)->tx[0].settled;
    for (unsigned i = 0; i < EXPLORE_BRANCHES; i++) {
        w->tx[0].part[i].settled |= (uint8_t)(settled >> i & 1);
    }
    return 1;
}
