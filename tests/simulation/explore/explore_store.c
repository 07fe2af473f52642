/* The slot store, with exactly the freedom of its contract (<etx/log.h>), and its owners' puts. */
#include "explore.h"

#include <string.h>

/* What becomes of an attempt. A copy that is on its way lands when it fits, once, or never. */
typedef enum outcome {
    HONEST,        /* carried out and told */
    REFUSED,       /* this attempt has no effect, and that is told */
    SILENT,        /* unknown: carried out */
    LATE,          /* unknown: carried out later, or never */
    BROKEN_SILENT, /* the same, with an I/O error */
    BROKEN_LATE,
    OUTCOMES
} outcome;

static etx_put_result judge(const explore_world *w, const etx_put *put) {
    if (put->slot < w->slots) {
        return ETX_PUT_OCCUPIED;
    }
    if (put->slot > w->slots || w->slot[w->slots - 1].checksum != put->predecessor) {
        return ETX_PUT_PREDECESSOR;
    }
    return ETX_PUT_WRITTEN;
}

static void fill(const explorer *x, explore_node *node, etx_put *ret_put) {
    etx__owner_fill(&node->owner, explore_batch_bytes(x->cores, node->flying), ret_put);
}

/* Copies that can never take effect any more are forgotten. */
static void copies_tidy(explore_world *w) {
    unsigned kept = 0;
    for (unsigned i = 0; i < w->copies; i++) {
        const explore_put *copy = &w->copy[i];
        int fits = copy->slot > w->slots ||
                   (copy->slot == w->slots && copy->predecessor == w->slot[w->slots - 1].checksum);
        if (fits) {
            w->copy[kept++] = *copy;
        }
    }
    memset(&w->copy[kept], 0, (w->copies - kept) * sizeof *w->copy);
    w->copies = (uint8_t)kept;
}

static void append(explorer *x, explore_world *w, const explore_put *put) {
    uint32_t before = w->slot[w->slots - 1].fold;
    if (w->slots == EXPLORE_SLOTS) {
        x->wrong = "the explorer has no room for so long a log";
        return;
    }
    explore_slot *slot = &w->slot[w->slots++];
    memset(slot, 0, sizeof *slot);
    slot->batch = put->batch;
    slot->checksum = put->checksum;
    slot->nonce = put->nonce;
    explore_ask ask = {.type = EXPLORE_FOLD, .number = put->batch};
    const explore_out *out = explore_step(x->cores, before, ask, &slot->fold);
    if (out->wrong != NULL) {
        x->wrong = out->wrong;
    }
    copies_tidy(w);
    explore_check_landed(x, w, before, put->batch);
    explore_check_asked(x, w, before, put->batch);
}

static explore_put put_of(explore_cores *c, const explore_node *node, const etx_put *put) {
    explore_put made;
    memset(&made, 0, sizeof made);
    made.batch = node->owner.state == ETX__OWNER_PROVE ? c->nothing : node->flying;
    made.predecessor = put->predecessor;
    made.checksum = put->checksum;
    made.nonce = (uint16_t)put->nonce;
    made.slot = (uint16_t)put->slot;
    return made;
}

static void send_late(explorer *x, explore_world *w, const explore_put *put) {
    for (unsigned i = 0; i < w->copies; i++) {
        if (w->copy[i].checksum == put->checksum) {
            return;
        }
    }
    if (w->copies == EXPLORE_COPIES) {
        x->wrong = "the explorer has no room for so many copies of puts";
    } else if (put->slot >= w->slots) {
        w->copy[w->copies++] = *put;
        copies_tidy(w);
    }
}

/* A put of a node that dies: it may land. */
void explore_copy_keep(explorer *x, explore_world *w, const explore_node *node) {
    explore_put put;
    memset(&put, 0, sizeof put);
    put.nonce = (uint16_t)node->owner.nonce;
    put.slot = (uint16_t)node->owner.slot;
    put.batch = node->flying;
    put.predecessor = node->owner.predecessor;
    put.checksum = node->owner.checksum;
    if (node->owner.state == ETX__OWNER_PUT) {
        send_late(x, w, &put);
    }
}

int explore_put_land(explorer *x, explore_world *w, unsigned i) {
    if (i >= w->copies || w->copy[i].slot != w->slots) {
        return 0;
    }
    explore_put copy = w->copy[i];
    explore_tell(x, "a late copy of a put takes effect at slot %u", (unsigned)copy.slot);
    append(x, w, &copy);
    return 1;
}

/* ---- an owner's put */

int explore_put_start(explorer *x, explore_world *w, unsigned n) {
    explore_node *node = &w->node[n];
    etx_put put;
    if (node->role != EXPLORE_OWNER || node->flying != 0 || node->forming == 0) {
        return 0;
    }
    explore_ask_node(x, w, n, (explore_ask){.type = EXPLORE_FLUSH});
    node->flying = node->forming;
    node->flying_seq = node->forming_seq;
    node->forming = 0;
    node->forming_seq = 0;
    fill(x, node, &put);
    if (x->story != NULL) {
        explore_tell(x, "node %u puts at slot %u:", n, (unsigned)put.slot);
        fprintf(x->story, "        ");
        explore_batch_print(x->cores, x->story, node->flying);
        fprintf(x->story, "\n");
    }
    return 1;
}

static int allowed(const explorer *x, const explore_world *w, outcome how, etx_put_result is) {
    if (how == HONEST) {
        return 1;
    }
    if (how == SILENT || how == BROKEN_SILENT) {
        return is == ETX_PUT_WRITTEN && w->left.outages > 0 && !x->fair;
    }
    return w->left.outages > 0 && !x->fair;
}

static void tell_outcome(const explorer *x, unsigned n, outcome how, etx_put_result is) {
    static const char *const name[OUTCOMES] = {"",
                                               "not written",
                                               "unknown, and it is written",
                                               "unknown, and it may be written later",
                                               "an I/O error, and it is written",
                                               "an I/O error, and it may be written later"};
    const char *honest = is == ETX_PUT_WRITTEN    ? "written"
                         : is == ETX_PUT_OCCUPIED ? "occupied"
                                                  : "the predecessor differs";
    explore_tell(x, "the store, of node %u's put: %s", n, how == HONEST ? honest : name[how]);
}

int explore_put_arrive(explorer *x, explore_world *w, unsigned arg) {
    unsigned n = arg & 1;
    outcome how = (outcome)(arg >> 1);
    explore_node *node = &w->node[n];
    etx_put put;
    if (node->flying == 0 || node->result != 0) {
        return 0;
    }
    fill(x, node, &put);
    etx_put_result is = judge(w, &put);
    if (!allowed(x, w, how, is)) {
        return 0;
    }
    explore_put mine = put_of(x->cores, node, &put);
    tell_outcome(x, n, how, is);
    w->left.outages = (uint8_t)(w->left.outages - (how != HONEST));
    node->broken = how == BROKEN_SILENT || how == BROKEN_LATE;
    node->result = how == HONEST    ? (uint8_t)is
                   : how == REFUSED ? ETX_PUT_NOT_WRITTEN
                                    : ETX_PUT_UNKNOWN;
    if (is == ETX_PUT_OCCUPIED && how == HONEST) {
        node->found_nonce = (uint16_t)w->slot[put.slot].nonce;
        node->found_checksum = w->slot[put.slot].checksum;
    }
    if (is == ETX_PUT_WRITTEN && (how == HONEST || how == SILENT || how == BROKEN_SILENT)) {
        append(x, w, &mine);
    } else if (how == LATE || how == BROKEN_LATE) {
        send_late(x, w, &mine);
    }
    return 1;
}

static void give_back(explorer *x, explore_world *w, unsigned n) {
    explore_node *node = &w->node[n];
    explore_cores *c = x->cores;
    uint32_t second = node->forming != 0 ? node->forming : c->nothing;
    unsigned begun =
        explore_batch_said(c, node->flying).begin | explore_batch_said(c, second).begin;
    etx_bytes rest = explore_batch_bytes(c, explore_batch_without(c, second, begun));
    int is_new;
    uint32_t records =
        explore_intern_bytes(&c->bytes, (const uint8_t *)rest.data + 1, rest.len - 1, &is_new);
    uint32_t kept = explore_batch_without(c, node->flying, begun);
    node->forming = rest.len > 1 ? explore_batch_join(c, kept, records) : kept;
    node->forming_seq = node->forming_seq > node->flying_seq ? node->forming_seq : node->flying_seq;
    node->flying = 0;
    node->flying_seq = 0;
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        if (begun & (1u << tx)) {
            explore_tell(x, "node %u takes back the begin of t%u, which was not written", n,
                         tx + 1);
            explore_ask_node(x, w, n, (explore_ask){.type = EXPLORE_GIVE_UP, .tx = (uint8_t)tx});
        }
    }
    explore_check_refold(x, w, n); /* once all of them are taken back */
}

static void durable(explorer *x, explore_world *w, unsigned n) {
    explore_node *node = &w->node[n];
    uint32_t seq = node->flying_seq;
    node->flying = 0;
    node->flying_seq = 0;
    if (node->role == EXPLORE_CLAIMING) {
        int resumes = x->config->tx[0].mode == ETX_RESUMED;
        node->role = EXPLORE_OWNER;
        node->own_at = (uint8_t)(node->owner.slot - 1);
        explore_tell(x, "node %u owns the partition", n);
        explore_check_owner(x, w, n);
        /* Runs are numbered by the slot of OWN; claims come in the same order. */
        uint32_t number = resumes ? (uint32_t)node->owner.nonce : 1;
        explore_ask_node(x, w, n, (explore_ask){.type = EXPLORE_RECOVER, .number = number});
        return;
    }
    explore_check_owner(x, w, n);
    node->forming_seq -= node->forming_seq > seq ? seq : node->forming_seq;
    explore_ask_node(x, w, n, (explore_ask){.type = EXPLORE_DURABLE, .number = seq});
}

static void judged(explorer *x, explore_world *w, unsigned n, etx__verdict verdict) {
    int claims = w->node[n].role == EXPLORE_CLAIMING;
    if (claims && verdict != ETX__DURABLE) {
        explore_tell(x, "node %u has no claim", n);
        explore_forget(x, w, n);
        return;
    }
    switch (verdict) {
        case ETX__DURABLE:
            durable(x, w, n);
            return;
        case ETX__AGAIN:
        case ETX__PROVE:
            return;
        case ETX__GIVE_BACK:
            give_back(x, w, n);
            return;
        case ETX__LOST:
            explore_tell(x, "node %u has lost the partition", n);
            explore_forget(x, w, n);
            return;
        case ETX__BROKEN:
            explore_tell(x, "node %u must read its log anew", n);
            explore_forget(x, w, n);
            return;
        case ETX__REGRESSED:
            x->wrong = "called regressed, and nothing acknowledged was lost";
            return;
    }
}

int explore_put_ack(explorer *x, explore_world *w, unsigned n) {
    explore_node *node = &w->node[n];
    etx_put put;
    if (node->result == 0) {
        return 0;
    }
    fill(x, node, &put);
    put.found_nonce = node->found_nonce;
    put.found_checksum = node->found_checksum;
    put.error = node->broken ? ETX_EIO : ETX_EUNAVAILABLE;
    etx_put_result result = (etx_put_result)node->result;
    node->result = 0;
    node->broken = 0;
    node->found_nonce = 0;
    node->found_checksum = 0;
    explore_tell(x, "node %u hears of its put", n);
    judged(x, w, n, etx__owner_judge(&node->owner, &put, result));
    return 1;
}
