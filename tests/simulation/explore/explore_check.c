/* What must hold in every state: one function each. */
#include "explore.h"

static int is_abort(uint8_t state) {
    return state == ETX_ABORTING || state == ETX_ABORTED;
}

static int is_commit(uint8_t state) {
    return state == ETX_COMMITTING || state == ETX_COMMITTED;
}

static const explore_facts *in_the_log(const explorer *x, const explore_world *w) {
    return explore_facts_at(x, w->slot[w->slots - 1].fold);
}

/* No call leaves before its record is durable, and what it is given is durable. */
void explore_check_call(explorer *x, const explore_world *w, const explore_call *call) {
    const struct explore_known *known = &in_the_log(x, w)->tx[call->tx];
    if (known->state == 0) {
        x->wrong = "a call left before its BEGIN was durable";
        return;
    }
    if (call->place == EXPLORE_INITIATOR) {
        return;
    }
    if ((call->operation == ETX_COMMIT && !is_commit(known->state)) ||
        (call->operation == ETX_UNDO && !is_abort(known->state))) {
        x->wrong = "a call left before its DECIDE was durable";
    }
    if (known->live && known->branches <= call->place) {
        x->wrong = "a call left before its ENLIST was durable";
    }
    if (known->live && (call->given & ~known->bytes)) {
        x->wrong = "a call was given a result that is not durable";
    }
}

/* A step that wants results is given those of all that it depends on. */
void explore_check_given(explorer *x, const explore_world *w, const explore_call *call) {
    const explore_transaction *of = &x->config->tx[call->tx];
    unsigned wanted = 0;
    if (call->place == EXPLORE_INITIATOR || call->operation != ETX_FORWARD ||
        !(of->branch[call->place].flags & ETX_WANTS_RESULTS)) {
        return;
    }
    for (unsigned i = 0; i < of->branches; i++) {
        int gives = of->branch[i].bytes && !w->tx[call->tx].part[i].settled;
        wanted |= (unsigned)gives << i;
    }
    if (of->branch[call->place].after & wanted & ~(unsigned)call->given) {
        x->wrong = "a call was not given a result that it depends on";
    }
}

/* A decision never changes, for whoever acts on it or is told it. */
void explore_check_acted(explorer *x, explore_world *w, unsigned tx, int commit) {
    w->tx[tx].acted |= commit ? 1 : 2;
    if (w->tx[tx].acted == 3) {
        x->wrong = "one transaction, two decisions: somebody acted on, or was told, each";
    }
    uint8_t state = in_the_log(x, w)->tx[tx].state;
    if (commit ? !is_commit(state) : !is_abort(state)) {
        x->wrong = "a decision was acted on, or told, that the log does not have";
    }
}

static void check_decided(explorer *x, const explore_world *w, unsigned tx, uint8_t was) {
    const struct explore_known *is = &in_the_log(x, w)->tx[tx];
    if ((is_commit(was) && !is_commit(is->state)) || (is_abort(was) && !is_abort(is->state))) {
        x->wrong = "a decision changed in the log";
    }
    if ((w->tx[tx].acted == 1 && !is_commit(is->state)) ||
        (w->tx[tx].acted == 2 && !is_abort(is->state))) {
        x->wrong = "the log and those who acted on it differ";
    }
}

/* A slot was filled: decisions stay, nothing unended is forgotten, and what a caller was told is
 * not begun does not begin. */
void explore_check_landed(explorer *x, explore_world *w, uint32_t before, uint32_t batch) {
    explore_said said = explore_batch_said(x->cores, batch);
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        explore_money *money = &w->tx[tx];
        unsigned bit = 1u << tx;
        uint8_t was = explore_facts_at(x, before)->tx[tx].state;
        if (((said.commit & bit) && is_abort(was)) || ((said.abort & bit) && is_commit(was))) {
            x->wrong = "another decision was written down";
        }
        if ((said.begin & bit) && money->told_not_begun) {
            x->wrong = "it is begun, and its caller was told that it is not";
        }
        money->begun |= (said.begin & bit) != 0;
        money->ended |= (said.end & bit) != 0;
        check_decided(x, w, tx, was);
        if (money->begun && in_the_log(x, w)->tx[tx].state == 0) {
            x->wrong = "the log has forgotten what was begun";
        }
    }
    if (said.own) {
        w->newest = (uint8_t)w->slot[w->slots - 1].nonce;
    }
}

/* What its initiator decides is committed only if it said so, and what is held is decided by its
 * parent alone. */
void explore_check_asked(explorer *x, const explore_world *w, uint32_t before, uint32_t batch) {
    explore_said said = explore_batch_said(x->cores, batch);
    for (unsigned tx = 0; tx < EXPLORE_TX && x->config->operators == NULL; tx++) {
        const struct explore_known *was = &explore_facts_at(x, before)->tx[tx];
        unsigned asked = w->tx[tx].asked;
        asked |= w->tx[tx].part[EXPLORE_INITIATOR].forward == EXPLORE_DONE;
        if ((said.commit >> tx & 1) && x->config->tx[tx].mode != ETX_SUBMITTED && !(asked & 1)) {
            x->wrong = "committed, and its initiator never said so";
        }
        if ((said.abort >> tx & 1) && (was->marks & ETX_MARK_HELD) && !(asked & 2)) {
            x->wrong = "what was held is aborted, and its parent never said so";
        }
    }
}

/* What is undecided is refused by nobody whose state may lag the log: the owner had a put
 * acknowledged that was made after it was asked. */
void explore_check_refused(explorer *x, const explore_world *w, unsigned c, int rc) {
    int may_change = rc == ETX_ESTATE || rc == ETX_ENOTFOUND || rc == ETX_EINVALID;
    if (may_change && w->client[c].behind &&
        in_the_log(x, w)->tx[x->config->of[c]].state == ETX_ACTIVE) {
        x->wrong = "refused by an owner that was superseded before it was asked";
    }
}

/* A superseded owner never appends again: behind its OWN, up to what was just acknowledged to it,
 * there is nothing of anybody else. */
void explore_check_owner(explorer *x, const explore_world *w, unsigned n) {
    const explore_node *node = &w->node[n];
    for (uint64_t i = node->own_at; i < node->owner.slot; i++) {
        if (i >= w->slots || w->slot[i].nonce != node->owner.nonce) {
            x->wrong =
                "an owner was told that its put stands, and the slot is not its own, or "
                "another claimed the partition before";
        }
    }
}

/* Live state equals refolded state: what it has read and had acknowledged, and what it wrote
 * since. */
void explore_check_refold(explorer *x, const explore_world *w, unsigned n) {
    const explore_node *node = &w->node[n];
    if (node->role != EXPLORE_OWNER || node->owner.slot > w->slots) {
        return;
    }
    uint32_t core = w->slot[node->owner.slot - 1].fold;
    explore_ask ask = {.type = EXPLORE_FOLD};
    if (node->flying != 0) {
        ask.number = node->flying;
        explore_step(x->cores, core, ask, &core);
    }
    if (node->forming != 0) {
        ask.number = node->forming;
        explore_step(x->cores, core, ask, &core);
    }
    if (explore_facts_at(x, core)->image != explore_facts_at(x, node->core)->image) {
        x->wrong = "live state is not what its records fold to";
    }
}

/* Nothing unended is forgotten: an owner knows all that was begun before its last slot. */
void explore_check_known(explorer *x, const explore_world *w, unsigned n) {
    const explore_node *node = &w->node[n];
    if (node->role != EXPLORE_OWNER || node->owner.slot > w->slots) {
        return;
    }
    const explore_facts *read = explore_facts_at(x, w->slot[node->owner.slot - 1].fold);
    const explore_facts *live = explore_facts_at(x, node->core);
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        if (read->tx[tx].state != 0 && live->tx[tx].state == 0) {
            x->wrong = "an owner has forgotten what was begun";
        }
    }
}

/* The answer to a call that is over brings no more than a look at the transaction, whichever call
 * and answer it is: seen once for each memory of an owner. */
void explore_check_deaf(explorer *x, const explore_world *w, unsigned n) {
    static const uint8_t reply[] = {ETX_DONE, ETX_REFUSED, ETX_RETRY};
    uint32_t core = w->node[n].core;
    uint8_t seen = w->late ? 2 : 1;
    if (w->node[n].role != EXPLORE_OWNER || (explore_facts_at(x, core)->deaf & seen)) {
        return;
    }
    for (unsigned i = 0; i < EXPLORE_TX * EXPLORE_PLACES * 3; i++) {
        unsigned tx = i / 3 / EXPLORE_PLACES, place = i / 3 % EXPLORE_PLACES;
        const struct explore_known *known = &explore_facts_at(x, core)->tx[tx];
        int there = place == EXPLORE_INITIATOR ? known->asks : place < known->branches;
        if (known->live && there &&
            !explore_same(x->cores, core, explore_old_answer(x, w, n, tx),
                          explore_old_ask(w, tx, place, reply[i % 3]))) {
            x->wrong = "the answer to a call that is over was heard";
        }
    }
    x->cores->facts[core].deaf |= seen;
}

static int has_effect(const explore_part *part) {
    return part->forward == EXPLORE_DONE && !part->undo && !part->settled;
}

/* A step is done after what it depends on, and undone before it. */
void explore_check_order(explorer *x,
                         const explore_world *w,
                         unsigned tx,
                         unsigned place,
                         unsigned operation) {
    const explore_transaction *of = &x->config->tx[tx];
    const explore_part *part = w->tx[tx].part;
    for (unsigned i = 0; i < of->branches; i++) {
        if (operation == ETX_FORWARD && part[place].forward == EXPLORE_ABSENT &&
            (of->branch[place].after >> i & 1) && part[i].forward == EXPLORE_ABSENT &&
            !part[i].settled) {
            x->wrong = "a step was done before what it depends on";
        }
        if (operation == ETX_UNDO && (of->branch[i].after >> place & 1) && has_effect(&part[i])) {
            x->wrong = "a step was undone before what depends on it";
        }
    }
}

static int agrees(const explore_config *config, const explore_money *money, unsigned tx) {
    int commit = money->acted == 1;
    for (unsigned i = 0; i < config->tx[tx].branches; i++) {
        const explore_part *part = &money->part[i];
        uint8_t kind = config->tx[tx].branch[i].kind;
        int effect = part->forward == EXPLORE_DONE && !part->undo;
        int must_commit = commit && kind != ETX_SAGA && kind != ETX_NOTIFICATION;
        if (part->settled) {
            continue;
        }
        if (!commit && (effect || part->commit)) {
            return 0;
        }
        if (commit && (part->undo || (must_commit && !part->commit) ||
                       (kind <= ETX_XA && part->forward != EXPLORE_DONE))) {
            return 0;
        }
    }
    return 1;
}

/* All branches of an ended transaction agree, from its end on. */
void explore_check_agree(explorer *x, const explore_world *w) {
    for (unsigned tx = 0; tx < EXPLORE_TX; tx++) {
        explore_money money = w->tx[tx];
        if (!money.ended) {
            continue;
        }
        money.acted = is_commit(in_the_log(x, w)->tx[tx].state) ? 1 : 2;
        if (!agrees(x->config, &money, tx)) {
            x->wrong = money.acted == 1 ? "it ended committed, and not every branch is"
                                        : "it ended aborted, and a branch has its effect";
        }
    }
}
