/* A branch that is a transaction itself: its Try begins a child and holds it, and only the
 * parent's Confirm or Cancel ends that. */
#include <string.h>

#include "nest.h"
#include "sim.h"

typedef struct chain {
    sim_node *node; /* whose call it is */
    uint32_t life;  /* ... in this life */
    sim_node *at;   /* where the child is asked for */
    sim_truth *parent;
    uint32_t place;
    etx_operation operation;
    etx_token token;
    etx_tx *child;
    uint32_t step; /* of a Try: begun, enlisted, held */
    uint32_t hops;
    etx_reply reply;
} chain;

sim_plan *sim_nest_plan(sim *s, const sim_plan *parent) {
    return &s->plan[SIM_PLANS + parent->number];
}

static void child_gid(const chain *c, char *gid) {
    char name[16];
    snprintf(name, sizeof name, "b%u", c->place);
    int rc = etx_gid_child(c->parent->gid, name, gid);
    etx_assert(rc == 0);
}

static void complete(sim_node *node, void *what) {
    const chain *c = what;
    etx_completion completion = ETX_COMPLETION_INIT;
    completion.reply = c->reply;
    etx_complete(node->engine, c->token, &completion);
}

static void answer(sim *s, void *what) {
    chain *c = what;
    if (!c->node->up || c->node->life != c->life) {
        return;
    }
    if (c->node->paused) {
        sim_at(s, c->node->paused_until_us - s->now_us + sim_about(s, 100), answer, c);
        return;
    }
    sim_node_run(c->node, complete, c);
}

static void finish(chain *c, etx_reply reply) {
    sim *s = c->node->world;
    sim_row *row = &c->parent->row[c->place];
    c->reply = reply;
    if (reply == ETX_REFUSED && c->operation == ETX_FORWARD) {
        row->forward = SIM_ROW_REFUSED; /* an operator ended what an earlier Try had held */
    }
    if (reply == ETX_DONE) {
        row->forward = c->operation == ETX_FORWARD ? SIM_ROW_DONE : row->forward;
        row->commit |= c->operation == ETX_COMMIT;
        row->undo |= c->operation == ETX_UNDO;
    }
    sim_say(s, c->parent->gid, "branch %u, a transaction itself: %s", c->place,
            etx_reply_name(reply));
    if (s->running == c->node) {
        complete(c->node, c);
    } else {
        sim_at(s, sim_about(s, 1000), answer, c);
    }
}

static int start(chain *c);

static void start_now(sim_node *node, void *what) {
    chain *c = what;
    (void)node;
    if (start(c) != 0) {
        finish(c, ETX_RETRY);
    }
}

static void start_there(sim *s, void *what) {
    chain *c = what;
    (void)s;
    if (sim_node_ready(c->at)) {
        sim_node_run(c->at, start_now, c);
    } else {
        finish(c, ETX_RETRY);
    }
}

/* The node that has the child's partition is asked instead. */
static int is_redirected(chain *c, int rc, const etx_outcome *outcome) {
    enum { HOPS = 8 };
    sim *s = c->node->world;
    int place = sim_client_where(rc, outcome);
    if (place < 0 || ++c->hops > HOPS) {
        return 0;
    }
    c->at = &s->node[place];
    c->step = 0;
    sim_at(s, sim_about(s, 1000), start_there, c);
    return 1;
}

static int is_over(const etx_outcome *outcome, int commit) {
    return commit ? outcome->state == ETX_COMMITTED || outcome->state == ETX_COMMITTING
                  : outcome->state == ETX_ABORTED || outcome->state == ETX_ABORTING;
}

static void on_step(int rc, const etx_outcome *outcome, void *user);

static int enlist(chain *c, const sim_plan *plan, uint32_t place) {
    etx_branch branch = ETX_BRANCH_INIT;
    uint32_t payload[2] = {SIM_PLANS + c->parent->plan->number, 0};
    char name[16];
    snprintf(name, sizeof name, "b%u", place);
    payload[1] = place;
    branch.participant = sim_bank_name(plan->branch[place].kind);
    branch.name = name;
    branch.payload = payload;
    branch.payload_len = sizeof payload;
    branch.flags = ETX_KEEPS_REFUSALS;
    return etx_tx_enlist_async(c->child, &branch, on_step, c);
}

static void on_step(int rc, const etx_outcome *outcome, void *user) {
    chain *c = user;
    sim *s = c->node->world;
    sim_truth_told(s, rc, outcome, 0);
    sim_node_may_die(c->at);
    if (is_redirected(c, rc, outcome)) {
        return;
    }
    if ((rc == 0 || rc == ETX_ESTATE) && is_over(outcome, 0)) {
        finish(c, ETX_REFUSED); /* its deadline came first */
        return;
    }
    if ((rc == 0 || rc == ETX_ESTATE) && is_over(outcome, 1)) {
        finish(c, ETX_DONE); /* an operator forced it */
        return;
    }
    if (rc != 0) {
        finish(c, ETX_RETRY);
        return;
    }
    c->step++;
    const sim_plan *plan = sim_nest_plan(s, c->parent->plan);
    if (c->step <= plan->branches) {
        rc = enlist(c, plan, c->step - 1);
    } else if (c->step == plan->branches + 1) {
        rc = etx_tx_hold_async(c->child, on_step, c);
    } else {
        finish(c, ETX_DONE);
        return;
    }
    if (rc != 0) {
        finish(c, ETX_RETRY);
    }
}

static void on_end(int rc, const etx_outcome *outcome, void *user) {
    chain *c = user;
    sim_truth_told(c->node->world, rc, outcome, 0);
    if (is_redirected(c, rc, outcome)) {
        return;
    }
    finish(c, rc == 0 && is_over(outcome, c->operation == ETX_COMMIT) ? ETX_DONE : ETX_RETRY);
}

static int start(chain *c) {
    char gid[ETX_GID_MAX + 1];
    etx_engine *engine = c->at->engine;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    child_gid(c, gid);
    options.gid = gid;
    options.deadline_ms = 1500;
    if (c->operation == ETX_FORWARD) {
        return etx_tx_begin_async(engine, &options, on_step, c, &c->child);
    }
    int rc = etx_tx_attach(engine, gid, 0, &c->child);
    if (rc != 0) {
        return rc;
    }
    return c->operation == ETX_COMMIT ? etx_tx_commit_async(c->child, on_end, c)
                                      : etx_tx_abort_async(c->child, on_end, c);
}

etx_reply sim_nest_call(sim_node *node, sim_truth *parent, uint32_t place, const etx_call *call) {
    chain *c = sim_alloc(node->world, sizeof *c);
    *c = (chain){.node = node, .life = node->life, .at = node, .parent = parent, .place = place};
    c->operation = etx_call_operation(call);
    c->token = etx_call_token(call);
    return start(c) == 0 ? ETX_LATER : ETX_RETRY;
}

static const sim_truth *child_find(sim *s, const sim_truth *parent, uint32_t place, char *gid) {
    chain c = {.parent = (sim_truth *)(uintptr_t)parent, .place = place};
    child_gid(&c, gid);
    return sim_truth_find(s, gid, strlen(gid));
}

int sim_nest_hopeless(sim *s, const sim_truth *parent, uint32_t place) {
    char gid[ETX_GID_MAX + 1];
    const sim_truth *child = child_find(s, parent, place, gid);
    if (child == NULL || parent->decided == 0) {
        return 0;
    }
    return (child->store != NULL && child->store->regressed) ||
           (child->forced && child->decided != 0 && child->decided != parent->decided);
}

/* ... and in which of its places. */
static const sim_truth *parent_find(sim *s, const sim_truth *child, uint32_t *ret_place) {
    char gid[ETX_GID_MAX + 1];
    for (const sim_truth *parent = s->truths; parent != NULL; parent = parent->next) {
        for (uint32_t i = 0; parent->plan != NULL && i < parent->plan->branches; i++) {
            if (parent->plan->branch[i].nests && child_find(s, parent, i, gid) == child) {
                *ret_place = i;
                return parent;
            }
        }
    }
    return NULL;
}

const sim_truth *sim_nest_parent(sim *s, const sim_truth *child) {
    uint32_t place;
    return parent_find(s, child, &place);
}

int sim_nest_orphaned(sim *s, const sim_truth *child, int *ret_commit) {
    uint32_t place;
    const sim_truth *parent = parent_find(s, child, &place);
    if (parent == NULL) {
        return 0;
    }
    int lost = parent->store != NULL && parent->store->regressed;
    *ret_commit = !lost && parent->decided == 2;
    return lost || (parent->decided != 0 && parent->row[place].settled);
}

/* A child ends as its parent does. */
void sim_nest_audit(sim *s, const sim_truth *parent, uint32_t place) {
    char gid[ETX_GID_MAX + 1];
    const sim_truth *child = child_find(s, parent, place, gid);
    if (parent->row[place].settled || parent->forced || (child != NULL && child->forced) ||
        (child != NULL && child->store != NULL && child->store->regressed)) {
        return;
    }
    if (parent->decided == 2 && (child == NULL || child->decided != 2)) {
        sim_break(s, "a child ends as its parent does", parent->gid, "%s did not commit", gid);
    }
    if (parent->decided == 1 && child != NULL && child->decided == 2) {
        sim_break(s, "a child ends as its parent does", parent->gid, "%s committed", gid);
    }
}
