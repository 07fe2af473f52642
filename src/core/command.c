/* What initiators say: begin, enlist, result, hold, commit, abort; and asking. */
#include "rules.h"

#include <string.h>

#include "../protocol/assert.h"

etx__branch *etx__branch_named(const etx__tx *tx, etx_bytes name) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        etx__branch *branch = tx->branch[i];
        if (branch->s.name_len == name.len && memcmp(branch->s.name, name.data, name.len) == 0) {
            return branch;
        }
    }
    return NULL;
}

/* ETX_ECONFLICT tells of content, which stays as it was begun; ETX_EBUSY of this process's room. */
int etx__may_lag(int rc) {
    return rc == ETX_ESTATE || rc == ETX_ENOTFOUND || rc == ETX_EINVALID;
}

/* The waiter waits, or is told the error; then what follows from the command is done. */
static void finish_command(etx__core *core, etx__entry *entry, const etx__event *event, int rc) {
    if (etx__may_lag(rc) && entry->state == ETX_ACTIVE) {
        etx__await_refused(core, entry, event->waiter, rc);
        etx__settle(core, entry, &event->now);
        return;
    }
    if (rc < 0 && event->waiter != NULL) {
        event->waiter->look = 1; /* an error is told at once, not at the end */
    }
    etx__await(core, entry, event->waiter, rc);
    etx__settle(core, entry, &event->now);
}

/* ---- begin */

/* What ETX began before it left the flags of registrations, and what is no content, out of digests
 * has one with them: the repeat is compared that way too. The two can only be the same where all
 * else is. */
static int is_other_begin(const etx__entry *entry, const etx_record_begin *begin) {
    return entry->digest != begin->digest && entry->digest != etx_record_begin_digest(begin);
}

/* A known gid starts nothing: the waiter hears what is there, or that the content differs. */
static void begin_again(etx__core *core, etx__entry *entry, const etx__event *event) {
    const etx_record_begin *begin = event->u.begin.begin;
    int rc = 0;
    if (entry->marks & ETX_MARK_NEVER_BEGUN) {
        rc = begin->mode == ETX_SUBMITTED ? 0 : ETX_ESTATE;
    } else if (is_other_begin(entry, begin)) {
        rc = ETX_ECONFLICT;
    } else if (begin->mode != ETX_SUBMITTED && entry->state != ETX_ACTIVE) {
        rc = ETX_ESTATE;
    }
    finish_command(core, entry, event, rc);
}

static int new_refused(const etx__core *core, const etx__event *event) {
    if (core->options.inspect) {
        return etx__refuse(core, ETX_ESTATE, "the engine only looks (ETX_INSPECT)");
    }
    /* Whatever is begun will end, and be remembered in the place of another. */
    if (core->options.history_strict && etx__history_full(core, event->now.wall_ms)) {
        return etx__refuse(core, ETX_EBUSY,
                           "the history is full: one of its history_max gids would be forgotten "
                           "before history_age_ms, which ETX_HISTORY_STRICT forbids. Try again "
                           "later, or raise history_max");
    }
    return 0;
}

/* A gid of the caller's own belongs to one home, whatever that promises. */
static int grade_refused(const etx__core *core, const etx_record_begin *begin) {
    if (core->grade == 0 || begin->durability <= core->grade) {
        return 0;
    }
    return etx__refuse(
        core, ETX_EUNAVAILABLE,
        "the gid's home promises less durability than is asked for (at least local, "
        "unless told; XA: in any case): ask for less, or give the gid a better home");
}

static void on_begin(etx__core *core, const etx__event *event) {
    etx__entry *entry =
        event->u.begin.fresh ? NULL : etx__entry_find(core, event->gid, event->hash);
    if (entry != NULL) {
        begin_again(core, entry, event);
        return;
    }
    if (event->old) {
        etx__await_absent(core, event);
        return;
    }
    etx_record *record = etx__record_next(core, ETX_RECORD_BEGIN, event->gid);
    record->u.begin = *event->u.begin.begin;
    int rc = new_refused(core, event);
    rc = rc != 0 ? rc : grade_refused(core, &record->u.begin);
    rc = rc != 0 ? rc : etx__append_first(core, event, record, &entry);
    if (rc != 0) {
        etx__answer(core, event->waiter, rc, NULL);
        return;
    }
    etx__tx *tx = entry->tx;
    tx->r.ours = 1;
    tx->r.depth = event->depth;
    entry->begun_us = event->now.mono_us;
    tx->r.run_no = (core->own_slot << 20) | 1;
    tx->r.silent_ms = event->now.mono_ms + tx->s.resume_ms;
    etx__await(core, entry, event->waiter, 0);
    etx__settle(core, entry, &event->now);
}

/* ---- what belongs to a transaction that is there */

/* The live transaction that the event is about; otherwise the waiter is answered, and NULL. */
static etx__entry *live_of(etx__core *core, const etx__event *event) {
    etx__entry *entry = etx__entry_find(core, event->gid, event->hash);
    if (entry == NULL) {
        etx__await_absent(core, event);
        return NULL;
    }
    if (entry->tx == NULL) {
        etx__await(core, entry, event->waiter,
                   etx__refuse(core, ETX_ESTATE, "it has ended: etx_query says how"));
        return NULL;
    }
    return entry;
}

/* Of a resumed transaction only the run that is valid now may speak; and speaking is a sign of
 * life. */
static int run_refused(const etx__core *core,
                       etx__entry *entry,
                       uint64_t run,
                       const etx__now *now) {
    etx__tx *tx = entry->tx;
    if (tx->s.mode != ETX_RESUMED) {
        return 0;
    }
    if (run != tx->r.run_no) {
        return etx__refuse(core, ETX_ESTATE, "another run of its initiator has taken over");
    }
    tx->r.silent_ms = now->mono_ms + tx->s.resume_ms;
    return 0;
}

static int enlist_depends(const etx__core *core,
                          etx__tx *tx,
                          const etx__event *event,
                          uint16_t *places,
                          uint16_t *ret_count) {
    uint16_t count = event->u.enlist.depends_on_count;
    const etx_record_branch *branch = event->u.enlist.branch;
    *ret_count = 0;
    if (event->u.enlist.default_order) {
        for (uint16_t i = tx->s.branch_count; i > 0; i--) {
            if (etx__kind_of(branch->kind)->chained && tx->branch[i - 1]->s.kind == branch->kind) {
                places[(*ret_count)++] = (uint16_t)(i - 1);
                return 0;
            }
        }
        return 0;
    }
    for (uint16_t i = 0; i < count; i++) {
        const etx__branch *before = etx__branch_named(tx, event->u.enlist.depends_on[i]);
        if (before == NULL || *ret_count >= ETX_BRANCHES_MAX) {
            return etx__refuse(core, ETX_EINVALID,
                               "depends_on names a branch that is not enlisted before");
        }
        places[(*ret_count)++] = before->s.place;
    }
    return 0;
}

/* Of what the initiator said. What the branch depends on is not in it: it has no places yet. */
static uint64_t enlist_digest(const etx__event *event) {
    etx_record_branch said = *event->u.enlist.branch;
    said.flags &= (uint8_t)~event->u.enlist.registered;
    said.payload = event->u.enlist.content.data != NULL ? event->u.enlist.content : said.payload;
    return etx_record_branch_digest(&said);
}

/* 0, or ETX_ECONFLICT. See is_other_begin. */
static int enlist_again(const etx__branch *known, const etx__event *event, uint64_t digest) {
    uint64_t first = known->s.rare != NULL ? known->s.rare->digest : 0;
    return first == digest || first == etx_record_branch_digest(event->u.enlist.branch)
               ? 0
               : ETX_ECONFLICT;
}

static int enlist(etx__core *core, etx__entry *entry, const etx__event *event) {
    etx_record *record = etx__record_next(core, ETX_RECORD_ENLIST, event->gid);
    if (entry->state != ETX_ACTIVE) {
        return etx__refuse(core, ETX_ESTATE, "it is decided: etx_query says how");
    }
    record->u.enlist.branch = *event->u.enlist.branch;
    record->u.enlist.digest = enlist_digest(event);
    etx__branch *known = etx__branch_named(entry->tx, event->u.enlist.branch->name);
    if (known != NULL) {
        return enlist_again(known, event, record->u.enlist.digest);
    }
    if (entry->tx->r.commit_asked || etx__deadline_over(core, entry->tx, &event->now)) {
        return etx__refuse(core, ETX_ESTATE, "its commit is asked for, or its deadline has passed");
    }
    if (core->grade == ETX_VOLATILE && record->u.enlist.branch.kind == ETX_XA) {
        return etx__refuse(core, ETX_EINVALID,
                           "a volatile home refuses XA: what is prepared would stay so for ever if "
                           "the process died. Begin it with durability local");
    }
    int rc = enlist_depends(core, entry->tx, event, core->places,
                            &record->u.enlist.branch.depends_on_count);
    record->u.enlist.branch.depends_on = core->places;
    rc = rc != 0 ? rc : etx__append(core, entry, record, 1, 1);
    if (rc == 0) { /* the outputs must not point into scratch */
        const etx__branch *made = entry->tx->branch[entry->tx->s.branch_count - 1];
        record->u.enlist.branch.depends_on = made->s.depends_on;
    }
    return rc;
}

static void on_enlist(etx__core *core, const etx__event *event) {
    etx__entry *entry = live_of(core, event);
    if (entry == NULL) {
        return;
    }
    int rc = run_refused(core, entry, event->u.enlist.run, &event->now);
    finish_command(core, entry, event, rc != 0 ? rc : enlist(core, entry, event));
}

/* The first result stands: its reply is told to whoever records again, as a positive answer. */
static int record_result(etx__core *core, etx__entry *entry, const etx__event *event) {
    etx__branch *branch = etx__branch_named(entry->tx, event->u.result.branch);
    if (branch == NULL) {
        return etx__refuse(core, ETX_ENOTFOUND, "no branch of that name is enlisted");
    }
    if (!(branch->s.flags & ETX_BY_INITIATOR)) {
        return etx__refuse(core, ETX_ESTATE,
                           "the branch is not ETX_BY_INITIATOR: ETX calls it itself");
    }
    if (branch->s.forward != 0) {
        return branch->s.forward;
    }
    if (entry->state != ETX_ACTIVE) {
        return etx__refuse(core, ETX_ESTATE, "it is decided: etx_query says how");
    }
    etx_record *record = etx__record_next(core, ETX_RECORD_RESULT, event->gid);
    record->u.result.branch = branch->s.place;
    record->u.result.operation = ETX_FORWARD;
    record->u.result.reply = event->u.result.reply;
    record->u.result.bytes = event->u.result.bytes;
    int rc = etx__append(core, entry, record, 1, 1);
    return rc != 0 ? rc : event->u.result.reply;
}

static void on_result(etx__core *core, const etx__event *event) {
    etx__entry *entry = live_of(core, event);
    if (entry == NULL) {
        return;
    }
    int rc = run_refused(core, entry, event->u.result.run, &event->now);
    finish_command(core, entry, event, rc != 0 ? rc : record_result(core, entry, event));
}

static void on_hold(etx__core *core, const etx__event *event) {
    etx__entry *entry = live_of(core, event);
    if (entry == NULL) {
        return;
    }
    int rc = run_refused(core, entry, event->u.decide.run, &event->now);
    if (rc == 0 && entry->state != ETX_ACTIVE) {
        rc = ETX_ESTATE; /* an operator was faster: what its parent hears is the decision */
    } else if (rc == 0 && !(entry->marks & ETX_MARK_HELD)) {
        etx__record_results(core, entry, ETX__RECORD_ALL, 0);
        etx_record *record = etx__record_next(core, ETX_RECORD_HELD, event->gid);
        rc = etx__deadline_over(core, entry->tx, &event->now)
                 ? ETX_ESTATE
                 : etx__append(core, entry, record, 1, 1);
    }
    finish_command(core, entry, event, rc);
}

/* ---- commit and abort */

static int steps_without_result(const etx__tx *tx) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        const etx__branch *branch = tx->branch[i];
        if (etx__kind_of(branch->s.kind)->forward && !etx__branch_by_etx(branch) &&
            branch->s.forward == 0) {
            return 1;
        }
    }
    return 0;
}

/* A commit past the deadline is refused, except where the deadline only starts a question. */
static int commit_refused(etx__core *core, etx__entry *entry, const etx__event *event) {
    etx__tx *tx = entry->tx;
    if (entry->state != ETX_ACTIVE) {
        return 0; /* the answer is the decision */
    }
    if (tx->s.mode == ETX_RESUMED && steps_without_result(tx)) {
        return ETX_ESTATE;
    }
    int over = etx__deadline_over(core, tx, &event->now) && !(entry->marks & ETX_MARK_HELD);
    if (!over || (tx->s.initiator_len > 0 && tx->s.mode == ETX_INTERACTIVE)) {
        tx->r.commit_asked = 1;
    }
    return 0;
}

static void on_commit(etx__core *core, const etx__event *event) {
    etx__entry *entry = etx__entry_find(core, event->gid, event->hash);
    if (entry == NULL) {
        etx__await_absent(core, event);
        return;
    }
    if (entry->tx == NULL) {
        etx__await(core, entry, event->waiter, 0);
        return;
    }
    int rc = run_refused(core, entry, event->u.decide.run, &event->now);
    rc = rc != 0 ? rc : commit_refused(core, entry, event);
    finish_command(core, entry, event, rc);
}

/* Recorded, so that a begin that comes late is refused. A gid made by ETX was begun before it was
 * told: that one is gone. */
static void abort_unknown(etx__core *core, const etx__event *event) {
    static const char reason[] = "aborted before it was begun";
    etx__entry *entry = NULL;
    if (event->old) {
        etx__await_absent(core, event);
        return;
    }
    etx_record *record = etx__record_next(core, ETX_RECORD_DECIDE, event->gid);
    record->u.decide.time_ms = event->now.wall_ms;
    record->u.decide.marks = ETX_MARK_NEVER_BEGUN | ETX_MARK_CHOSEN;
    record->u.decide.reason = (etx_bytes){reason, sizeof reason - 1};
    int rc = new_refused(core, event);
    rc = rc != 0 ? rc : etx__append_first(core, event, record, &entry);
    if (rc != 0) {
        etx__answer(core, event->waiter, rc, NULL);
        return;
    }
    etx_record *end = etx__record_next(core, ETX_RECORD_END, event->gid);
    end->u.end.time_ms = event->now.wall_ms;
    end->u.end.ended_no = entry->ended_no;
    rc = etx__append(core, entry, end, 0, 0);
    etx_assert(rc == 0);
    etx__await(core, entry, event->waiter, 0);
}

static void on_abort(etx__core *core, const etx__event *event) {
    etx__entry *entry = etx__entry_find(core, event->gid, event->hash);
    if (entry == NULL) {
        abort_unknown(core, event);
        return;
    }
    if (entry->tx == NULL) {
        etx__await(core, entry, event->waiter, 0);
        return;
    }
    int rc =
        event->u.decide.run != 0 ? run_refused(core, entry, event->u.decide.run, &event->now) : 0;
    if (rc == 0 && entry->state == ETX_ACTIVE && !core->options.inspect) {
        etx__record_results(core, entry, ETX__RECORD_BYTES, 0);
        etx_record *record = etx__record_next(core, ETX_RECORD_DECIDE, event->gid);
        record->u.decide.time_ms = event->now.wall_ms;
        record->u.decide.reason = event->u.decide.reason;
        rc = etx__append(core, entry, record, 1, 1);
        etx__attempts_restart(entry->tx);
    }
    finish_command(core, entry, event, rc);
}

static void on_wait(etx__core *core, const etx__event *event) {
    etx__entry *entry = etx__entry_find(core, event->gid, event->hash);
    if (entry == NULL) {
        etx__await_absent(core, event);
        return;
    }
    etx__await(core, entry, event->waiter, 0);
    etx__settle(core, entry, &event->now);
}

/* A callback waits for what may have begun without it: before this process, for one. */
static void deepen(etx__core *core, const etx__event *event) {
    etx__entry *entry = event->depth > 0 ? etx__entry_find(core, event->gid, event->hash) : NULL;
    if (entry != NULL && entry->tx != NULL && entry->tx->r.depth < event->depth) {
        entry->tx->r.depth = event->depth;
    }
}

void etx__on_command(etx__core *core, const etx__event *event) {
    deepen(core, event);
    if (event->type == ETX__EV_BEGIN) {
        on_begin(core, event);
    } else if (event->type == ETX__EV_ENLIST) {
        on_enlist(core, event);
    } else if (event->type == ETX__EV_RESULT) {
        on_result(core, event);
    } else if (event->type == ETX__EV_HOLD) {
        on_hold(core, event);
    } else if (event->type == ETX__EV_COMMIT) {
        on_commit(core, event);
    } else if (event->type == ETX__EV_ABORT) {
        on_abort(core, event);
    } else {
        on_wait(core, event);
    }
}
