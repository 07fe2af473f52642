/* The builder: a transaction in the caller's memory until it is run or submitted. */
#include <stdio.h>
#include <string.h>

#include "home.h"
#include "options.h"
#include "request.h"
#include "shard.h"

/* ---- new */

static int take_initiator(etx_tx *tx, const etx_tx_options *o) {
    size_t len = o->initiator != NULL ? strlen(o->initiator) : 0;
    if (o->initiator != NULL && etx_name_check(o->initiator, len) != 0) {
        return etx__request_fail(tx, ETX_EINVALID, "initiator is no name");
    }
    if (o->initiator_payload_len > 0 && (o->initiator_payload == NULL || o->initiator == NULL)) {
        return etx__request_fail(tx, ETX_EINVALID, "an initiator's payload without %s",
                                 o->initiator == NULL ? "an initiator" : "its bytes");
    }
    if (o->initiator_payload_len > tx->engine->options.payload_max ||
        o->initiator_content_len > tx->engine->options.payload_max) {
        return etx__request_fail(tx, ETX_EINVALID,
                                 "an initiator's payload of %zu bytes, or its content of %zu, is "
                                 "over payload_max, %u",
                                 o->initiator_payload_len, o->initiator_content_len,
                                 tx->engine->options.payload_max);
    }
    if (o->initiator == NULL) {
        return 0;
    }
    tx->begin.initiator = etx__request_keep(tx, o->initiator, len);
    tx->begin.initiator_payload =
        etx__request_keep(tx, o->initiator_payload, o->initiator_payload_len);
    tx->content = o->initiator_content == NULL
                      ? tx->begin.initiator_payload
                      : etx__request_keep(tx, o->initiator_content, o->initiator_content_len);
    return tx->begin.initiator.data != NULL && tx->begin.initiator_payload.data != NULL &&
                   tx->content.data != NULL
               ? 0
               : etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
}

static int take_options(etx_tx *tx, const etx_tx_options *o) {
    etx_engine *engine = tx->engine;
    if ((unsigned)o->durability > ETX_REPLICATED || (unsigned)o->wait > ETX_WAIT_ENDED) {
        return etx__request_fail(tx, ETX_EINVALID, "durability or wait is out of range");
    }
    tx->begin.durability =
        (uint8_t)(o->durability != 0 ? o->durability : engine->options.durability);
    tx->wait = (uint8_t)(o->wait != 0 ? o->wait : ETX_WAIT_ENDED);
    tx->patience_ms = o->patience_ms > 0 ? o->patience_ms : engine->options.patience_ms;
    tx->deadline_ms = o->deadline_ms;
    if (o->deadline_ms > engine->options.fence_age_ms / 2) {
        return etx__request_fail(tx, ETX_EINVALID,
                                 "a deadline of %u ms is not well below the age of fences (%u ms)",
                                 o->deadline_ms, engine->options.fence_age_ms);
    }
    int rc = take_initiator(tx, o);
    if (rc != 0) {
        return rc;
    }
    if (o->gid == NULL) {
        return 0;
    }
    rc = etx__request_bind(tx, o->gid, strnlen(o->gid, ETX_GID_MAX + 1));
    if (rc != 0) {
        return rc;
    }
    tx->chosen = 1;
    tx->shown = 1;
    tx->begin.marks = ETX_MARK_CHOSEN;
    return 0;
}

/* A handle with its options; *ret_mode as they say. */
static int handle_make(etx_engine *engine,
                       const etx_tx_options *options,
                       etx_tx_options *ours,
                       etx_tx **ret_tx) {
    int rc = etx__engine_usable(engine);
    if (rc != 0) {
        return rc;
    }
    if (options != NULL && etx__options_take(ours, sizeof *ours, options, options->size) != 0) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "the options' size is not known: use ETX_TX_OPTIONS_INIT");
    }
    etx_tx *tx = etx__request_make(engine);
    if (tx == NULL) {
        return etx__engine_refuse(engine, ETX_ENOMEM);
    }
    tx->type = ETX__EV_BEGIN;
    tx->begin.mode = ETX_SUBMITTED;
    rc = take_options(tx, ours);
    if (rc != 0) {
        etx__request_free(tx);
        return rc;
    }
    *ret_tx = tx;
    return 0;
}

/* A caller that does not look at the error finds no handle. */
static int no_handle(etx_engine *engine, etx_tx **ret_tx) {
    if (ret_tx == NULL) {
        return etx__engine_invalid(engine, "ret_tx is NULL");
    }
    *ret_tx = NULL;
    return 0;
}

int etx_tx_new(etx_engine *engine, const etx_tx_options *options, etx_tx **ret_tx) {
    etx_tx_options ours = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    int rc = no_handle(engine, ret_tx);
    rc = rc != 0 ? rc : handle_make(engine, options, &ours, &tx);
    if (rc != 0) {
        return rc;
    }
    if (ours.mode > ETX_INTERACTIVE) { /* as the initialiser has it */
        etx__request_free(tx);
        return etx__engine_fail(engine, ETX_EINVALID,
                                "mode: what etx_tx_new makes is submitted; etx_tx_begin is for "
                                "ETX_RESUMED");
    }
    *ret_tx = tx;
    return 0;
}

void etx_tx_discard(etx_tx *tx) {
    if (tx != NULL && *tx->engine->alive != 0) {
        etx__request_free(tx);
    }
}

const char *etx_tx_gid(etx_tx *tx) {
    if (tx == NULL || *tx->engine->alive == 0) {
        return NULL;
    }
    if (tx->gid_len == 0 && etx__request_place(tx, etx__clock_wall_ms()) != 0) {
        return NULL;
    }
    tx->shown = 1;
    return tx->gid;
}

/* ---- run and submit */

static void swap_bytes(etx_bytes *a, etx_bytes *b) {
    etx_bytes kept = *a;
    *a = *b;
    *b = kept;
}

/* Puts what is content in the payloads' places; or, the second time, the payloads back. */
static void swap_content(etx_tx *tx) {
    swap_bytes(&tx->begin.initiator_payload, &tx->content);
    for (uint16_t i = 0; i < tx->begin.branch_count; i++) {
        if (tx->named[i].content.data != NULL) {
            swap_bytes(&tx->branch[i].payload, &tx->named[i].content);
        }
    }
}

/* Of what the caller said: the participants may be registered otherwise when he repeats it. */
static uint64_t digest_said(etx_tx *tx) {
    uint16_t count = tx->begin.branch_count;
    for (uint16_t i = 0; i < count; i++) {
        tx->branch[i].flags &= (uint8_t)~tx->named[i].registered;
    }
    swap_content(tx);
    uint64_t digest = etx_record_begin_digest(&tx->begin);
    swap_content(tx);
    for (uint16_t i = 0; i < count; i++) {
        tx->branch[i].flags |= tx->named[i].registered;
    }
    return digest;
}

/* It begins now; so says its gid too, if it has none yet. */
static int place_and_time(etx_tx *tx) {
    uint64_t wall_ms = etx__clock_wall_ms();
    int rc = tx->gid_len == 0 ? etx__request_place(tx, wall_ms) : 0;
    tx->begin.time_ms = wall_ms;
    tx->begin.deadline_ms = tx->deadline_ms > 0 ? wall_ms + tx->deadline_ms : 0;
    tx->begin.digest = rc == 0 ? digest_said(tx) : 0;
    return rc;
}

static int ready(etx_tx *tx) {
    tx->outcome.reason[0] = 0;
    int rc = etx__engine_usable(tx->engine);
    if (rc == 0 && tx->begun) {
        rc = etx__request_fail(tx, ETX_ESTATE, "it is begun: use etx_tx_commit");
    }
    rc = rc != 0 ? rc : etx__branches_refused(tx);
    if (rc == 0 && tx->begin.branch_count == 0) {
        rc = etx__request_fail(tx, ETX_EINVALID, "a transaction without branches");
    }
    rc = rc != 0 ? rc : etx__branches_settle(tx);
    etx__request_raise(tx);
    return rc != 0 ? rc : place_and_time(tx);
}

/* Why is said where it went wrong, in the transaction's own outcome. */
static int give_error(etx_tx *tx, int rc, etx_outcome *outcome) {
    if (*tx->engine->alive == 0) {
        return etx__outcome_fail(tx->engine, tx->gid, rc, outcome);
    }
    if (outcome != NULL) {
        memcpy(tx->outcome.gid, tx->gid, tx->gid_len + 1u);
        if (tx->outcome.reason[0] == 0) {
            snprintf(tx->outcome.reason, sizeof tx->outcome.reason, "%s", etx_strerror(rc));
        }
        etx__outcome_give(outcome, &tx->outcome);
    }
    etx__request_free(tx);
    return rc;
}

int etx_tx_run(etx_tx *tx, etx_outcome *outcome) {
    if (tx == NULL) {
        return etx__outcome_fail(NULL, NULL, ETX_EINVALID, outcome);
    }
    int rc = ready(tx);
    rc = rc != 0 ? rc : etx__outcome_check(tx->engine, outcome);
    return rc != 0 ? give_error(tx, rc, outcome) : etx__request_run(tx, outcome);
}

int etx_tx_submit(etx_tx *tx, etx_done_fn done, void *user) {
    return etx_tx_submit_named(tx, NULL, done, user);
}

int etx_tx_submit_named(etx_tx *tx, etx_gid_fn named, etx_done_fn done, void *user) {
    if (tx == NULL) {
        return ETX_EINVALID;
    }
    int rc = ready(tx);
    if (rc != 0) {
        return give_error(tx, rc, NULL);
    }
    tx->on_gid = named;
    tx->done = done;
    tx->user = user;
    if (named != NULL) {
        (void)named(tx->gid, user);
    }
    if (!etx__engine_inside(tx->engine)) {
        rc = etx__shard_admit(tx->partition->shard, tx->patience_ms);
    }
    if (rc != 0) {
        etx__request_fail(tx, rc, "the engine is far behind with what was submitted");
        return give_error(tx, rc, NULL);
    }
    etx__request_send(tx);
    return 0;
}

/* ---- begin: interactive and resumed */

static int begin_make(etx_engine *engine, const etx_tx_options *options, etx_tx **ret_tx) {
    etx_tx_options ours = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    int rc = handle_make(engine, options, &ours, &tx);
    if (rc != 0) {
        return rc;
    }
    rc = etx__initiator_check(engine, ours.mode, ours.initiator);
    if (rc != 0) {
        etx__request_free(tx);
        return rc;
    }
    tx->begin.mode = (uint8_t)ours.mode;
    tx->begin.resume_ms =
        ours.mode == ETX_RESUMED ? (ours.resume_ms > 0 ? ours.resume_ms : 10000) : 0;
    tx->deadline_ms = tx->deadline_ms > 0 ? tx->deadline_ms : engine->options.deadline_ms;
    tx->begin.branches = tx->branch;
    rc = place_and_time(tx);
    if (rc != 0) {
        etx__request_free(tx);
        return rc;
    }
    tx->begun = 1;
    tx->shown = 1;
    *ret_tx = tx;
    return 0;
}

/* The command that begins what the handle stands for. */
static etx_tx *begin_request(const etx_tx *tx) {
    etx_tx *request = etx__request_make(tx->engine);
    if (request == NULL) {
        return NULL;
    }
    request->type = ETX__EV_BEGIN;
    request->begin = tx->begin;
    request->partition = tx->partition;
    request->hash = tx->hash;
    request->chosen = tx->chosen;
    request->old = tx->old;
    request->shown = 1;
    request->wait = ETX_WAIT_BEGUN;
    request->patience_ms = tx->patience_ms;
    request->gid_len = tx->gid_len;
    memcpy(request->gid, tx->gid, tx->gid_len + 1u);
    if (tx->begin.initiator.len > 0) {
        request->begin.initiator =
            etx__request_keep(request, tx->begin.initiator.data, tx->begin.initiator.len);
        request->begin.initiator_payload = etx__request_keep(
            request, tx->begin.initiator_payload.data, tx->begin.initiator_payload.len);
        if (request->begin.initiator.data == NULL ||
            request->begin.initiator_payload.data == NULL) {
            etx__request_free(request);
            return NULL;
        }
    }
    return request;
}

int etx_tx_begin(etx_engine *engine, const etx_tx_options *options, etx_tx **ret_tx) {
    etx_tx *tx = NULL;
    int rc = no_handle(engine, ret_tx);
    rc = rc != 0 ? rc : begin_make(engine, options, &tx);
    if (rc != 0) {
        return rc;
    }
    etx_tx *request = begin_request(tx);
    uint64_t run = 0;
    if (request != NULL) {
        request->run_to = &run;
        rc = etx__request_run(request, NULL);
    } else {
        rc = etx__engine_refuse(engine, ETX_ENOMEM);
    }
    if (rc != 0) {
        etx__request_free(tx);
        return rc;
    }
    tx->run = run;
    *ret_tx = tx;
    return 0;
}

int etx_tx_begin_async(etx_engine *engine,
                       const etx_tx_options *options,
                       etx_done_fn done,
                       void *user,
                       etx_tx **ret_tx) {
    etx_tx *tx = NULL;
    int rc = no_handle(engine, ret_tx);
    rc = rc != 0 ? rc : begin_make(engine, options, &tx);
    if (rc != 0) {
        return rc;
    }
    etx_tx *request = begin_request(tx);
    if (request == NULL) {
        etx__request_free(tx);
        return etx__engine_refuse(engine, ETX_ENOMEM);
    }
    request->done = done;
    request->user = user;
    request->run_to = tx->begin.mode == ETX_RESUMED ? &tx->run : NULL;
    *ret_tx = tx;
    etx__request_send(request);
    return 0;
}
