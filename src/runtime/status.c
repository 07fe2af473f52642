/* A transaction and its branches as they are told: to who asks, and to the monitor when it ends. */
#include <stdio.h>
#include <string.h>

#include "callback.h"
#include "home.h"
#include "shard.h"

static void fill_body(const etx__partition *partition, const etx__tx *tx, etx_status *status) {
    uint64_t now = partition->shard->now.mono_ms;
    const etx__core *core = partition->memory->core;
    status->mode = (etx_mode)tx->s.mode;
    status->deadline_ms = tx->s.deadline_ms;
    status->decided_ms = tx->s.decided_ms;
    status->branch_count = tx->s.branch_count;
    status->calls_in_flight = tx->r.calls;
    if (tx->r.timer != 0) {
        uint64_t due = core->timer[tx->r.timer - 1].due_ms;
        status->next_ms = due > now ? due - now : 0;
    }
}

/* Whom it waits for, where there is nothing else to say. */
static void say_missing(const etx__tx *body, char *reason) {
    const etx__branch *branch = NULL;
    for (uint32_t i = 0; branch == NULL && i < body->s.branch_count; i++) {
        const etx__branch *one = body->branch[i];
        branch = one->r.participant == ETX__NOBODY && one->s.finish == 0 ? one : NULL;
    }
    if (branch != NULL) {
        snprintf(reason, ETX_REASON_MAX + 1, "participant %s of branch %s is not registered",
                 (const char *)branch->s.participant, (const char *)branch->s.name);
    } else {
        snprintf(reason, ETX_REASON_MAX + 1, "its initiator %s is not registered",
                 body->s.initiator_len > 0 ? (const char *)body->s.initiator : "");
    }
}

void etx__status_fill(const etx__partition *partition,
                      const etx__entry *entry,
                      const etx__tx *body,
                      etx_status *status) {
    memset(status, 0, sizeof *status);
    status->size = sizeof *status;
    memcpy(status->gid, entry->gid, entry->gid_len + 1u);
    status->state = (etx_state)entry->state;
    status->marks = etx__entry_marks(entry);
    status->durability = etx__home_grade(partition->home);
    memcpy(status->home, partition->home->info.id, sizeof status->home);
    status->partition = partition->number;
    status->begin_ms = entry->begin_ms;
    status->ended_ms = entry->ended_ms;
    status->next_ms = UINT64_MAX;
    const char *reason = etx__entry_reason(entry);
    memcpy(status->reason, reason, strlen(reason) + 1);
    if (body != NULL && body->r.unregistered && reason[0] == 0) {
        say_missing(body, status->reason);
    }
    if (body != NULL) {
        fill_body(partition, body, status);
    }
}

/* What its forward operation gave: as it is recorded. Once commit is decided, what is recorded for
 * nobody's sake any more (a saga's last step) as it was answered: it is never asked for again. */
static etx_bytes result_of(const etx__branch *branch, etx_state state) {
    int decided = state == ETX_COMMITTING || state == ETX_COMMITTED;
    if (decided && branch->s.result_len == 0) {
        return (etx_bytes){branch->r.result, branch->r.result_len};
    }
    return (etx_bytes){branch->s.result, branch->s.result_len};
}

/* Calls of the operation that it was at last: a decision begins to count anew, and may ask for
 * nothing more. */
static uint32_t attempts_of(const etx__branch *branch) {
    const etx__attempt *call = &branch->r.call;
    return call->operation == ETX_FORWARD && call->count == 0 ? branch->r.forward_attempts
                                                              : call->count;
}

void etx__status_branch(const etx__branch *branch, etx_state state, etx_branch_status *status) {
    const etx__branch_state *s = &branch->s;
    *status = (etx_branch_status){
        .size = sizeof *status,
        .name = (const char *)s->name,
        .participant = (const char *)s->participant,
        .kind = (etx_kind)s->kind,
        .flags = s->flags,
        .forward = (etx_reply)branch->r.forward,
        .finish = (etx_reply)branch->r.finish,
        .settled = s->settled,
        .attempts = attempts_of(branch),
        .failures = branch->r.call.failures,
        .calling = branch->r.call.serial != 0,
        .payload = {s->payload, s->payload_len},
        .result = result_of(branch, state),
        .reason = branch->r.reason != NULL ? (const char *)branch->r.reason : "",
        .forward_attempts = branch->r.forward_attempts,
    };
}

/* ---- endings */

struct etx_ending {
    const etx__tx *body;
    etx_state state;
};

void etx__ending_tell(etx__partition *partition, const etx__entry *entry, const etx__tx *body) {
    const etx_monitor *monitor = &partition->home->engine->monitor;
    const etx_ending ending = {body, (etx_state)entry->state};
    etx_status status;
    if (monitor->on_ending != NULL) {
        etx__status_fill(partition, entry, body, &status);
        etx__callback_ending(monitor, &status, &ending);
    }
}

int etx_ending_branch(const etx_ending *ending, uint32_t place, etx_branch_status *ret_branch) {
    etx_branch_status branch;
    size_t size = ret_branch != NULL ? ret_branch->size : 0;
    if (ending == NULL || size == 0) {
        return ETX_EINVALID;
    }
    if (place >= ending->body->s.branch_count) {
        return ETX_ENOTFOUND;
    }
    etx__status_branch(ending->body->branch[place], ending->state, &branch);
    branch.size = size;
    memcpy(ret_branch, &branch, size < sizeof branch ? size : sizeof branch);
    return 0;
}
