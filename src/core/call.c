/* Calls: what is handed out with one, and what its answer changes. */
#include "rules.h"

#include <string.h>

#include "../protocol/assert.h"
#include "../protocol/copy.h"

/* ---- calling */

static uint32_t timeout_of(const etx__core *core, const etx__branch *branch, uint32_t participant) {
    if (branch != NULL && branch->s.rare != NULL && branch->s.rare->call_timeout_ms > 0) {
        return branch->s.rare->call_timeout_ms;
    }
    uint32_t own = core->policy[participant].call_timeout_ms;
    return own > 0 ? own : core->options.call_timeout_ms;
}

static void call_one(etx__core *core,
                     etx__entry *entry,
                     etx__branch *branch,
                     uint8_t operation,
                     const etx__now *now,
                     etx__todo *todo) {
    etx__tx *tx = entry->tx;
    etx__attempt *attempt = branch != NULL ? &branch->r.call : tx->r.asking;
    uint32_t participant = branch != NULL ? branch->r.participant : tx->r.initiator;
    int rc = 0;
    int plain = branch != NULL && (branch->s.forward == 0 || branch->s.result_len == 0) &&
                !(branch->s.flags & ETX_WANTS_RESULTS);
    etx__results *results = plain ? NULL : etx__results_make(core, tx, branch, &rc);
    if (rc != 0) {
        attempt->due_ms = now->mono_ms + core->options.working_ms;
        etx__wake_at(todo, attempt->due_ms);
        return;
    }
    if (attempt->operation != operation) {
        attempt->operation = operation;
        attempt->count = 0;
    }
    attempt->serial = ++core->serial;
    uint32_t timeout = timeout_of(core, branch, participant);
    attempt->due_ms = now->mono_ms + timeout;
    etx__wake_at(todo, attempt->due_ms);
    attempt->count++;
    attempt->running = 1;
    attempt->slow = 0;
    tx->r.calls++;
    tx->r.running++;
    core->calls++;
    if (branch != NULL && operation == ETX_FORWARD) {
        branch->r.called = 1;
        uint16_t before = branch->r.forward_attempts;
        branch->r.forward_attempts = (uint16_t)(before + (before < UINT16_MAX));
    }
    if (operation == ETX_RESUME) {
        tx->r.run_no++;
    }
    etx__out *out = core->out;
    etx_assert(out->call_count < ETX__OUT_MAX && entry->rests_on <= core->durable);
    out->call[out->call_count++] = (etx__call){
        .rests_on = entry->rests_on,
        .serial = attempt->serial,
        .run_no = tx->r.run_no,
        .begin_ms = entry->begin_ms,
        .gid = (const char *)entry->gid,
        .tx = tx,
        .branch = branch,
        .results = results,
        .entry = tx->entry,
        .participant = participant,
        .attempt = attempt->count,
        .timeout_ms = timeout,
        .place = branch != NULL ? branch->s.place : ETX__INITIATOR,
        .operation = operation,
        .depth = (uint8_t)(tx->r.depth - (branch == NULL && tx->r.depth > 0)),
    };
}

void etx__call_out(etx__core *core, etx__entry *entry, etx__todo *todo, const etx__now *now) {
    etx__tx *tx = entry->tx;
    int pending = todo->ask != 0 && etx__results_pending(tx, NULL);
    for (uint16_t i = 0; i < todo->calls && !pending; i++) {
        pending = etx__results_pending(tx, tx->branch[core->places[i]]);
    }
    if (pending) {
        etx__record_results(core, entry, ETX__RECORD_BYTES, 1);
        return;
    }
    for (uint16_t i = 0; i < todo->calls; i++) {
        call_one(core, entry, tx->branch[core->places[i]], todo->operation, now, todo);
    }
    if (todo->ask != 0) {
        call_one(core, entry, NULL, (uint8_t)(todo->ask - 1), now, todo);
    }
}

/* ---- answers */

/* Forward operations have their own end, until it is decided. */
static int is_stalled(const etx__core *core, const etx__entry *entry, const etx__attempt *attempt) {
    return (attempt->operation != ETX_FORWARD || entry->state != ETX_ACTIVE) &&
           attempt->failures >= core->options.park_after;
}

static uint64_t backoff(const etx__core *core,
                        const etx__entry *entry,
                        const etx__branch *branch,
                        uint32_t participant,
                        const etx__attempt *attempt,
                        const etx__now *now) {
    const etx__policy *policy = &core->policy[participant];
    const etx__rare *rare = branch != NULL ? branch->s.rare : NULL;
    uint64_t first = rare != NULL ? rare->retry_first_ms : 0;
    uint64_t cap = rare != NULL ? rare->retry_cap_ms : 0;
    first = first > 0 ? first : policy->retry_first_ms;
    first = first > 0 ? first : core->options.retry_first_ms;
    cap = cap > 0 ? cap : policy->retry_cap_ms;
    cap = cap > 0 ? cap : core->options.retry_cap_ms;
    uint32_t failures = attempt->failures + attempt->unsent;
    uint32_t doublings = failures > 1 ? failures - 1 : 0;
    uint64_t pause = doublings < 32 && !is_stalled(core, entry, attempt) ? first << doublings : cap;
    pause = pause < cap ? pause : cap;
    /* A quarter less to a quarter more, so that what failed together does not come back
     * together; never more than the cap. */
    uint64_t least = pause - pause / 4;
    uint64_t most = pause + pause / 4 < cap ? pause + pause / 4 : cap;
    uint64_t salt = (attempt->serial + core->serial) * 2654435761u;
    uint64_t chance = (now->random ^ (uint32_t)salt) & 0xffff;
    return least + (most - least) * chance / 0xffff;
}

static void stall(etx__core *core,
                  etx__entry *entry,
                  const etx__branch *branch,
                  const etx__attempt *attempt) {
    etx__tx *tx = entry->tx;
    if (is_stalled(core, entry, attempt) && !tx->r.stalled) {
        tx->r.stalled = 1;
        core->stalled++;
        etx__tell(core, ETX_EVENT_STALLED, entry, branch, attempt,
                  "stalled: it is tried on at the longest interval");
    }
}

void etx__unstall(etx__core *core, etx__entry *entry) {
    etx__tx *tx = entry->tx;
    if (!tx->r.stalled || (tx->r.asking != NULL && is_stalled(core, entry, tx->r.asking))) {
        return;
    }
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        const etx__branch *branch = tx->branch[i];
        if (branch->r.finish == 0 && is_stalled(core, entry, &branch->r.call)) {
            return;
        }
    }
    tx->r.stalled = 0;
    core->stalled--;
    etx__tell(core, ETX_EVENT_RESUMED, entry, NULL, NULL, "what had failed is done");
}

static void mark_dirty(etx__core *core, etx__tx *tx, etx__branch *branch, uint8_t operation) {
    branch->r.dirty |= (uint8_t)(1u << operation);
    if (!(tx->r.listed & (1u << ETX__DIRTY))) {
        etx__list_push(core, ETX__DIRTY, tx);
    }
}

/* 1: it failed for the last time, and that is all right. */
static int tolerated(etx__core *core, etx__entry *entry, etx__branch *branch) {
    uint32_t max = branch->s.rare != NULL ? branch->s.rare->attempts_max : 0;
    max = max > 0 ? max : core->policy[branch->r.participant].attempts_max;
    max = max > 0 ? max : etx__kind_of(branch->s.kind)->attempts_max;
    if (!etx__kind_of(branch->s.kind)->tolerated || branch->r.call.failures < max) {
        return 0;
    }
    branch->r.finish = ETX_REFUSED;
    mark_dirty(core, entry->tx, branch, ETX_COMMIT);
    return 1;
}

static void keep_reason(etx__core *core, etx__branch *branch, etx_bytes reason) {
    if (reason.len == 0) {
        return;
    }
    size_t len = etx__cut(reason.data, reason.len, ETX_REASON_MAX);
    core->pool.spans_kept = etx__spans_for_calls(core);
    uint8_t *block = etx__pool_alloc(&core->pool, len + 1);
    core->pool.spans_kept = 0;
    if (block == NULL) {
        return;
    }
    memcpy(block, reason.data, len);
    block[len] = 0;
    etx__pool_free(&core->pool, branch->r.reason, branch->r.reason_len + 1u);
    branch->r.reason = block;
    branch->r.reason_len = (uint8_t)len;
}

/* One more without an answer. What nobody was asked for is no attempt: before the decision, which a
 * limit of them would make, it is no failure either. */
static void count_failure(const etx__entry *entry, etx__attempt *attempt, int unsent) {
    if (unsent && attempt->operation == ETX_FORWARD && entry->state == ETX_ACTIVE) {
        attempt->unsent++;
    } else {
        attempt->failures++;
    }
}

static void take_back(etx__branch *branch, etx__attempt *attempt) {
    attempt->count--;
    if (branch != NULL && attempt->operation == ETX_FORWARD) {
        branch->r.forward_attempts--;
    }
}

static void failed(etx__core *core,
                   etx__entry *entry,
                   etx__branch *branch,
                   etx__attempt *attempt,
                   const etx__event *event,
                   etx_event_type told,
                   const char *why) {
    uint32_t participant = branch != NULL ? branch->r.participant : entry->tx->r.initiator;
    int unsent = event->u.reply.reply == ETX_UNSENT;
    count_failure(entry, attempt, unsent);
    uint64_t pause = backoff(core, entry, branch, participant, attempt, &event->now);
    pause = pause > event->u.reply.retry_after_ms ? pause : event->u.reply.retry_after_ms;
    attempt->due_ms = event->now.mono_ms + pause;
    const char *reason = event->u.reply.reason.len > 0 && branch != NULL && branch->r.reason
                             ? (const char *)branch->r.reason
                             : why;
    etx__tell(core, told, entry, branch, attempt, reason);
    if (unsent) {
        take_back(branch, attempt);
    }
    if (branch != NULL && tolerated(core, entry, branch)) {
        etx__unstall(core, entry);
    } else {
        stall(core, entry, branch, attempt);
    }
}

static void forward_done(etx__core *core,
                         etx__entry *entry,
                         etx__branch *branch,
                         const etx__event *event) {
    if (branch->r.forward != 0) {
        return;
    }
    etx_bytes bytes = event->u.reply.bytes;
    int fits = entry->tx->image_size + bytes.len <= core->options.image_max;
    core->pool.spans_kept = etx__spans_for_calls(core);
    uint8_t *kept = fits ? etx__bytes_keep(core, bytes) : NULL;
    core->pool.spans_kept = 0;
    if (bytes.len > 0 && kept == NULL) {
        /* Nothing would make room but its end: it is done, and will be undone. */
        branch->r.no_room = 1;
        return;
    }
    branch->r.result = kept;
    branch->r.result_len = (uint32_t)bytes.len;
    entry->tx->image_size += (uint32_t)bytes.len;
    branch->r.forward = event->u.reply.reply;
    mark_dirty(core, entry->tx, branch, ETX_FORWARD);
}

static void branch_answered(etx__core *core,
                            etx__entry *entry,
                            etx__branch *branch,
                            const etx__event *event) {
    etx__attempt *attempt = &branch->r.call;
    etx_reply reply = (etx_reply)event->u.reply.reply;
    if (attempt->operation != ETX_FORWARD && branch->r.finish != 0) {
        return; /* settled by hand meanwhile */
    }
    keep_reason(core, branch, event->u.reply.reason);
    if (reply == ETX_WORKING) {
        uint32_t pause = event->u.reply.retry_after_ms;
        attempt->due_ms = event->now.mono_ms + (pause > 0 ? pause : core->options.working_ms);
        if (etx__kind_of(branch->s.kind)->tolerated) { /* its limit is of calls, not of failures */
            attempt->failures++;
            (void)tolerated(core, entry, branch);
        }
        return;
    }
    if (reply == ETX_RETRY || reply == ETX_UNSENT) {
        failed(core, entry, branch, attempt, event, ETX_EVENT_CALL_UNKNOWN, "unknown");
        return;
    }
    if (attempt->operation == ETX_FORWARD) {
        attempt->failures = 0;
        attempt->unsent = 0;
        attempt->due_ms = 0;
        forward_done(core, entry, branch, event);
        return;
    }
    if (reply == ETX_REFUSED) {
        failed(core, entry, branch, attempt, event, ETX_EVENT_FINISH_REFUSED,
               "refused after the decision: it will be asked again");
        return;
    }
    attempt->failures = 0;
    branch->r.finish = ETX_DONE;
    mark_dirty(core, entry->tx, branch, attempt->operation);
    etx__unstall(core, entry);
}

static void initiator_answered(etx__core *core, etx__entry *entry, const etx__event *event) {
    etx__tx *tx = entry->tx;
    etx_reply reply = (etx_reply)event->u.reply.reply;
    int resume = tx->r.asking->operation == ETX_RESUME;
    if (reply == ETX_RETRY || reply == ETX_UNSENT) {
        failed(core, entry, NULL, tx->r.asking, event, ETX_EVENT_CALL_UNKNOWN,
               "the initiator cannot say yet");
        return;
    }
    if (reply == ETX_WORKING && !resume) {
        uint32_t pause = event->u.reply.retry_after_ms;
        tx->r.asking->due_ms = event->now.mono_ms + (pause > 0 ? pause : core->options.working_ms);
        return;
    }
    tx->r.asking->failures = 0;
    tx->r.asking->due_ms = 0;
    etx__unstall(core, entry);
    if (resume && reply != ETX_REFUSED) { /* it runs: silence counts from here */
        tx->r.silent_ms = event->now.mono_ms + tx->s.resume_ms;
        return;
    }
    if (entry->state != ETX_ACTIVE || (entry->marks & ETX_MARK_HELD)) {
        return;
    }
    if (reply == ETX_DONE) {
        tx->r.commit_asked = 1;
        return;
    }
    static const char refused[] = "the initiator's answer was no";
    etx__record_results(core, entry, ETX__RECORD_BYTES, 0);
    etx_record *record = etx__record_next(core, ETX_RECORD_DECIDE, etx__gid_of(entry));
    record->u.decide.time_ms = event->now.wall_ms;
    record->u.decide.reason = event->u.reply.reason.len > 0
                                  ? event->u.reply.reason
                                  : (etx_bytes){refused, sizeof refused - 1};
    int rc = etx__append(core, entry, record, 1, 1);
    etx_assert(rc == 0);
    etx__attempts_restart(tx);
}

/* What a callback that returns was given, which may have ended; or what the token names now. NULL:
 * it came too late. */
static etx__tx *tx_of(const etx__core *core, const etx__event *event) {
    uint32_t number = event->u.reply.entry;
    if (event->u.reply.returned) {
        return (etx__tx *)(uintptr_t)event->u.reply.tx;
    }
    return number < core->entries_top ? core->entry[number].tx : NULL;
}

/* The attempt that the answer belongs to, or NULL: there is none. */
static etx__attempt *attempt_of(etx__tx *tx, uint16_t place, etx__branch **ret_branch) {
    *ret_branch = NULL;
    if (place == ETX__INITIATOR) {
        return tx->r.asking;
    }
    if (place >= tx->s.branch_count) {
        return NULL;
    }
    *ret_branch = tx->branch[place];
    return &(*ret_branch)->r.call;
}

static void call_over(etx__core *core, etx__tx *tx, etx__attempt *attempt) {
    attempt->serial = 0;
    attempt->slow = 0;
    tx->r.calls--;
    core->calls--;
}

/* Done, as other branches that are out are asked to do: what follows waits for them, and not for
 * the initiator, who may be waiting for what follows. */
static int others_first(const etx__entry *entry, etx__branch *branch, const etx__event *event) {
    int finishing = entry->state == ETX_COMMITTING ? ETX_COMMIT : ETX_UNDO;
    int now = entry->state == ETX_ACTIVE ? ETX_FORWARD : finishing;
    return branch != NULL && event->u.reply.reply == ETX_DONE && branch->r.call.operation == now &&
           !branch->r.no_room && !entry->tx->r.ordered && etx__is_call_out(entry->tx);
}

static void callback_returned(etx__core *core, etx__tx *tx, etx__attempt *attempt) {
    etx_assert(attempt->running && tx->r.running > 0);
    attempt->running = 0;
    tx->r.running--;
    if (tx->r.over && tx->r.running == 0) {
        etx__body_return(core, tx);
    }
}

/* What was counted as no answer has one: that counts, in its place. */
static void count_once(etx__entry *entry, etx__attempt *attempt) {
    if (!attempt->slow) {
        return;
    }
    attempt->failures -= attempt->failures > 0;
    if (attempt->operation == ETX_FORWARD && entry->state != ETX_ACTIVE) {
        attempt->failures = 0; /* its decided operation comes next */
    }
}

void etx__on_reply(etx__core *core, const etx__event *event) {
    etx__branch *branch = NULL;
    etx__tx *tx = tx_of(core, event);
    etx__attempt *attempt = tx != NULL ? attempt_of(tx, event->u.reply.place, &branch) : NULL;
    if (attempt == NULL) {
        etx_assert(!event->u.reply.returned);
        return;
    }
    if (event->u.reply.returned) {
        etx__results_free(core, event->u.reply.results);
        callback_returned(core, tx, attempt);
        if (tx->r.over) {
            return;
        }
    }
    etx__entry *entry = &core->entry[event->u.reply.entry];
    etx_assert(entry->tx == tx);
    int late = attempt->serial == 0 || attempt->serial != event->u.reply.serial;
    if (!late) {
        count_once(entry, attempt);
    }
    if (!late && event->u.reply.reply == ETX_LATER) {
        attempt->due_ms = attempt->slow ? event->now.mono_ms : attempt->due_ms;
    } else if (!late) {
        call_over(core, tx, attempt);
        if (branch != NULL) {
            branch_answered(core, entry, branch, event);
        } else {
            initiator_answered(core, entry, event);
        }
        etx__unstall(core, entry);
        if (others_first(entry, branch, event)) {
            return;
        }
    }
    etx__settle(core, entry, &event->now);
}

/* ---- silence */

/* A timeout is unknown. Where the callback has not returned, it is not called again beside itself:
 * that would take one more thread each time, and what it calls may not expect it. So long as it
 * does not return, each further timeout counts as one more attempt without an answer. */
static void silence_of(etx__core *core,
                       etx__entry *entry,
                       etx__branch *branch,
                       etx__attempt *attempt,
                       const etx__now *now) {
    if (attempt->serial == 0 || attempt->due_ms > now->mono_ms) {
        return;
    }
    etx__event event = {.type = ETX__EV_REPLY, .now = *now};
    event.u.reply.reply = ETX_RETRY;
    core->out->silent++;
    if (!attempt->running) {
        call_over(core, entry->tx, attempt);
    }
    if (branch != NULL && attempt->operation != ETX_FORWARD && branch->r.finish != 0) {
        attempt->slow = 1; /* given up, or done by hand: nothing fails any more */
        attempt->due_ms = UINT64_MAX;
        return;
    }
    if (!attempt->running) {
        failed(core, entry, branch, attempt, &event, ETX_EVENT_CALL_UNKNOWN, "no answer in time");
        return;
    }
    uint32_t participant = branch != NULL ? branch->r.participant : entry->tx->r.initiator;
    failed(
        core, entry, branch, attempt, &event,
        attempt->slow ? ETX_EVENT_CALL_UNKNOWN : ETX_EVENT_CALL_SLOW,
        "its callback has not returned in time: nothing is called for this branch until it does");
    attempt->slow = 1;
    attempt->due_ms = now->mono_ms + timeout_of(core, branch, participant);
}

void etx__on_silence(etx__core *core, etx__entry *entry, const etx__now *now) {
    etx__tx *tx = entry->tx;
    if (tx->r.calls > 0 && tx->r.asking != NULL) {
        silence_of(core, entry, NULL, tx->r.asking, now);
    }
    for (uint16_t i = 0; tx->r.calls > 0 && i < tx->s.branch_count; i++) {
        silence_of(core, entry, tx->branch[i], &tx->branch[i]->r.call, now);
    }
}
