/* step: one event in, records, calls and answers out. The driver of all rules. */
#include "rules.h"

#include <string.h>

#include "../protocol/assert.h"

void etx__tell(etx__core *core,
               etx_event_type type,
               const etx__entry *entry,
               const etx__branch *branch,
               const etx__attempt *attempt,
               const char *reason) {
    etx__out *out = core->out;
    etx_assert(out->told_count < ETX__OUT_MAX);
    etx__told *told = &out->told[out->told_count++];
    told->type = (uint8_t)type;
    told->entry = entry != NULL ? etx__entry_number(core, entry) : ETX__NOBODY;
    told->branch = branch;
    told->operation = attempt != NULL ? attempt->operation : 0;
    told->attempt = attempt != NULL ? attempt->count : 0;
    told->reason = reason;
}

/* ---- answers */

void etx__answer(etx__core *core, etx__waiter *waiter, int rc, const etx__entry *entry) {
    if (waiter == NULL) {
        return;
    }
    if (waiter->why == NULL || rc != waiter->rc) {
        waiter->why = core->out->why;
    }
    waiter->rc = rc;
    waiter->entry = entry != NULL ? etx__entry_number(core, entry) : ETX__NOBODY;
    waiter->next = core->out->answered;
    core->out->answered = waiter;
}

/* Of one that rests on what is durable. */
static int satisfied(const etx__core *core, const etx__entry *entry, const etx__waiter *waiter) {
    etx_assert(entry->rests_on <= core->durable);
    if (waiter->seq > core->durable) {
        return 0; /* refused: etx__await_refused */
    }
    if (waiter->look || waiter->wait == ETX_WAIT_BEGUN) {
        return 1;
    }
    return waiter->wait == ETX_WAIT_DECIDED && entry->state != ETX_ACTIVE;
}

/* Returns what must be durable before the last of those is answered that wait for the log alone;
 * 0: there is none. */
static uint64_t answer_waiters(etx__core *core, etx__entry *entry) {
    uint64_t last = 0;
    etx__waiter **link = &entry->tx->r.waiters;
    while (*link != NULL) {
        etx__waiter *waiter = *link;
        if (!satisfied(core, entry, waiter)) {
            link = &waiter->next;
            last = waiter->seq > core->durable && waiter->seq > last ? waiter->seq : last;
            continue;
        }
        *link = waiter->next;
        etx__answer(core, waiter, waiter->rc, entry);
    }
    return last;
}

static void await_log(etx__core *core, etx__waiter *waiter, const etx__entry *entry) {
    waiter->entry = entry != NULL ? etx__entry_number(core, entry) : ETX__NOBODY;
    waiter->next = NULL;
    if (core->absent_last != NULL) {
        core->absent_last->next = waiter;
    } else {
        core->absent_first = waiter;
    }
    core->absent_last = waiter;
    core->out->want = 1;
}

uint64_t etx__core_barrier(etx__core *core) {
    return ++core->seq;
}

void etx__await(etx__core *core, etx__entry *entry, etx__waiter *waiter, int rc) {
    if (waiter == NULL) {
        return;
    }
    waiter->rc = rc;
    waiter->why = core->out->why;
    if (entry != NULL && entry->tx != NULL) {
        waiter->seq = entry->rests_on;
        waiter->next = entry->tx->r.waiters;
        entry->tx->r.waiters = waiter;
        core->out->want |= (uint8_t)(entry->rests_on > core->durable);
        return;
    }
    if (entry == NULL) {
        /* a barrier: that it is not here is known once a put made after the question is durable */
        waiter->seq = core->options.read_only ? core->durable : etx__core_barrier(core);
    } else {
        waiter->seq = entry->rests_on;
    }
    if (waiter->seq <= core->durable) {
        etx__answer(core, waiter, rc, entry);
        return;
    }
    await_log(core, waiter, entry);
}

void etx__await_absent(etx__core *core, const etx__event *event) {
    etx__await(core, NULL, event->waiter, event->old ? ETX_EGONE : ETX_ENOTFOUND);
}

void etx__await_refused(etx__core *core, etx__entry *entry, etx__waiter *waiter, int rc) {
    if (waiter == NULL) {
        return;
    }
    waiter->rc = rc;
    waiter->why = core->out->why;
    waiter->look = 1;
    waiter->seq = etx__core_barrier(core);
    waiter->next = entry->tx->r.waiters;
    entry->tx->r.waiters = waiter;
    core->out->want = 1;
}

static void answer_absent(etx__core *core) {
    while (core->absent_first != NULL && core->absent_first->seq <= core->durable) {
        etx__waiter *waiter = core->absent_first;
        core->absent_first = waiter->next;
        if (core->absent_first == NULL) {
            core->absent_last = NULL;
        }
        uint32_t number = waiter->entry;
        etx__answer(core, waiter, waiter->rc, number == ETX__NOBODY ? NULL : &core->entry[number]);
    }
}

/* ---- settle: does what next says */

static void queue_for_durable(etx__core *core, etx__entry *entry) {
    if (entry->tx->r.queued_seq != entry->rests_on) { /* the list stays in order */
        etx__list_remove(core, ETX__UNDURABLE, entry->tx);
        entry->tx->r.queued_seq = entry->rests_on;
        etx__list_push(core, ETX__UNDURABLE, entry->tx);
    }
}

/* It is looked at again once that is durable. Where it is listed already it stays: whoever is
 * refused again and again keeps it from nothing. */
static void queue_for_refused(etx__core *core, etx__entry *entry, uint64_t seq) {
    uint32_t last = core->list[ETX__UNDURABLE].last;
    if (entry->tx->r.listed & (1u << ETX__UNDURABLE)) {
        return;
    }
    if (last != 0 && core->entry[last - 1].tx->r.queued_seq > seq) {
        seq = core->entry[last - 1].tx->r.queued_seq; /* the list stays in order */
    }
    entry->tx->r.queued_seq = seq;
    etx__list_push(core, ETX__UNDURABLE, entry->tx);
}

static int operations_follow(const etx__tx *tx, int commit) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        if (etx__branch_needs(tx->branch[i], commit ? ETX_COMMIT : ETX_UNDO, tx->r.ours)) {
            return 1;
        }
    }
    return 0;
}

void etx__attempts_restart(etx__tx *tx) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        etx__attempt *call = &tx->branch[i]->r.call;
        call->failures = 0;
        call->unsent = 0;
        if (call->serial == 0) {
            call->count = 0;
            call->due_ms = 0;
        }
    }
    if (tx->r.asking != NULL) { /* that is over: it keeps nobody stalled */
        tx->r.asking->failures = 0;
    }
}

static void do_decide(etx__core *core,
                      etx__entry *entry,
                      const etx__todo *todo,
                      const etx__now *now) {
    int commit = todo->decide - 1;
    etx__record_results(core, entry,
                        entry->tx->s.mode == ETX_RESUMED ? ETX__RECORD_ALL
                        : commit                         ? ETX__RECORD_FOR_COMMIT
                                                         : ETX__RECORD_BYTES,
                        0);
    etx_record *record = etx__record_next(core, ETX_RECORD_DECIDE, etx__gid_of(entry));
    if (todo->reason != NULL) {
        record->u.decide.reason = (etx_bytes){todo->reason, strlen(todo->reason)};
    }
    record->u.decide.time_ms = now->wall_ms;
    record->u.decide.commit = (uint8_t)commit;
    int want = operations_follow(entry->tx, commit) || entry->tx->r.waiters != NULL;
    int rc = etx__append(core, entry, record, 1, want);
    etx_assert(rc == 0);
    etx__attempts_restart(entry->tx);
}

/* 0: not yet, there is no room for what callbacks that have not returned keep. */
static int do_end(etx__core *core, etx__entry *entry, const etx__now *now) {
    if (entry->tx->r.running > 0 && etx__body_lend_gid(core, entry) != 0) {
        return 0;
    }
    etx_record *record = etx__record_next(core, ETX_RECORD_END, etx__gid_of(entry));
    record->u.end.time_ms = now->wall_ms;
    record->u.end.ended_no = core->ended_last + 1;
    etx__waiter *waiters = entry->tx->r.waiters;
    entry->tx->r.waiters = NULL;
    int rc = etx__append(core, entry, record, 0, 0);
    etx_assert(rc == 0);
    while (waiters != NULL) {
        etx__waiter *waiter = waiters;
        waiters = waiter->next;
        etx__answer(core, waiter, waiter->rc, entry);
    }
    return 1;
}

static void tell_unregistered(etx__core *core, etx__entry *entry, const etx__todo *todo) {
    etx__tx *tx = entry->tx;
    if (todo->unregistered && !tx->r.unregistered) {
        etx__tell(core, ETX_EVENT_UNREGISTERED, entry, todo->missing, NULL,
                  "waits for a participant that is not registered");
    }
    tx->r.unregistered = todo->unregistered;
}

void etx__settle(etx__core *core, etx__entry *entry, const etx__now *now) {
    etx__todo todo;
    if (!core->started || entry->tx == NULL) {
        return;
    }
    etx__next(core, entry, now, &todo);
    if (todo.decide != 0) {
        do_decide(core, entry, &todo, now);
        /* Nothing is done before that is durable: what has a time until then are calls that are
         * out. */
        todo.wake_ms = UINT64_MAX;
        if (entry->tx->r.calls > 0) {
            etx__next(core, entry, now, &todo);
        }
    }
    if (entry->rests_on <= core->durable) {
        if (todo.end && do_end(core, entry, now)) {
            return;
        }
        if (todo.end) {
            etx__wake_at(&todo, now->mono_ms + core->options.working_ms);
        }
        uint64_t refused = answer_waiters(core, entry);
        tell_unregistered(core, entry, &todo);
        etx__call_out(core, entry, &todo, now);
        if (refused != 0) {
            queue_for_refused(core, entry, refused);
        }
    }
    if (entry->rests_on > core->durable) {
        queue_for_durable(core, entry);
    }
    etx__timer_set(core, entry->tx, todo.wake_ms);
}

/* ---- events that concern no single transaction */

/* Is there room in the outputs for all that one more transaction may bring? In empty ones there
 * is. */
static int room_for(const etx__out *out, const etx__tx *tx) {
    uint32_t most = tx->s.branch_count + 8u;
    etx_assert(most <= ETX__OUT_MAX);
    return out->record_count + most <= ETX__OUT_MAX && out->call_count + most <= ETX__OUT_MAX &&
           out->told_count + most <= ETX__OUT_MAX;
}

/* May this one be dealt with in this step too? The first always may. */
static int may_add(etx__out *out, const etx__tx *tx, const etx__event *event) {
    uint64_t need = tx->image_size + (tx->s.branch_count + 4ull) * event->u.durable.each;
    int first = out->room_used == 0;
    etx_assert(need > 0);
    int fits = event->u.durable.room == 0 || out->room_used + need <= event->u.durable.room;
    if (!first && !(fits && room_for(out, tx))) {
        out->more = 1;
        return 0;
    }
    out->room_used += need;
    return 1;
}

/* What will be settled next was touched before hundreds of others: it is brought near meanwhile.
 * In line, since what only prefetches is left out by the compiler as a call without effect. */
static inline __attribute__((always_inline)) void prefetch_undurable(const etx__core *core) {
    enum { LINE = 64, LINES = 12 }; /* of a transaction of three branches */
    uint32_t first = core->list[ETX__UNDURABLE].first;
    if (first != 0) {
        uintptr_t tx = (uintptr_t)core->entry[first - 1].tx;
        for (unsigned i = 0; i < LINES; i++) {
            __builtin_prefetch((const void *)(tx + i * LINE), 1);
        }
    }
}

static void on_durable(etx__core *core, const etx__event *event) {
    etx_assert(event->u.durable.seq <= core->seq);
    if (event->u.durable.seq > core->durable) {
        core->durable = event->u.durable.seq;
    }
    answer_absent(core);
    while (core->list[ETX__UNDURABLE].first != 0) {
        etx__entry *entry = &core->entry[core->list[ETX__UNDURABLE].first - 1];
        if (entry->tx->r.queued_seq > core->durable) {
            return;
        }
        if (!may_add(core->out, entry->tx, event)) {
            return;
        }
        etx__list_remove(core, ETX__UNDURABLE, entry->tx);
        prefetch_undurable(core);
        etx__settle(core, entry, &event->now);
    }
}

static void clock_stepped(etx__core *core, const etx__event *event) {
    enum { GRACE_MS = 5000 };
    int64_t before = core->offset_ms;
    core->offset_ms = (int64_t)event->now.wall_ms - (int64_t)event->now.mono_ms;
    if (!core->offset_known) {
        core->offset_known = 1;
        return;
    }
    for (uint32_t link = core->oldest; link != 0; link = core->entry[link - 1].newer) {
        etx__tx *tx = core->entry[link - 1].tx;
        if (tx == NULL || tx->s.deadline_ms == 0) {
            continue;
        }
        int was_over = (int64_t)tx->s.deadline_ms - before <= (int64_t)event->now.mono_ms;
        if (!was_over && etx__deadline_over(core, tx, &event->now)) {
            tx->r.grace_ms = event->now.mono_ms + GRACE_MS;
        }
        etx__timer_set(core, tx, event->now.mono_ms);
    }
    etx__tell(core, ETX_EVENT_CLOCK_STEPPED, NULL, NULL, NULL,
              "the clock stepped: deadlines that it would end have a grace period");
}

static void clock_watch(etx__core *core, const etx__event *event) {
    int64_t offset = (int64_t)event->now.wall_ms - (int64_t)event->now.mono_ms;
    int64_t step = offset - core->offset_ms;
    if (!core->offset_known || step > 1000 || step < -1000) {
        clock_stepped(core, event);
    }
}

static void on_tick(etx__core *core, const etx__event *event) {
    if (core->timer_count == 0 || core->timer[0].due_ms > event->now.mono_ms) {
        return;
    }
    etx__entry *entry = &core->entry[core->timer[0].entry];
    etx__timer_set(core, entry->tx, UINT64_MAX);
    etx__on_silence(core, entry, &event->now);
    etx__settle(core, entry, &event->now);
    core->out->more = core->timer_count > 0 && core->timer[0].due_ms <= event->now.mono_ms;
}

static void on_flush(etx__core *core, const etx__event *event) {
    etx__history_age(core, event->now.wall_ms);
    while (core->list[ETX__DIRTY].first != 0) {
        etx__entry *entry = &core->entry[core->list[ETX__DIRTY].first - 1];
        if (!may_add(core->out, entry->tx, event)) {
            return;
        }
        etx__list_remove(core, ETX__DIRTY, entry->tx);
        etx__record_results(core, entry, ETX__RECORD_ALL, 0);
        if (entry->rests_on > core->durable) {
            queue_for_durable(core, entry);
        }
    }
}

static void on_registered(etx__core *core, const etx__event *event) {
    etx__policy_set(core, event->u.registered.place, event->u.registered.policy);
    if (!core->started) {
        return; /* on_recovered looks at all of them once */
    }
    for (uint32_t link = core->oldest; link != 0; link = core->entry[link - 1].newer) {
        etx__tx *tx = core->entry[link - 1].tx;
        if (tx != NULL) {
            etx__body_resolve(core, tx);
        }
        if (tx != NULL && tx->r.unregistered) {
            etx__timer_set(core, tx, event->now.mono_ms);
        }
    }
}

static void on_recovered(etx__core *core, const etx__event *event) {
    core->started = 1;
    core->own_slot = event->u.recovered.slot;
    core->durable = core->seq;
    for (uint32_t link = core->oldest; link != 0; link = core->entry[link - 1].newer) {
        etx__tx *tx = core->entry[link - 1].tx;
        if (tx == NULL) {
            continue;
        }
        etx__body_resolve(core, tx);
        tx->r.run_no = core->own_slot << 20;
        tx->r.silent_ms = event->now.mono_ms + tx->s.resume_ms;
        if (!core->options.inspect) {
            etx__timer_set(core, tx, event->now.mono_ms);
        }
    }
}

static void on_forget(etx__core *core, const etx__event *event) {
    int rc = event->u.forget.rc;
    core->started = 0;
    while (core->absent_first != NULL) {
        etx__waiter *waiter = core->absent_first;
        core->absent_first = waiter->next;
        etx__answer(core, waiter, rc, NULL);
    }
    core->absent_last = NULL;
    for (uint32_t link = core->oldest; link != 0; link = core->entry[link - 1].newer) {
        etx__entry *entry = &core->entry[link - 1];
        while (entry->tx != NULL && entry->tx->r.waiters != NULL) {
            etx__waiter *waiter = entry->tx->r.waiters;
            entry->tx->r.waiters = waiter->next;
            etx__answer(core, waiter, rc, entry);
        }
    }
}

/* The BEGIN was never written, and nothing was done of it: as if it had not been asked. */
static void on_give_up(etx__core *core, const etx__event *event) {
    etx__entry *entry = etx__entry_find(core, event->gid, event->hash);
    if (entry == NULL || entry->tx == NULL) {
        return;
    }
    etx__tx *tx = entry->tx;
    etx_assert(tx->r.running == 0 && tx->r.calls == 0);
    while (tx->r.waiters != NULL) {
        etx__waiter *waiter = tx->r.waiters;
        tx->r.waiters = waiter->next;
        etx__answer(core, waiter, event->u.forget.rc, NULL);
    }
    etx__body_bury(core, entry);
    etx__entry_forget(core, entry);
}

/* Rewrites what stands before seq, the oldest first. One whose records are not durable yet is
 * left for later. */
static void on_move(etx__core *core, const etx__event *event) {
    enum { MOVES = 64 };
    for (int i = 0; i < MOVES && core->oldest != 0; i++) {
        etx__entry *entry = &core->entry[core->oldest - 1];
        if (entry->first_seq >= event->u.move.seq || entry->last_seq > core->durable) {
            return;
        }
        etx_record *record = etx__record_next(core, ETX_RECORD_MOVE, etx__gid_of(entry));
        etx__core_image(core, entry, core->image_branch, core->image_progress, record);
        int rc = etx__append(core, entry, record, 0, 0);
        etx_assert(rc == 0);
        if (entry->tx != NULL) {
            break; /* its image fills the room */
        }
    }
    core->out->more =
        core->oldest != 0 && core->entry[core->oldest - 1].first_seq < event->u.move.seq;
}

/* ---- the step */

static void free_buried(etx__core *core) {
    while (core->buried != NULL) {
        etx__tx *tx = core->buried;
        core->buried = tx->buried_next;
        etx__body_free(core, tx);
    }
}

static void dispatch(etx__core *core, const etx__event *event) {
    switch (event->type) {
        case ETX__EV_BEGIN:
        case ETX__EV_ENLIST:
        case ETX__EV_RESULT:
        case ETX__EV_HOLD:
        case ETX__EV_COMMIT:
        case ETX__EV_ABORT:
        case ETX__EV_WAIT:
            etx__on_command(core, event);
            return;
        case ETX__EV_RETRY:
        case ETX__EV_PARK:
        case ETX__EV_UNPARK:
        case ETX__EV_FORCE:
            etx__on_operator(core, event);
            return;
        case ETX__EV_REPLY:
            etx__on_reply(core, event);
            return;
        case ETX__EV_DURABLE:
            on_durable(core, event);
            return;
        case ETX__EV_TICK:
            on_tick(core, event);
            return;
        case ETX__EV_FLUSH:
            on_flush(core, event);
            return;
        case ETX__EV_REGISTERED:
            on_registered(core, event);
            return;
        case ETX__EV_GIVE_UP:
            on_give_up(core, event);
            return;
        case ETX__EV_MOVE:
            on_move(core, event);
            return;
        case ETX__EV_RECOVERED:
            on_recovered(core, event);
            return;
        case ETX__EV_FORGET:
            on_forget(core, event);
            return;
    }
}

const etx__out *etx__core_step(etx__core *core, const etx__event *event) {
    etx__out *out = core->out;
    out->record_count = 0;
    out->call_count = 0;
    out->told_count = 0;
    out->silent = 0;
    out->room_used = 0;
    out->want = 0;
    out->more = 0;
    out->answered = NULL;
    out->why = NULL;
    free_buried(core);
    etx__history_trim(core);
    clock_watch(core, event);
    dispatch(core, event);
    out->wake_ms = etx__timer_next(core);
    return out;
}
