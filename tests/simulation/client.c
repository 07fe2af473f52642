/* Clients: what they ask of the nodes, how they repeat themselves, how they fall silent. */
#include <string.h>

#include "sim.h"

enum { TRIES = 6, PATIENCE_US = 6000000 };

/* Interactive and resumed ones go step by step: 0 begins; each branch takes two (enlist, then its
 * forward operation and result where the initiator does it); then the decision. */

typedef struct question {
    sim_plan *plan;
    uint32_t number;
    int known; /* when it was asked, its gid was in a log */
} question;

static void plan_go_on(sim *s, void *what);

static void go_on_later(sim_plan *plan, uint64_t us) {
    sim *s = plan->world;
    question *next = sim_alloc(s, sizeof *next);
    *next = (question){plan, plan->asked, 0};
    sim_at(s, sim_about(s, us), plan_go_on, next);
}

static void give_up(sim_plan *plan, const char *why) {
    plan->over = 1;
    plan->waiting = 0;
    sim_say(plan->world, plan->gid[0] != 0 ? plan->gid : NULL, "client %u: %s", plan->number, why);
}

/* Nobody knows yet: asked again, perhaps elsewhere; or left. */
static void try_again(sim_plan *plan, uint64_t us) {
    if (++plan->tries >= TRIES) {
        give_up(plan, "gives up");
        return;
    }
    plan->tx = NULL;
    plan->node = NULL;
    go_on_later(plan, us);
}

int sim_client_where(int rc, const etx_outcome *outcome) {
    unsigned number = 0;
    unsigned place = 0;
    return rc == ETX_EELSEWHERE &&
                   sscanf(outcome->reason, "partition %u is with node node%u", &number, &place) == 2
               ? (int)place
               : -1;
}

/* The node that has its partition is asked instead. */
static int is_redirected(sim_plan *plan, int rc, const etx_outcome *outcome) {
    enum { HOPS = 40 };
    sim *s = plan->world;
    int place = sim_client_where(rc, outcome);
    if (place < 0 || ++plan->hops > HOPS) {
        return 0;
    }
    plan->tx = NULL;
    plan->node = &s->node[place];
    plan->life = plan->node->life;
    go_on_later(plan, 20000);
    return 1;
}

/* ---- answers */

static int is_transient(int rc) {
    return rc == ETX_EUNAVAILABLE || rc == ETX_EUNKNOWN || rc == ETX_EBUSY || rc == ETX_ECLOSED ||
           rc == ETX_EFULL || rc == ETX_ENOMEM || rc == ETX_EELSEWHERE;
}

static void check_content(const sim_plan *plan, const etx_outcome *outcome, uint8_t confused) {
    sim *s = plan->world;
    const sim_truth *truth = sim_truth_find(s, outcome->gid, strlen(outcome->gid));
    if (truth != NULL && truth->begun && truth->confused != confused && !truth->store->regressed) {
        sim_break(s, "a repeat starts nothing", outcome->gid,
                  "other content under a gid that is known is taken for the same");
    }
}

static void submitted_answered(sim_plan *plan, int rc, const etx_outcome *outcome) {
    sim *s = plan->world;
    if (rc == 0) {
        check_content(plan, outcome, 0);
        if (!plan->chosen && outcome->durability < (etx_durability)plan->durability) {
            sim_break(s, "the durability asked for", outcome->gid, "%s was asked, %s achieved",
                      etx_durability_name((etx_durability)plan->durability),
                      etx_durability_name(outcome->durability));
        }
        if (plan->chosen && sim_happens(s, SIM_REPEAT) && plan->tries < TRIES) {
            sim_say(s, plan->gid, "client %u: asks again", plan->number);
            try_again(plan, 1000000);
            return;
        }
        give_up(plan, "has its answer");
        return;
    }
    if ((rc == ETX_EUNKNOWN || rc == ETX_ECLOSED) && !plan->chosen) {
        give_up(plan, "will never know");
        return;
    }
    if (is_redirected(plan, rc, outcome)) {
        return;
    }
    if (rc == ETX_ENOTFOUND || is_transient(rc)) { /* not found: a participant is not there yet */
        try_again(plan, 500000);
        return;
    }
    const sim_truth *truth = sim_truth_find(s, plan->gid, strlen(plan->gid));
    if (rc == ETX_ECONFLICT && truth != NULL && truth->confused) {
        give_up(plan, "its gid was taken for something else");
        return;
    }
    sim_break(s, "an honest answer", outcome->gid, "a submission is answered %s",
              etx_error_name(rc));
}

/* What the initiator told of its own branches was not waited for: a successor may not know it, and
 * then does not commit. */
static int lacks_results(const sim_plan *plan, const sim_truth *truth) {
    int lacks = truth->branches < plan->branches;
    for (uint32_t i = 0; i < plan->branches; i++) {
        lacks |= plan->branch[i].by_initiator && truth->result[i] == 0;
    }
    return lacks;
}

/* Each refusal of a step has one reason, and the truth must have it. (Whether what is not found
 * lives is looked at wherever anybody is told so.) */
static void check_refusal(const sim_plan *plan, int rc) {
    sim *s = plan->world;
    const sim_truth *truth = sim_truth_find(s, plan->gid, strlen(plan->gid));
    int lied = 0;
    for (uint32_t i = 0; truth != NULL && i < SIM_BRANCHES; i++) {
        lied |= truth->row[i].lied;
    }
    int may = truth != NULL && truth->store != NULL && truth->store->regressed;
    may |= rc == ETX_ENOTFOUND;
    may |= rc == ETX_ESTATE && truth != NULL && (truth->decided != 0 || lacks_results(plan, truth));
    may |= rc == ETX_ESTATE && plan->mode == ETX_RESUMED; /* another run is the valid one */
    may |= rc == ETX_EGONE && (truth == NULL || !truth->begun || truth->ended);
    may |= rc == ETX_ECONFLICT && truth != NULL && (truth->confused || lied);
    if (!may) {
        sim_break(s, "an honest answer", plan->gid, "step %u is answered %s", plan->step,
                  etx_error_name(rc));
    }
}

static void step_answered(sim_plan *plan, int rc, const etx_outcome *outcome) {
    sim *s = plan->world;
    if (rc == 0) {
        plan->begun = 1;
        plan->step++;
        if (outcome->state != ETX_ACTIVE && outcome->state != ETX_NONE) {
            give_up(plan, "it is decided");
            return;
        }
        go_on_later(plan, sim_happens(s, SIM_LATE) ? 3000000 : 2000);
        return;
    }
    if (rc == ETX_ESTATE || rc == ETX_ENOTFOUND || rc == ETX_EGONE || rc == ETX_ECONFLICT) {
        check_refusal(plan, rc);
        give_up(plan, etx_error_name(rc));
        return;
    }
    if (is_redirected(plan, rc, outcome)) {
        return;
    }
    if (is_transient(rc)) {
        if (!plan->begun && !plan->chosen) {
            give_up(plan, "its begin has no answer");
            return;
        }
        try_again(plan, 300000);
        return;
    }
    sim_break(s, "an honest answer", plan->gid, "step %u is answered %s", plan->step,
              etx_error_name(rc));
}

static void answered(int rc, const etx_outcome *outcome, void *user) {
    const question *asked = user;
    rc = rc > 0 ? 0 : rc; /* a result: the reply that stands */
    sim_plan *plan = asked->plan;
    sim *s = plan->world;
    sim_say(s, outcome->gid, "client %u hears: %s %s", plan->number,
            rc == 0 ? etx_state_name(outcome->state) : etx_error_name(rc), outcome->reason);
    sim_truth_told(s, rc, outcome, asked->known);
    sim_node_may_die(s->running);
    if (asked->number != plan->asked || !plan->waiting) {
        return;
    }
    plan->waiting = 0;
    if (plan->mode == ETX_SUBMITTED) {
        submitted_answered(plan, rc, outcome);
    } else {
        step_answered(plan, rc, outcome);
    }
}

static void no_answer(sim *s, void *what) {
    const question *asked = what;
    sim_plan *plan = asked->plan;
    etx_outcome none = ETX_OUTCOME_INIT;
    if (asked->number != plan->asked || !plan->waiting) {
        return;
    }
    plan->waiting = 0;
    sim_say(s, plan->gid, "client %u waits no longer", plan->number);
    if (plan->mode == ETX_SUBMITTED) {
        submitted_answered(plan, ETX_EUNKNOWN, &none);
    } else {
        step_answered(plan, ETX_EUNKNOWN, &none);
    }
}

static question *ask(sim_plan *plan) {
    sim *s = plan->world;
    question *asked = sim_alloc(s, sizeof *asked);
    plan->waiting = 1;
    *asked = (question){plan, ++plan->asked, sim_truth_known(s, plan->gid)};
    sim_at(s, PATIENCE_US, no_answer, asked);
    return asked;
}

/* It could not even be asked. */
static void refused(sim_plan *plan, int rc) {
    etx_outcome none = ETX_OUTCOME_INIT;
    plan->waiting = 0;
    sim_say(plan->world, plan->gid[0] != 0 ? plan->gid : NULL, "client %u: %s", plan->number,
            etx_error_name(rc));
    if (plan->mode == ETX_SUBMITTED) {
        submitted_answered(plan, rc, &none);
    } else if (rc == ETX_ENOTFOUND) {
        try_again(plan, 500000);
    } else {
        step_answered(plan, rc, &none);
    }
}

/* ---- asking */

typedef struct wire_branch {
    etx_branch branch;
    uint32_t payload[2];
    char name[16];
    char before[SIM_BRANCHES][8];
    const char *depends_on[SIM_BRANCHES];
} wire_branch;

static void fill_branch(const sim_plan *plan, uint32_t place, wire_branch *to) {
    const sim_plan_branch *from = &plan->branch[place];
    to->branch = (etx_branch)ETX_BRANCH_INIT;
    to->payload[0] = plan->number;
    to->payload[1] = place;
    snprintf(to->name, sizeof to->name, "b%u", place);
    to->branch.participant = sim_bank_name(from->kind);
    to->branch.name = to->name;
    to->branch.payload = to->payload;
    to->branch.payload_len = sizeof to->payload;
    if (plan->number % 3 == 0) { /* a pace of its own */
        to->branch.call_timeout_ms = 700;
        to->branch.retry_first_ms = 30;
        to->branch.retry_cap_ms = 1500;
    }
    to->branch.flags = (from->by_initiator ? (uint32_t)ETX_BY_INITIATOR : 0) |
                       (from->wants ? (uint32_t)ETX_WANTS_RESULTS : 0) |
                       (from->refuses && from->forgets ? 0 : (uint32_t)ETX_KEEPS_REFUSALS);
    uint32_t count = 0;
    to->branch.independent = from->alone;
    for (uint32_t i = 0; i < SIM_BRANCHES; i++) {
        if (from->depends_on & (1u << i)) {
            snprintf(to->before[count], sizeof to->before[count], "b%u", i);
            to->depends_on[count] = to->before[count];
            count++;
        }
    }
    to->branch.depends_on = count > 0 ? to->depends_on : NULL;
    to->branch.depends_on_count = count;
}

static void fill_options(const sim_plan *plan, etx_tx_options *options) {
    static const etx_wait waits[] = {ETX_WAIT_ENDED, ETX_WAIT_DECIDED, ETX_WAIT_ENDED};
    options->gid = plan->chosen ? plan->gid : NULL;
    options->wait = waits[plan->number % 3];
    options->deadline_ms = plan->deadline ? 400 : 0;
    options->durability = plan->chosen ? ETX_DURABILITY_DEFAULT : (etx_durability)plan->durability;
    if (plan->mode != ETX_SUBMITTED) {
        options->mode = (etx_mode)plan->mode;
        options->initiator =
            plan->mode == ETX_RESUMED || plan->number % 2 == 0 ? "initiator" : NULL;
        options->resume_ms = plan->mode == ETX_RESUMED ? 900 : 0;
    }
}

static int add_all(sim_plan *plan, etx_tx *tx, int confused) {
    int rc = 0;
    for (uint32_t i = 0; i < plan->branches && rc == 0; i++) {
        wire_branch wire;
        fill_branch(plan, i, &wire);
        wire.payload[0] += confused && i == 0 ? SIM_CONFUSED_BY : 0;
        rc = etx_tx_add_branch(tx, &wire.branch);
    }
    return rc;
}

static void submit(sim_node *node, sim_plan *plan) {
    sim *s = plan->world;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    fill_options(plan, &options);
    sim_say(s, plan->chosen ? plan->gid : NULL, "client %u submits %u branches to %s", plan->number,
            plan->branches, node->name);
    int rc = etx_tx_new(node->engine, &options, &tx);
    if (rc == 0) {
        rc = add_all(plan, tx, 0);
        if (rc != 0) {
            etx_tx_discard(tx);
        }
    }
    rc = rc != 0 ? rc : etx_tx_submit(tx, answered, ask(plan));
    if (rc != 0) {
        refused(plan, rc);
    }
}

static void on_confused(int rc, const etx_outcome *outcome, void *user) {
    const question *asked = user;
    sim_say(asked->plan->world, outcome->gid, "... and is answered %s", etx_error_name(rc));
    if (rc == 0) {
        check_content(asked->plan, outcome, 1);
    }
}

/* The same gid with other content: refused, if it is known; and never mixed up. */
static void submit_confused(sim_node *node, void *what) {
    sim_plan *plan = what;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    fill_options(plan, &options);
    sim_say(plan->world, plan->gid, "client %u asks %s for something else under the same gid",
            plan->number, node->name);
    question *asked = sim_alloc(plan->world, sizeof *asked);
    *asked = (question){plan, 0, 0};
    if (etx_tx_new(node->engine, &options, &tx) == 0) {
        if (add_all(plan, tx, 1) != 0) {
            etx_tx_discard(tx);
        } else {
            etx_tx_submit(tx, on_confused, asked);
        }
    }
}

/* An abort that overtook its begin. */
static void abort_early(sim_node *node, void *what) {
    sim_plan *plan = what;
    etx_tx *tx = NULL;
    sim_say(plan->world, plan->gid, "client %u aborts at %s what it has perhaps not begun",
            plan->number, node->name);
    question *asked = sim_alloc(plan->world, sizeof *asked);
    *asked = (question){plan, 0, 0};
    if (etx_tx_attach(node->engine, plan->gid, 0, &tx) == 0) {
        etx_tx_abort_async(tx, answered, asked);
    }
}

static uint32_t steps(const sim_plan *plan) {
    return 1 + 2 * plan->branches;
}

/* Attaches where it is not attached. */
static int have_handle(sim_node *node, sim_plan *plan) {
    if (plan->tx != NULL) {
        return 0;
    }
    return etx_tx_attach(node->engine, plan->gid, plan->run, &plan->tx);
}

static int step_begin(sim_node *node, sim_plan *plan) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    fill_options(plan, &options);
    plan->tx = NULL;
    int rc = etx_tx_begin_async(node->engine, &options, answered, ask(plan), &plan->tx);
    if (rc == 0 && !plan->chosen) {
        snprintf(plan->gid, sizeof plan->gid, "%s", etx_tx_gid(plan->tx));
    }
    return rc;
}

/* What the initiator does itself, before it tells. */
static etx_reply do_forward(sim_plan *plan, uint32_t place) {
    sim *s = plan->world;
    sim_truth *truth = sim_truth_of(s, plan->gid, strlen(plan->gid));
    truth->plan = plan;
    etx_reply reply = sim_bank_hear(s, truth, place, ETX_FORWARD);
    sim_say(s, plan->gid, "client %u does branch %u itself: %s", plan->number, place,
            etx_reply_name(reply));
    return reply;
}

static int step_branch(sim_plan *plan) {
    uint32_t place = (plan->step - 1) / 2;
    wire_branch wire;
    fill_branch(plan, place, &wire);
    if ((plan->step - 1) % 2 == 0) {
        return etx_tx_enlist_async(plan->tx, &wire.branch, answered, ask(plan));
    }
    if (!plan->branch[place].by_initiator) {
        plan->step++;
        go_on_later(plan, 100);
        return 0;
    }
    etx_reply reply = do_forward(plan, place);
    if (reply != ETX_DONE && reply != ETX_REFUSED) {
        go_on_later(plan, 50000);
        return 0;
    }
    return etx_tx_result_async(plan->tx, wire.name, reply, NULL, 0, answered, ask(plan));
}

static int step_decide(sim_plan *plan) {
    etx_tx *tx = plan->tx;
    plan->tx = NULL; /* consumed, whatever comes of it */
    if (plan->aborts) {
        return etx_tx_abort_async(tx, answered, ask(plan));
    }
    return etx_tx_commit_async(tx, answered, ask(plan));
}

static void step(sim_node *node, sim_plan *plan) {
    int rc = 0;
    sim_say(plan->world, plan->gid[0] != 0 ? plan->gid : NULL, "client %u: step %u at %s",
            plan->number, plan->step, node->name);
    if (plan->step == 0) {
        rc = step_begin(node, plan);
    } else {
        rc = have_handle(node, plan);
        if (rc == 0) {
            rc = plan->step < steps(plan) ? step_branch(plan) : step_decide(plan);
        }
    }
    if (rc != 0) {
        refused(plan, rc);
    }
}

static void act(sim_node *node, void *what) {
    sim_plan *plan = what;
    if (plan->mode == ETX_SUBMITTED) {
        submit(node, plan);
    } else {
        step(node, plan);
    }
}

static sim_node *ready_node(sim *s) {
    uint32_t first = sim_below(s, SIM_LOAD, s->nodes);
    for (uint32_t i = 0; i < s->nodes; i++) {
        sim_node *node = &s->node[(first + i) % s->nodes];
        if (sim_node_ready(node)) {
            return node;
        }
    }
    return NULL;
}

static void plan_go_on(sim *s, void *what) {
    const question *due = what;
    sim_plan *plan = due->plan;
    if (plan->over || plan->waiting || due->number != plan->asked) {
        return;
    }
    if (plan->node == NULL || !sim_node_ready(plan->node) || plan->life != plan->node->life) {
        plan->tx = NULL;
        plan->node = ready_node(s);
    }
    if (plan->node == NULL) {
        try_again(plan, 400000);
        return;
    }
    plan->life = plan->node->life;
    if (plan->mode != ETX_SUBMITTED && plan->silent && plan->step == steps(plan)) {
        give_up(plan, "falls silent");
        return;
    }
    if (plan->mode == ETX_SUBMITTED && plan->chosen && sim_happens(s, SIM_CONFUSED)) {
        sim_node_run(plan->node, submit_confused, plan);
    }
    if (plan->chosen && sim_happens(s, SIM_EARLY) && sim_node_ready(plan->node)) {
        sim_node_run(plan->node, abort_early, plan);
    }
    if (!plan->waiting && sim_node_ready(plan->node) && plan->life == plan->node->life) {
        sim_node_run(plan->node, act, plan);
    } else {
        try_again(plan, 400000);
    }
}

void sim_client_start(sim *s) {
    for (uint32_t i = 0; i < s->plans; i++) {
        question *first = sim_alloc(s, sizeof *first);
        *first = (question){&s->plan[i], 0, 0};
        sim_at(s, sim_below(s, SIM_LOAD, 8000000), plan_go_on, first);
    }
}

void sim_client_lost(sim *s, const sim_node *node) {
    for (uint32_t i = 0; i < s->plans; i++) {
        if (s->plan[i].node == node) {
            s->plan[i].tx = NULL;
        }
    }
}

/* ---- somebody who only looks */

static void on_look(int rc, const etx_outcome *outcome, void *user) {
    const question *asked = user;
    sim *s = asked->plan->world;
    sim_say(s, outcome->gid, "somebody looks and sees: %s",
            rc == 0 ? etx_state_name(outcome->state) : etx_error_name(rc));
    sim_truth_told(s, rc, outcome, asked->known);
}

static void look(sim_node *node, void *what) {
    sim_plan *plan = what;
    question *asked = sim_alloc(node->world, sizeof *asked);
    *asked = (question){plan, 0, sim_truth_known(node->world, plan->gid)};
    etx_query_async(node->engine, plan->gid, on_look, asked);
}

void sim_client_look(sim *s) {
    sim_plan *plan = &s->plan[sim_below(s, SIM_LOAD, s->plans)];
    sim_node *node = ready_node(s);
    if (node != NULL && plan->gid[0] != 0) {
        sim_node_run(node, look, plan);
    }
}

/* ---- as an initiator that is asked */

static sim_plan *plan_of(sim *s, const char *gid) {
    for (uint32_t i = 0; i < s->plans; i++) {
        if (strcmp(s->plan[i].gid, gid) == 0) {
            return &s->plan[i];
        }
    }
    return NULL;
}

etx_reply sim_client_query(sim *s, const char *gid) {
    sim_plan *plan = plan_of(s, gid);
    if (sim_happens(s, SIM_WORKING)) {
        return ETX_WORKING;
    }
    int commits = plan != NULL && !plan->aborts && plan->step >= steps(plan);
    sim_say(s, gid, "the initiator is asked: %s", commits ? "yes" : "no");
    if (!commits && plan != NULL) {
        plan->aborts = 1; /* and never says otherwise later */
    }
    return commits ? ETX_DONE : ETX_REFUSED;
}

void sim_client_resume(sim_node *node, const char *gid, uint64_t run) {
    sim *s = node->world;
    sim_plan *plan = plan_of(s, gid);
    if (plan == NULL) {
        return;
    }
    sim_say(s, gid, "client %u is run again (run %llu)", plan->number, (unsigned long long)run);
    plan->over = 0;
    plan->silent = 0;
    plan->waiting = 0;
    plan->asked++;
    plan->tries = 0;
    plan->run = run;
    plan->tx = NULL;
    plan->step = 1;
    plan->node = node;
    plan->life = node->life;
    go_on_later(plan, 2000);
}
