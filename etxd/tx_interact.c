/* What an initiator does with a transaction that is begun: branches, results, commit, abort. */
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "tx.h"

/* ---- branches and results: one record, one answer */

static int attach(etxd_exchange *x, const etxd_object *body, etx_tx **ret_tx) {
    uint64_t run = 0;
    int rc;
    if (etxd_json_number(body, "run", 0, UINT64_MAX >> 1, &run) != 0) {
        return -1;
    }
    rc = etx_tx_attach(x->server->engine, x->gid, run, ret_tx);
    return rc == 0 ? 0 : etxd_fail(x, rc, NULL);
}

static void answer_branch(net_task *task) {
    etxd_exchange *x = (etxd_exchange *)(void *)task;
    etxd_text body = {0};
    etxd_wait_end(x);
    if (x->rc < 0) {
        (void)etxd_fail(x, x->rc, x->outcome.reason);
        etxd_refuse(x);
        return;
    }
    etxd_text_put(&body, "{");
    etxd_text_member(&body, "gid", x->gid);
    etxd_text_member(&body, "branch", x->branch);
    if (x->state != NULL) {
        /* the reply that stands: the first one */
        etxd_text_member(&body, "reply", etx_reply_name((etx_reply)x->rc));
    }
    etxd_text_put(&body, "}\n");
    etxd_answer(x, 200, "application/json", &body);
}

static int enlist(etxd_exchange *x, const etxd_object *body) {
    net_text text = net_request_body(x->request);
    etxd_span payload = {NULL, 0};
    etxd_leaf leaf;
    etx_tx *tx = NULL;
    int rc;
    (void)etxd_span_member((etxd_span){text.bytes, text.len}, "payload", &payload);
    rc = etxd_leaf_read(x, body, payload, "run", &leaf);
    if (rc == 0 && leaf.branch.name == NULL) {
        rc = etxd_json_missing(body, "name", "a branch that is enlisted is known by its name");
    }
    if (rc == 0) {
        rc = attach(x, body, &tx);
    }
    if (rc == 0) {
        rc = etxd_wait_begin(x);
    }
    if (rc == 0) {
        snprintf(x->branch, sizeof x->branch, "%s", leaf.branch.name);
        x->task.run = answer_branch;
        rc = etx_tx_enlist_async(tx, &leaf.branch, etxd_done, x);
        if (rc != 0) {
            etxd_wait_end(x);
            rc = etxd_fail(x, rc, NULL);
        }
    }
    etx_tx_discard(tx);
    etxd_leaf_free(&leaf);
    return rc;
}

int etxd_post_branches(etxd_exchange *x) {
    etxd_object body;
    int rc;
    if (etxd_json_read(x, NULL, &body) != 0) {
        return -1;
    }
    rc = enlist(x, &body);
    etxd_json_free(&body);
    return rc;
}

static int take_result(etxd_exchange *x, const etxd_object *body, etx_tx *tx) {
    static const char *const words[] = {"done", "refused", NULL};
    net_text text = net_request_body(x->request);
    etxd_span result = {NULL, 0};
    int word = -1;
    int rc;
    if (etxd_json_word(body, "reply", words, &word) != 0) {
        return -1;
    }
    if (word < 0) {
        return etxd_json_missing(body, "reply", "done or refused");
    }
    if (json_object_get(body->json, "result") != NULL &&
        etxd_span_member((etxd_span){text.bytes, text.len}, "result", &result) != 0) {
        return etxd_json_refuse(body, "result", "write names of fields without escapes");
    }
    if (etxd_wait_begin(x) != 0) {
        return -1;
    }
    x->task.run = answer_branch;
    x->state = x; /* it is a result */
    rc = etx_tx_result_async(tx, x->branch, word == 0 ? ETX_DONE : ETX_REFUSED, result.bytes,
                             result.len, etxd_done, x);
    if (rc != 0) {
        etxd_wait_end(x);
        return etxd_fail(x, rc, NULL);
    }
    return 0;
}

int etxd_post_result(etxd_exchange *x) {
    static const char *const fields[] = {"reply", "result", "run", NULL};
    etxd_object body;
    etx_tx *tx = NULL;
    int rc;
    if (etxd_json_read(x, fields, &body) != 0) {
        return -1;
    }
    rc = attach(x, &body, &tx);
    if (rc == 0) {
        rc = take_result(x, &body, tx);
        etx_tx_discard(tx);
    }
    etxd_json_free(&body);
    return rc;
}

/* ---- commit and abort */

static int decide(etxd_exchange *x, etx_tx *tx, int commit) {
    etxd_waiting *one = etxd_waiting_new(x, x->gid);
    int rc;
    if (one == NULL) {
        etx_tx_discard(tx);
        return -1;
    }
    (void)etx_tx_set_wait(tx, x->wait_ms == 0 ? ETX_WAIT_DECIDED : x->wait);
    rc = commit ? etx_tx_commit_async(tx, etxd_waiting_done, one)
                : etx_tx_abort_async(tx, etxd_waiting_done, one);
    if (rc != 0) {
        etxd_waiting_undo(one);
        return etxd_fail(x, rc, NULL);
    }
    etxd_waiting_begin(one);
    return 0;
}

static int post_decision(etxd_exchange *x, int commit) {
    static const char *const fields[] = {"run", "wait", "wait_ms", NULL};
    etxd_object body;
    etx_tx *tx = NULL;
    int rc;
    int forwarded = 0;
    if (etxd_json_read(x, fields, &body) != 0) {
        return -1;
    }
    rc = etxd_wait_read(x, &body);
    if (rc == 0 && x->wait == ETX_WAIT_BEGUN) {
        rc = etxd_json_refuse(&body, "wait", "it is begun: wait for decided or ended");
    }
    if (rc == 0) {
        forwarded = etxd_forward(x, x->gid);
        rc = forwarded < 0 ? -1 : 0;
    }
    if (rc == 0 && !forwarded) {
        rc = attach(x, &body, &tx);
    }
    etxd_json_free(&body);
    return rc != 0 || forwarded ? rc : decide(x, tx, commit);
}

int etxd_post_commit(etxd_exchange *x) {
    return post_decision(x, 1);
}

int etxd_post_abort(etxd_exchange *x) {
    return post_decision(x, 0);
}
