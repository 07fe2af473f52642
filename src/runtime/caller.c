/* Callers: how a request is sent, and how its thread waits for the answer. */
#include <stdio.h>
#include <string.h>

#include "home.h"
#include "request.h"
#include "shard.h"

void etx__request_send(etx_tx *request) {
    request->waiter.kind = ETX__WAITER_REQUEST;
    request->waiter.wait = request->wait;
    if (!request->blocking) {
        atomic_fetch_add_explicit(&request->partition->shard->submitted, 1, memory_order_relaxed);
    }
    etx__shard *shard = request->partition->shard; /* the request may be gone after sending */
    etx__shard_send(shard, &request->node);
    etx__shard_refuse_late(shard);
}

void etx__outcome_give(etx_outcome *to, const etx_outcome *from) {
    if (to == NULL || to->size < sizeof to->size) {
        return;
    }
    size_t size = to->size < sizeof *from ? to->size : sizeof *from;
    if (size < sizeof *from) {
        size_t own = to->size;
        memcpy(to, from, size);
        to->size = own;
        return;
    }
    to->state = from->state;
    to->marks = from->marks;
    to->durability = from->durability;
    memcpy(to->gid, from->gid, strlen(from->gid) + 1);
    memcpy(to->reason, from->reason, strlen(from->reason) + 1);
}

int etx__outcome_check(etx_engine *engine, const etx_outcome *outcome) {
    return outcome == NULL || outcome->size >= sizeof outcome->size
               ? 0
               : etx__engine_invalid(engine, "outcome: its size is not set: use ETX_OUTCOME_INIT");
}

int etx__outcome_fail(etx_engine *engine, const char *gid, int rc, etx_outcome *outcome) {
    etx_outcome failed = ETX_OUTCOME_INIT;
    if (outcome == NULL) {
        return rc;
    }
    if (gid != NULL && strnlen(gid, sizeof failed.gid) < sizeof failed.gid) {
        memcpy(failed.gid, gid, strlen(gid) + 1);
    }
    if (engine != NULL) {
        etx_engine_message(engine, failed.reason, sizeof failed.reason);
    }
    if (failed.reason[0] == 0) {
        snprintf(failed.reason, sizeof failed.reason, "%s", etx_strerror(rc));
    }
    etx__outcome_give(outcome, &failed);
    return rc;
}

/* From now on it is sent nowhere else: its gid is the one to ask about. 1: whoever answers frees
 * it. */
static int abandon(etx_tx *request, char *ret_gid) {
    uint32_t state = ETX__WAITING;
    if (!atomic_compare_exchange_strong(&request->state, &state, ETX__LEAVING)) {
        return 0;
    }
    if (ret_gid != NULL) {
        memcpy(ret_gid, request->gid, request->gid_len + 1u);
    }
    state = ETX__LEAVING;
    return atomic_compare_exchange_strong(&request->state, &state, ETX__ABANDONED);
}

/* An inline callback that outlasts a close keeps its shard, where nobody answers then, nor wakes
 * those who wait: they look for themselves. */
static int wait_until(etx_tx *request, const etx__shard *shard, uint64_t until, char *ret_gid) {
    enum { LOOK_US = 200000 };
    while (atomic_load(&request->state) != ETX__ANSWERED) {
        uint64_t now = etx__clock_us();
        if (now < until && !atomic_load(&shard->stuck)) {
            uint64_t left = until - now;
            etx__futex_wait(&request->state, ETX__WAITING, left < LOOK_US ? left : LOOK_US);
        } else if (abandon(request, ret_gid)) {
            return ETX_EUNKNOWN;
        }
    }
    return 0;
}

static int wait_for_answer(etx_tx *request, const etx__shard *shard, char *ret_gid) {
    etx_engine *engine = request->engine;
    if (atomic_load(&request->state) == ETX__ANSWERED) {
        return 0;
    }
    uint64_t until = etx__clock_us() + (uint64_t)request->patience_ms * 1000;
    if (!etx__workers_inside(engine)) {
        return wait_until(request, shard, until, ret_gid);
    }
    etx__workers_wait_begins(engine);
    int rc = wait_until(request, shard, until, ret_gid);
    etx__workers_wait_ends(engine);
    return rc;
}

static const char impatient[] = "no answer within the caller's patience: ask etx_query by gid";

/* How far it is, as far as that is durable and the shard can say at once. */
static void glance(etx_engine *engine, const char *gid, etx_outcome *outcome) {
    enum { AT_ONCE_MS = 50 };
    int rc = 0;
    etx_tx *request = etx__request_command(engine, gid, ETX__EV_WAIT, &rc);
    if (request == NULL) {
        return;
    }
    request->ask = ETX__ASK_GLANCE;
    request->patience_ms = AT_ONCE_MS;
    rc = etx__request_wait(&request, NULL);
    if (request == NULL) {
        return;
    }
    if (rc == 0) {
        outcome->state = request->outcome.state;
        outcome->marks = request->outcome.marks;
        outcome->durability = request->outcome.durability;
    }
    etx__request_free(request);
}

static int run_abandoned(etx_engine *engine, const char *gid, etx_outcome *outcome) {
    etx_outcome unknown = ETX_OUTCOME_INIT;
    if (outcome != NULL) {
        glance(engine, gid, &unknown);
    }
    snprintf(unknown.gid, sizeof unknown.gid, "%s", gid);
    snprintf(unknown.reason, sizeof unknown.reason, "%s", impatient);
    etx__outcome_give(outcome, &unknown);
    return etx__engine_fail(engine, ETX_EUNKNOWN, "%s: %s", gid, impatient);
}

static int send_and_wait(etx_tx **request, char *ret_gid) {
    etx_tx *sent = *request;
    etx_engine *engine = sent->engine;
    etx__shard *shard = sent->partition->shard;
    if (etx__engine_inside(engine)) {
        if (ret_gid != NULL) {
            memcpy(ret_gid, sent->gid, sent->gid_len + 1u);
        }
        etx__request_free(sent);
        *request = NULL;
        return etx__engine_fail(engine, ETX_EINVALID,
                                "a call that waits, from an inline callback: it would wait for "
                                "itself. Use the form with `done`");
    }
    sent->blocking = 1;
    sent->depth = etx__workers_depth(engine, sent->gid);
    sent->waiter.kind = ETX__WAITER_REQUEST;
    sent->waiter.wait = sent->wait;
    atomic_store(&sent->driving, 1);
    etx__queue_push(&shard->queue, &sent->node);
    int drove = etx__shard_drive(shard, sent);
    atomic_store(&sent->driving, 0);
    if (!drove && atomic_load(&shard->asleep)) {
        etx__shard_ring(shard);
    }
    etx__shard_refuse_late(shard);
    int rc = wait_for_answer(sent, shard, ret_gid);
    if (rc != 0) {
        *request = NULL;
        return etx__engine_fail(engine, rc, "%s", impatient);
    }
    if (sent->rc < 0) {
        const char *reason = sent->outcome.reason;
        etx__engine_fail(engine, sent->rc, "%s%s%s", sent->gid, sent->gid[0] ? ": " : "",
                         reason[0] ? reason : etx_strerror(sent->rc));
    }
    return sent->rc;
}

int etx__request_wait(etx_tx **request, char *ret_gid) {
    int before = etx__cancel_off();
    int rc = send_and_wait(request, ret_gid);
    etx__cancel_back(before);
    return rc;
}

int etx__request_run(etx_tx *request, etx_outcome *outcome) {
    etx_engine *engine = request->engine;
    char gid[ETX_GID_MAX + 1];
    int rc = etx__request_wait(&request, gid);
    if (request == NULL) {
        return rc == ETX_EUNKNOWN ? run_abandoned(engine, gid, outcome)
                                  : etx__outcome_fail(engine, gid, rc, outcome);
    }
    etx__outcome_give(outcome, &request->outcome);
    if (request->run_to != NULL) {
        *request->run_to = request->run_now;
    }
    etx__request_free(request);
    return rc;
}
