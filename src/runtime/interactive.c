/* The interactive family: enlist, result, hold, commit, abort; waiting or answered by `done`. */
#include <string.h>

#include "home.h"
#include "options.h"
#include "request.h"

/* Every call is a request of its own; the user's handle only remembers gid, run and options. */

static int command_of(etx_tx *tx, uint8_t type, etx_tx **ret_request) {
    int rc = tx != NULL ? etx__engine_serves(tx->engine) : ETX_EINVALID;
    if (rc != 0) {
        return rc;
    }
    if (!tx->begun) {
        return etx__engine_fail(
            tx->engine, ETX_ESTATE,
            "it is not begun: etx_tx_begin or etx_tx_attach gives such a handle");
    }
    etx_tx *request = etx__request_make(tx->engine);
    if (request == NULL) {
        return etx__engine_refuse(tx->engine, ETX_ENOMEM);
    }
    request->type = type;
    request->wait = ETX_WAIT_BEGUN;
    request->run = tx->run;
    request->old = !tx->chosen; /* a gid made by ETX was begun before the handle was given */
    request->partition = tx->partition;
    request->hash = tx->hash;
    request->patience_ms = tx->patience_ms;
    request->gid_len = tx->gid_len;
    memcpy(request->gid, tx->gid, tx->gid_len + 1u);
    *ret_request = request;
    return 0;
}

static int send_async(etx_tx *request, etx_done_fn done, void *user) {
    request->done = done;
    request->user = user;
    etx__request_send(request);
    return 0;
}

/* ---- enlist */

int etx_tx_attach(etx_engine *engine, const char *gid, uint64_t run, etx_tx **ret_tx) {
    if (ret_tx == NULL) {
        return etx__engine_invalid(engine, "ret_tx is NULL");
    }
    *ret_tx = NULL;
    int rc = 0;
    etx_tx *tx = etx__request_command(engine, gid, ETX__EV_WAIT, &rc);
    if (tx == NULL) {
        return rc;
    }
    tx->begun = 1;
    tx->shown = 1;
    tx->chosen = !tx->old;
    tx->run = run;
    tx->wait = ETX_WAIT_ENDED;
    *ret_tx = tx;
    return 0;
}

static int enlist_request(etx_tx *tx, const etx_branch *branch, etx_tx **ret_request) {
    etx_branch ours = ETX_BRANCH_INIT;
    etx_tx *request = NULL;
    int rc = command_of(tx, ETX__EV_ENLIST, &request);
    if (rc != 0) {
        return rc;
    }
    if (branch == NULL || etx__options_take(&ours, sizeof ours, branch, branch->size) != 0) {
        rc = etx__engine_fail(tx->engine, ETX_EINVALID,
                              "the branch's size is not known: use ETX_BRANCH_INIT");
    } else if (ours.name == NULL) {
        rc = etx__engine_fail(tx->engine, ETX_EINVALID,
                              "a branch that is enlisted needs a name: a repeat is known by it");
    } else {
        rc = etx__branch_add(request, &ours);
    }
    if (rc != 0) {
        etx__request_free(request);
        return rc;
    }
    *ret_request = request;
    return 0;
}

int etx_tx_enlist(etx_tx *tx, const etx_branch *branch) {
    etx_tx *request = NULL;
    int rc = enlist_request(tx, branch, &request);
    return rc != 0 ? rc : etx__request_run(request, NULL);
}

int etx_tx_enlist_async(etx_tx *tx, const etx_branch *branch, etx_done_fn done, void *user) {
    etx_tx *request = NULL;
    int rc = enlist_request(tx, branch, &request);
    return rc != 0 ? rc : send_async(request, done, user);
}

/* ---- result */

static int result_request(etx_tx *tx,
                          const char *branch,
                          etx_reply reply,
                          const void *result,
                          size_t len,
                          etx_tx **ret_request) {
    etx_tx *request = NULL;
    size_t name_len = branch != NULL ? strnlen(branch, ETX_NAME_MAX + 1) : 0;
    int rc = command_of(tx, ETX__EV_RESULT, &request);
    if (rc != 0) {
        return rc;
    }
    if (etx_name_check(branch, name_len) != 0 || (reply != ETX_DONE && reply != ETX_REFUSED) ||
        (result == NULL && len > 0)) {
        rc = etx__engine_fail(tx->engine, ETX_EINVALID,
                              "a result needs a branch, and ETX_DONE or ETX_REFUSED");
    } else if (len > tx->engine->options.payload_max) {
        rc = etx__engine_fail(tx->engine, ETX_EINVALID,
                              "a result of %zu bytes is over payload_max, %u", len,
                              tx->engine->options.payload_max);
    } else {
        request->text[0] = etx__request_keep(request, result, len);
        request->text[2] = etx__request_keep(request, branch, name_len);
        request->reply = (uint8_t)reply;
        rc = request->text[0].data == NULL || request->text[2].data == NULL
                 ? etx__engine_refuse(tx->engine, ETX_ENOMEM)
                 : 0;
    }
    if (rc != 0) {
        etx__request_free(request);
        return rc;
    }
    *ret_request = request;
    return 0;
}

int etx_tx_result(etx_tx *tx,
                  const char *branch,
                  etx_reply reply,
                  const void *result,
                  size_t len,
                  etx_reply *ret_reply) {
    etx_tx *request = NULL;
    int rc = result_request(tx, branch, reply, result, len, &request);
    rc = rc != 0 ? rc : etx__request_run(request, NULL);
    if (rc <= 0) {
        return rc;
    }
    if (ret_reply != NULL) {
        *ret_reply = (etx_reply)rc;
    }
    return 0;
}

int etx_tx_result_async(etx_tx *tx,
                        const char *branch,
                        etx_reply reply,
                        const void *result,
                        size_t len,
                        etx_done_fn done,
                        void *user) {
    etx_tx *request = NULL;
    int rc = result_request(tx, branch, reply, result, len, &request);
    return rc != 0 ? rc : send_async(request, done, user);
}

/* ---- hold */

int etx_tx_hold(etx_tx *tx) {
    etx_tx *request = NULL;
    int rc = command_of(tx, ETX__EV_HOLD, &request);
    return rc != 0 ? rc : etx__request_run(request, NULL);
}

int etx_tx_hold_async(etx_tx *tx, etx_done_fn done, void *user) {
    etx_tx *request = NULL;
    int rc = command_of(tx, ETX__EV_HOLD, &request);
    return rc != 0 ? rc : send_async(request, done, user);
}

/* ---- commit and abort: the handle is consumed */

int etx_tx_set_wait(etx_tx *tx, etx_wait wait) {
    int rc = tx != NULL ? etx__engine_serves(tx->engine) : ETX_EINVALID;
    if (rc != 0) {
        return rc;
    }
    if (wait > ETX_WAIT_ENDED) {
        return etx__engine_invalid(tx->engine, "wait: ETX_WAIT_BEGUN, DECIDED or ENDED");
    }
    tx->wait = (uint8_t)(wait != ETX_WAIT_DEFAULT ? wait : ETX_WAIT_ENDED);
    return 0;
}

static int decide_request(etx_tx *tx, uint8_t type, etx_tx **ret_request) {
    static const char reason[] = "the initiator aborted it";
    etx_tx *request = NULL;
    int rc = command_of(tx, type, &request);
    if (rc == 0) {
        request->wait = tx->wait;
        request->text[0] = (etx_bytes){reason, type == ETX__EV_ABORT ? sizeof reason - 1 : 0};
        *ret_request = request;
    }
    return rc;
}

static int decide(etx_tx *tx, uint8_t type, etx_outcome *outcome) {
    etx_tx *request = NULL;
    int rc = tx != NULL ? etx__outcome_check(tx->engine, outcome) : ETX_EINVALID;
    rc = rc != 0 ? rc : decide_request(tx, type, &request);
    if (rc != 0) {
        etx__outcome_fail(tx != NULL ? tx->engine : NULL, tx != NULL ? tx->gid : NULL, rc, outcome);
    }
    etx_tx_discard(tx);
    return rc != 0 ? rc : etx__request_run(request, outcome);
}

static int decide_async(etx_tx *tx, uint8_t type, etx_done_fn done, void *user) {
    etx_tx *request = NULL;
    int rc = decide_request(tx, type, &request);
    etx_tx_discard(tx);
    return rc != 0 ? rc : send_async(request, done, user);
}

int etx_tx_commit(etx_tx *tx, etx_outcome *outcome) {
    return decide(tx, ETX__EV_COMMIT, outcome);
}

int etx_tx_abort(etx_tx *tx, etx_outcome *outcome) {
    return decide(tx, ETX__EV_ABORT, outcome);
}

int etx_tx_commit_async(etx_tx *tx, etx_done_fn done, void *user) {
    return decide_async(tx, ETX__EV_COMMIT, done, user);
}

int etx_tx_abort_async(etx_tx *tx, etx_done_fn done, void *user) {
    return decide_async(tx, ETX__EV_ABORT, done, user);
}
