/* POST /v1/transactions: submitted in one go, or begun and its first branches enlisted. */
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "tx.h"

/* ---- submitted */

static int add_branches(etxd_exchange *x, const etxd_plan *plan, etx_tx *tx) {
    size_t i;
    for (i = 0; i < plan->count; i++) {
        int rc = etx_tx_add_branch(tx, &plan->leaves[i].branch);
        if (rc != 0) {
            (void)etxd_fail(x, rc, NULL);
            etxd_problem_point(&x->problem, "/branches/%zu", i);
            return -1;
        }
    }
    return 0;
}

static int send_off(etxd_exchange *x, etx_tx *tx) {
    /* Not etx_tx_gid: until somebody is told the gid, another home may take it under another. */
    etxd_waiting *one = etxd_waiting_new(x, "");
    int rc;
    if (one == NULL) {
        etx_tx_discard(tx);
        return -1;
    }
    rc = etx_tx_submit_named(tx, etxd_waiting_named, etxd_waiting_done, one);
    if (rc != 0) {
        etxd_waiting_undo(one);
        return etxd_fail(x, rc, NULL);
    }
    etxd_waiting_begin(one);
    return 0;
}

static int submit(etxd_exchange *x, const etxd_plan *plan) {
    etx_tx *tx;
    int rc = etx_tx_new(x->server->engine, &plan->options, &tx);
    if (rc != 0) {
        return etxd_fail(x, rc, NULL);
    }
    if (add_branches(x, plan, tx) != 0) {
        etx_tx_discard(tx);
        return -1;
    }
    return send_off(x, tx);
}

/* ---- begun: the plan lives until the last branch is enlisted */

/* Enlisted, a branch depends on what stands before it. */
static int check_depends(etxd_exchange *x, const etxd_plan *plan, size_t place) {
    const etx_branch *branch = &plan->leaves[place].branch;
    size_t i;
    for (i = 0; i < branch->depends_on_count; i++) {
        const char *name = branch->depends_on[i];
        size_t before = 0;
        while (before < place && strcmp(plan->leaves[before].branch.name, name) != 0) {
            before++;
        }
        if (before == place) {
            (void)etxd_problem_set(&x->problem, ETXD_INVALID_PROBLEM,
                                   "branch %s depends on %s, which is none of those before it",
                                   branch->name, name);
            etxd_problem_point(&x->problem, "/branches/%zu/depends_on/%zu", place, i);
            return -1;
        }
    }
    return 0;
}

/* Branches are enlisted one by one: what is wrong with any must be found before the first is
 * called. A transaction that is never sent is asked. */
static int check_branches(etxd_exchange *x, const etxd_plan *plan) {
    etx_tx *tx = NULL;
    size_t i;
    int rc = etx_tx_new(x->server->engine, NULL, &tx);
    if (rc != 0) {
        return etxd_fail(x, rc, NULL);
    }
    rc = add_branches(x, plan, tx);
    etx_tx_discard(tx);
    for (i = 0; rc == 0 && i < plan->count; i++) {
        rc = check_depends(x, plan, i);
    }
    return rc;
}

static void end_plan(etxd_exchange *x) {
    etxd_plan *plan = x->state;
    etxd_wait_end(x);
    etx_tx_discard(plan->tx);
    etxd_plan_free(plan);
    free(plan);
    x->state = NULL;
}

/* Begun before with the same content, and decided: how it stands is the answer, as to what is
 * submitted again. The plan's branches are not compared any more, so that they are done is not
 * said. */
static int is_decided(const etxd_exchange *x, const etxd_plan *plan) {
    etx_state state = x->outcome.state;
    return x->rc == ETX_ESTATE && plan->at == 0 && state != ETX_NONE &&
           (x->outcome.marks & ETX_MARK_NEVER_BEGUN) == 0 &&
           (plan->count == 0 || state == ETX_ABORTING || state == ETX_ABORTED);
}

static void answer_decided(net_task *task) {
    etxd_exchange *x = (etxd_exchange *)(void *)task;
    end_plan(x);
    etxd_answer_outcome(x);
}

static void enlist_next(net_task *task) {
    etxd_exchange *x = (etxd_exchange *)(void *)task;
    etxd_plan *plan = x->state;
    if (is_decided(x, plan)) {
        x->task.run = answer_decided;
        int rc = etx_query_async(x->server->engine, x->outcome.gid, etxd_done, x);
        if (rc == 0) {
            return;
        }
        x->rc = rc;
    }
    if (x->rc == 0 && plan->at < plan->count) {
        etx_outcome begun = x->outcome;
        int rc = etx_tx_enlist_async(plan->tx, &plan->leaves[plan->at++].branch, etxd_done, x);
        x->outcome = rc == 0 ? x->outcome : begun;
        if (rc == 0) {
            return;
        }
        x->rc = rc;
        x->outcome.reason[0] = '\0';
    }
    if (x->rc != 0 && plan->at > 0) {
        etxd_problem_point(&x->problem, "/branches/%zu", plan->at - 1);
    }
    end_plan(x);
    etxd_answer_outcome(x);
}

static int begin(etxd_exchange *x, const etxd_plan *read) {
    etxd_plan *plan;
    int rc;
    if (read->count > 0 && check_branches(x, read) != 0) {
        return -1;
    }
    plan = malloc(sizeof *plan);
    if (plan == NULL || etxd_wait_begin(x) != 0) {
        free(plan);
        return etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    *plan = *read;
    plan->options.gid = read->options.gid == read->gid ? plan->gid : read->options.gid;
    x->state = plan;
    x->task.run = enlist_next;
    rc = etx_tx_begin_async(x->server->engine, &plan->options, etxd_done, x, &plan->tx);
    if (rc != 0) {
        x->state = NULL;
        free(plan);
        etxd_wait_end(x);
        return etxd_fail(x, rc, NULL);
    }
    etxd_trace_caller(x->server->trace, etx_tx_gid(plan->tx), x->traceparent);
    return 0;
}

int etxd_post_transactions(etxd_exchange *x) {
    etxd_plan plan;
    int forwarded = 0;
    int rc = etxd_overload_guard(x);
    if (rc != 0) {
        return rc;
    }
    rc = etxd_plan_read(x, &plan);
    if (rc == 0 && plan.options.gid != NULL) {
        snprintf(x->gid, sizeof x->gid, "%s", plan.options.gid);
    }
    if (rc == 0 && (plan.options.gid == NULL || plan.options.gid == plan.gid)) {
        forwarded = etxd_forward_new(x);
    } else if (rc == 0) {
        forwarded = etxd_forward(x, x->gid);
    }
    if (forwarded != 0) {
        rc = forwarded > 0 ? 0 : -1;
    } else if (rc == 0 && plan.mode != 0) {
        rc = begin(x, &plan);
        if (rc == 0) {
            return 0; /* the plan is the exchange's now */
        }
    } else if (rc == 0) {
        rc = submit(x, &plan);
    }
    etxd_plan_free(&plan);
    return rc;
}
