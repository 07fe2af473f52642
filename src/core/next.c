/* next: what to do now, from the state and the time alone. Recomputed whenever something
 * changed, never stored. */
#include "rules.h"

#include <string.h>

/* ACTIVE: a refusal or the deadline decides abort; forward operations run as soon as what they
 * depend on is done; all done decides commit (interactive: once the initiator has said so).
 * COMMITTING: all commit operations at once. ABORTING: undo in reverse order of dependency.
 * Both: END when nothing is left. */

void etx__wake_at(etx__todo *todo, uint64_t mono_ms) {
    if (mono_ms < todo->wake_ms) {
        todo->wake_ms = mono_ms;
    }
}

/* Is it time to call this? If not, says when to look again. */
static int call_due(const etx__attempt *attempt,
                    uint32_t participant,
                    const etx__branch *branch,
                    const etx__now *now,
                    etx__todo *todo) {
    if (attempt->serial != 0) {
        etx__wake_at(todo, attempt->due_ms);
        return 0;
    }
    if (attempt->running) {
        return 0;
    }
    if (participant == ETX__NOBODY) {
        todo->missing = todo->unregistered ? todo->missing : branch;
        todo->unregistered = 1;
        return 0;
    }
    if (attempt->due_ms > now->mono_ms) {
        etx__wake_at(todo, attempt->due_ms);
        return 0;
    }
    return 1;
}

static void call_branch(const etx__core *core,
                        const etx__branch *branch,
                        const etx__now *now,
                        etx__todo *todo) {
    if (call_due(&branch->r.call, branch->r.participant, branch, now, todo)) {
        core->places[todo->calls++] = branch->s.place;
    }
}

static uint64_t deadline_mono(const etx__core *core, const etx__tx *tx) {
    int64_t due = (int64_t)tx->s.deadline_ms - core->offset_ms;
    uint64_t mono = due > 0 ? (uint64_t)due : 0;
    return mono > tx->r.grace_ms ? mono : tx->r.grace_ms;
}

int etx__deadline_over(const etx__core *core, const etx__tx *tx, const etx__now *now) {
    return tx->s.deadline_ms != 0 && deadline_mono(core, tx) <= now->mono_ms;
}

/* ---- ACTIVE */

static void decide(etx__todo *todo, int commit, const char *reason, const etx__branch *refused) {
    todo->decide = (uint8_t)(1 + commit);
    todo->reason = reason;
    todo->refused = refused;
    todo->calls = 0;
}

static uint32_t attempts_max(const etx__core *core, const etx__branch *branch) {
    uint32_t own = branch->s.rare != NULL ? branch->s.rare->attempts_max : 0;
    if (own > 0 || branch->r.participant == ETX__NOBODY) {
        return own;
    }
    return core->policy[branch->r.participant].attempts_max;
}

static int dependencies_done(const etx__tx *tx, const etx__branch *branch) {
    for (uint16_t i = 0; i < branch->s.depends_on_count; i++) {
        const etx__branch *before = tx->branch[branch->s.depends_on[i]];
        if (etx__kind_of(before->s.kind)->forward && before->r.forward != ETX_DONE &&
            (etx__branch_by_etx(before) || tx->s.mode == ETX_RESUMED)) {
            return 0;
        }
    }
    return 1;
}

/* What keeps the branch from being done forward: 1 something does, 0 nothing, -1 it decides
 * abort. */
static int forward_branch(const etx__core *core,
                          const etx__entry *entry,
                          const etx__branch *branch,
                          const etx__now *now,
                          etx__todo *todo) {
    if (branch->r.forward == ETX_REFUSED) {
        decide(todo, 0, branch->r.reason != NULL ? (const char *)branch->r.reason : "refused",
               branch);
        return -1;
    }
    if (branch->r.forward == ETX_DONE || !etx__kind_of(branch->s.kind)->forward) {
        return 0;
    }
    if (!etx__branch_by_etx(branch)) {
        return entry->tx->s.mode == ETX_RESUMED;
    }
    if (branch->r.no_room) {
        decide(todo, 0,
               "all payloads and results together are larger than one batch of the log (file: "
               "?segment= when it is made), or than what is left of memory_max",
               branch);
        return -1;
    }
    uint32_t limit = attempts_max(core, branch);
    int waits = branch->r.call.serial != 0 && !branch->r.call.slow;
    if (limit > 0 && branch->r.call.failures >= limit && !waits) {
        decide(todo, 0, "no answer within the limit of attempts", branch);
        return -1;
    }
    if (!(entry->marks & ETX_MARK_PARKED) && dependencies_done(entry->tx, branch)) {
        call_branch(core, branch, now, todo);
    }
    return 1;
}

static int is_query(const etx__tx *tx) {
    return tx->s.initiator_len > 0 && tx->s.mode == ETX_INTERACTIVE;
}

static void ask_initiator(const etx__entry *entry,
                          etx_operation operation,
                          const etx__now *now,
                          etx__todo *todo) {
    if (!(entry->marks & ETX_MARK_PARKED) && entry->tx->r.asking != NULL &&
        call_due(entry->tx->r.asking, entry->tx->r.initiator, NULL, now, todo)) {
        todo->ask = (uint8_t)(1 + operation);
    }
}

/* 1: the deadline has decided. */
static int at_deadline(const etx__core *core,
                       const etx__entry *entry,
                       const etx__now *now,
                       etx__todo *todo) {
    const etx__tx *tx = entry->tx;
    if (tx->s.deadline_ms == 0 || (entry->marks & ETX_MARK_HELD)) {
        return 0;
    }
    if (!etx__deadline_over(core, tx, now)) {
        etx__wake_at(todo, deadline_mono(core, tx));
        return 0;
    }
    if (is_query(tx)) {
        if (!tx->r.commit_asked) {
            ask_initiator(entry, ETX_QUERY, now, todo);
        }
        return 0;
    }
    decide(todo, 0, "the deadline has passed", NULL);
    return 1;
}

static void next_active(const etx__core *core,
                        const etx__entry *entry,
                        const etx__now *now,
                        etx__todo *todo) {
    const etx__tx *tx = entry->tx;
    int open = 0;
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        int rc = forward_branch(core, entry, tx->branch[i], now, todo);
        if (rc < 0) {
            return;
        }
        open |= rc;
    }
    if (at_deadline(core, entry, now, todo)) {
        return;
    }
    if (!open && (tx->s.mode == ETX_SUBMITTED || tx->r.commit_asked)) {
        decide(todo, 1, NULL, NULL);
        return;
    }
    if (tx->s.mode == ETX_RESUMED && !tx->r.commit_asked && !(entry->marks & ETX_MARK_HELD)) {
        if (tx->r.silent_ms > now->mono_ms) {
            etx__wake_at(todo, tx->r.silent_ms);
        } else {
            ask_initiator(entry, ETX_RESUME, now, todo);
        }
    }
}

/* ---- COMMITTING, ABORTING */

/* Is a call out that is not past its time? For one that is, nothing may wait: where it is given up
 * (a notification), nothing else may come. */
int etx__is_call_out(const etx__tx *tx) {
    for (uint16_t i = 0; tx->r.calls > 0 && i < tx->s.branch_count; i++) {
        const etx__attempt *call = &tx->branch[i]->r.call;
        if (call->serial != 0 && !call->slow) {
            return 1;
        }
    }
    return 0;
}

/* A branch is undone after all that depend on it, also through others that need no undo. */
static void mark_blocked(const etx__core *core, const etx__tx *tx) {
    int changed = 1;
    memset(core->scratch, 0, tx->s.branch_count);
    while (changed) { /* twice, where what depends stands behind what it depends on */
        changed = 0;
        for (uint16_t i = tx->s.branch_count; i-- > 0;) {
            const etx__branch *branch = tx->branch[i];
            if (!core->scratch[i] && !etx__branch_needs(branch, ETX_UNDO, tx->r.ours)) {
                continue;
            }
            for (uint16_t d = 0; d < branch->s.depends_on_count; d++) {
                changed |= !core->scratch[branch->s.depends_on[d]];
                core->scratch[branch->s.depends_on[d]] = 1;
            }
        }
    }
}

static void next_finish(const etx__core *core,
                        const etx__entry *entry,
                        const etx__now *now,
                        etx__todo *todo) {
    const etx__tx *tx = entry->tx;
    etx_operation operation = entry->state == ETX_COMMITTING ? ETX_COMMIT : ETX_UNDO;
    todo->operation = (uint8_t)operation;
    if (operation == ETX_UNDO) {
        mark_blocked(core, tx);
    }
    int open = 0; /* what ends it are operations: callbacks that have not returned may go on */
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        const etx__branch *branch = tx->branch[i];
        if (!etx__branch_needs(branch, operation, tx->r.ours)) {
            continue;
        }
        open = 1;
        int blocked = operation == ETX_UNDO && core->scratch[i];
        if (!blocked && !(entry->marks & ETX_MARK_PARKED)) {
            call_branch(core, branch, now, todo);
        }
    }
    todo->end = !open;
}

void etx__next(const etx__core *core,
               const etx__entry *entry,
               const etx__now *now,
               etx__todo *ret_todo) {
    memset(ret_todo, 0, sizeof *ret_todo);
    ret_todo->wake_ms = UINT64_MAX;
    if (core->options.inspect) {
        return;
    }
    if (entry->state == ETX_ACTIVE) {
        next_active(core, entry, now, ret_todo);
    } else {
        next_finish(core, entry, now, ret_todo);
    }
}
