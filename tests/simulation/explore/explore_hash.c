/* What tells two states of the world apart: only what its future depends on. */
#include "explore.h"

#include <string.h>

/* Left out, and why nothing of the future depends on it:
 *
 * - how long the log is, and its checksums: an owner's put meets only the last slot's checksum, and
 *   what stands at its own slot and the next. What is kept says how it stands to these.
 * - numbers of claims: they are compared for equality only, so it is kept whose they are: node 0's,
 *   node 1's, or that of one that is gone. (A workflow's runs are numbered by them: kept there.)
 * - copies of puts that can never fit: copies_tidy forgets them. The others all lie at the end of
 *   the log and behind the same slot; they are a set.
 * - which of several branches that are alike is which (explore_twin.c), and with it the order of
 *   results in a batch: what it is folded to is kept then, and of which kinds its records are.
 * - what is kept to check promises and follows from the log: `begun` (the log knows it), `acted`
 *   (the log has that decision, or a check fails), `asked` once the log has a decision.
 * - copies of calls that change nothing when they arrive, now or later, because their row stands in
 *   the participant's fence. Their answer reaches an owner that does not wait for it, and
 *   explore_check_deaf has shown of every memory of an owner that this changes nothing.
 * - what a client remembers beyond the steps that read it.
 * - which of the nodes is called 0: no configuration tells them apart. */

typedef struct kept_node {
    uint32_t core, read, flying, forming;
    uint32_t run[EXPLORE_TX];
    uint32_t nonce;
    uint16_t flying_seq, forming_seq;
    uint8_t role, state, doubtful, acknowledged;
    uint8_t newest, put, result, broken;
    uint8_t said[2]; /* by the batches */
    uint8_t reply[EXPLORE_TX][EXPLORE_PLACES];
} kept_node;

typedef struct kept_world {
    kept_node node[EXPLORE_NODES];
    uint64_t copy[EXPLORE_COPIES];
    explore_money tx[EXPLORE_TX];
    explore_client client[EXPLORE_CLIENTS];
    uint32_t log;
    uint8_t late, claims;
} kept_world;

/* Which is called what. */
typedef struct order {
    uint8_t node[EXPLORE_NODES]; /* the node that is called 0, and 1 */
    uint8_t twin;                /* the exchange of branches */
} order;

static int is_resumed(const explorer *x) {
    return x->config->tx[0].mode == ETX_RESUMED;
}

/* ---- nodes */

/* How its put stands to the log: how many slots from there on are its own (that put's, and that of
 * the empty batch behind it), and whether another's follows; then what comes behind is nothing to
 * it. */
static uint8_t put_of(const explore_world *w, const explore_node *node) {
    const etx__owner *owner = &node->owner;
    uint64_t at = owner->slot;
    unsigned own = 0;
    if (at > w->slots) {
        return 0xff;
    }
    while (at + own < w->slots && w->slot[at + own].nonce == owner->nonce) {
        own++;
    }
    unsigned is = own << 5 | (unsigned)(at + own < w->slots) << 4;
    is |= w->slot[at - 1].checksum == owner->predecessor;
    is |= (unsigned)(own > 0 && w->slot[at].checksum == owner->checksum) << 1;
    if (node->result == ETX_PUT_OCCUPIED) {
        is |= (unsigned)(node->found_checksum == owner->checksum) << 2;
        is |= (unsigned)(node->found_nonce == owner->nonce) << 3;
    }
    return (uint8_t)is;
}

static uint32_t twin_of(const explorer *x, uint32_t core, unsigned by) {
    return core != 0 ? explore_facts_at(x, core)->twin[by] : 0;
}

/* What a batch is folded to, from where it would be written. */
static uint32_t folded(const explorer *x, uint32_t read, uint32_t batch, uint8_t *ret_said) {
    explore_said said = explore_batch_said(x->cores, batch);
    explore_step(x->cores, read, (explore_ask){.type = EXPLORE_FOLD, .number = batch}, &read);
    *ret_said = (uint8_t)(1 | said.begin << 1 | said.end << 2 | said.commit << 3 | said.abort << 4);
    return read;
}

static void batches_kept(const explorer *x, const explore_node *node, kept_node *kept) {
    if (node->role != EXPLORE_OWNER || x->cores->twins == 1 || kept->read == 0) {
        kept->flying = node->role == EXPLORE_OWNER ? node->flying : 0;
        kept->forming = node->forming;
        return;
    }
    uint32_t read = kept->read;
    if (node->flying != 0) {
        kept->flying = read = folded(x, read, node->flying, &kept->said[0]);
    }
    if (node->forming != 0) {
        kept->forming = folded(x, read, node->forming, &kept->said[1]);
    }
}

static void node_kept(const explorer *x,
                      const explore_world *w,
                      unsigned n,
                      unsigned by,
                      kept_node *kept) {
    const explore_node *node = &w->node[n];
    const uint8_t *to = x->cores->exchange[by];
    memset(kept, 0, sizeof *kept);
    if (is_resumed(x)) {
        memcpy(kept->run, node->run, sizeof kept->run);
        kept->nonce = node->role != EXPLORE_NONE ? (uint32_t)node->owner.nonce : 0;
    }
    if (node->role == EXPLORE_NONE) {
        return;
    }
    uint64_t at = node->owner.slot;
    kept->role = node->role;
    kept->core = node->core;
    kept->read = at <= w->slots ? w->slot[at - 1].fold : 0;
    batches_kept(x, node, kept);
    kept->flying_seq = (uint16_t)node->flying_seq;
    kept->forming_seq = (uint16_t)node->forming_seq;
    kept->state = (uint8_t)node->owner.state;
    kept->doubtful = node->owner.doubtful;
    kept->acknowledged = node->owner.acknowledged;
    kept->newest = w->newest == (uint8_t)node->owner.nonce;
    kept->put = put_of(w, node);
    kept->result = node->result;
    kept->broken = node->broken;
    memcpy(kept->reply, node->reply, sizeof kept->reply);
    for (unsigned place = 0; place < EXPLORE_PLACES; place++) {
        kept->reply[0][to[place]] = node->reply[0][place];
    }
    if (by > 0) {
        kept->core = twin_of(x, kept->core, by);
        kept->read = twin_of(x, kept->read, by);
        kept->flying = twin_of(x, kept->flying, by);
        kept->forming = twin_of(x, kept->forming, by);
    }
}

/* ---- copies of puts */

static uint64_t copy_kept(const explorer *x,
                          const explore_world *w,
                          const explore_put *copy,
                          order by) {
    uint8_t said = 0;
    uint32_t end = w->slot[w->slots - 1].fold;
    uint64_t is = explore_batch_said(x->cores, copy->batch).own ? 0
                  : x->cores->twins == 1                        ? copy->batch
                                         : twin_of(x, folded(x, end, copy->batch, &said), by.twin);
    is = is << 16 | (uint64_t)said << 8 | 1;
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        const explore_node *node = &w->node[by.node[n]];
        int has = node->role != EXPLORE_NONE;
        is |= (uint64_t)(has && node->owner.nonce == copy->nonce) << (2 * n + 1);
        is |= (uint64_t)(has && node->owner.checksum == copy->checksum) << (2 * n + 2);
    }
    return is;
}

/* A set: in order, each once. */
static void copies_kept(const explorer *x, const explore_world *w, order by, kept_world *kept) {
    unsigned count = 0;
    for (unsigned i = 0; i < w->copies; i++) {
        uint64_t is = copy_kept(x, w, &w->copy[i], by);
        unsigned at = 0;
        while (at < count && kept->copy[at] < is) {
            at++;
        }
        if (at < count && kept->copy[at] == is) {
            continue;
        }
        memmove(&kept->copy[at + 1], &kept->copy[at], (count - at) * sizeof is);
        kept->copy[at] = is;
        count++;
    }
}

/* ---- participants and clients */

/* Rows are never taken back: what has no effect after its forward operation never has it again. */
static int undone_in_order(const explore_transaction *of,
                           const explore_money *money,
                           unsigned place) {
    for (unsigned i = 0; i < of->branches; i++) {
        const explore_part *part = &money->part[i];
        if ((of->branch[i].after >> place & 1) && !part->undo && part->forward <= EXPLORE_DONE) {
            return 0;
        }
    }
    return 1;
}

static int changes_nothing(const explore_transaction *of,
                           const explore_money *money,
                           unsigned place,
                           unsigned operation) {
    const explore_part *part = &money->part[place];
    return operation == ETX_FORWARD ? part->forward != EXPLORE_ABSENT
           : operation == ETX_COMMIT
               ? part->commit && !part->undo
               : part->undo && !part->commit && undone_in_order(of, money, place);
}

static uint8_t swapped(uint8_t request) {
    return (uint8_t)((request & EXPLORE_STALE) | (request & 1) << 1 | (request >> 1 & 1));
}

static void calls_kept(const explorer *x,
                       const explore_money *money,
                       unsigned tx,
                       order by,
                       explore_money *kept) {
    const explore_transaction *of = &x->config->tx[tx];
    const uint8_t *to = x->cores->exchange[by.twin];
    for (unsigned i = 0; i < EXPLORE_PLACES; i++) {
        kept->part[tx == 0 ? to[i] : i] = money->part[i];
    }
    for (unsigned i = 0; i < EXPLORE_PLACES * 3; i++) {
        uint8_t *request = &kept->part[tx == 0 ? to[i / 3] : i / 3].request[i % 3];
        int runs = i / 3 == EXPLORE_INITIATOR && is_resumed(x);
        if ((*request & EXPLORE_STALE) && !runs && changes_nothing(of, money, i / 3, i % 3)) {
            *request &= (uint8_t)~EXPLORE_STALE;
        }
        *request = by.node[0] != 0 ? swapped(*request) : *request;
    }
}

static void money_kept(const explorer *x,
                       const explore_world *w,
                       unsigned tx,
                       order by,
                       explore_money *kept) {
    uint8_t state = explore_facts_at(x, w->slot[w->slots - 1].fold)->tx[tx].state;
    *kept = w->tx[tx];
    calls_kept(x, &w->tx[tx], tx, by, kept);
    kept->begun = 0;
    kept->acted = 0;
    if (x->config->tx[tx].mode == ETX_SUBMITTED || state > ETX_ACTIVE) {
        kept->asked = 0;
    }
}

static void client_kept(const explorer *x,
                        const explore_world *w,
                        unsigned c,
                        order by,
                        explore_client *kept) {
    const explore_client *client = &w->client[c];
    memset(kept, 0, sizeof *kept);
    kept->run = is_resumed(x) ? client->run : 0;
    if (client->waiting != 0) {
        kept->waiting = (uint8_t)(1 + (by.node[0] == client->waiting - 1 ? 0 : 1));
        kept->behind = client->behind;
        kept->asked = client->asked;
    }
    kept->stopped = explore_client_step(x, client, c) == 0;
    if (client->waiting != 0 || !kept->stopped) {
        kept->at = client->at;
        kept->abort = client->abort;
        kept->unsure = client->unsure && client->at == 0;
    }
}

/* ---- all of it */

static uint64_t hash_by(const explorer *x,
                        const explore_world *w,
                        order by,
                        const kept_node *node) {
    kept_world kept;
    memset(&kept, 0, sizeof kept);
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        kept.node[n] = node[by.node[n]];
    }
    copies_kept(x, w, by, &kept);
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        money_kept(x, w, tx, by, &kept.tx[tx]);
    }
    for (unsigned c = 0; c < EXPLORE_CLIENTS; c++) {
        client_kept(x, w, c, by, &kept.client[c]);
    }
    kept.log = twin_of(x, w->slot[w->slots - 1].fold, by.twin);
    kept.late = w->late;
    kept.claims = is_resumed(x) ? w->claims : 0;
    return explore_hash_words(&kept, sizeof kept & ~(size_t)7);
}

static uint64_t least(uint64_t one, uint64_t other) {
    return one < other ? one : other;
}

/* The nodes in the order of what is kept of them; if that is the same, in both. */
static uint64_t hash_exchanged(const explorer *x, const explore_world *w, unsigned twin) {
    order straight = {{0, 1}, (uint8_t)twin}, crossed = {{1, 0}, (uint8_t)twin};
    kept_node node[EXPLORE_NODES];
    for (unsigned n = 0; n < EXPLORE_NODES; n++) {
        node_kept(x, w, n, twin, &node[n]);
    }
    int is = memcmp(&node[0], &node[1], sizeof node[0]);
    uint64_t hash = UINT64_MAX;
    hash = is <= 0 ? hash_by(x, w, straight, node) : hash;
    return is >= 0 ? least(hash, hash_by(x, w, crossed, node)) : hash;
}

/* What its branches' rows and calls are, by their places in the exchange. */
static uint64_t rows(const explorer *x, const explore_world *w, unsigned twin) {
    const uint8_t *to = x->cores->exchange[twin];
    uint64_t all = 0;
    for (unsigned i = 0; i < EXPLORE_BRANCHES; i++) {
        const explore_part *part = &w->tx[0].part[i];
        uint64_t is = part->forward | (unsigned)part->commit << 2 | (unsigned)part->undo << 3;
        for (unsigned operation = 0; operation < 3; operation++) {
            is = is << 1 | ((part->request[operation] & ~EXPLORE_STALE) != 0);
        }
        all |= is << (16 * to[i]);
    }
    return all;
}

/* Of the exchanges that bring the rows into order: of which the hash is the least. */
uint64_t explore_hash(const explorer *x, const explore_world *w) {
    uint64_t hash = UINT64_MAX, best = UINT64_MAX, is[EXPLORE_TWINS] = {0};
    for (unsigned twin = 0; twin < x->cores->twins; twin++) {
        is[twin] = x->cores->twins > 1 ? rows(x, w, twin) : 0;
        best = least(best, is[twin]);
    }
    for (unsigned twin = 0; twin < x->cores->twins; twin++) {
        hash = is[twin] == best ? least(hash, hash_exchanged(x, w, twin)) : hash;
    }
    return hash;
}

uint64_t explore_hash_whole(const explore_world *w) {
    return explore_hash_words(w, sizeof *w & ~(size_t)7);
}
