/* The trace: one line for each thing that a step brought. */
#include "world.h"

#include <inttypes.h>
#include <string.h>

static void text(FILE *to, const char *name, etx_bytes bytes) {
    if (bytes.len > 0) {
        fprintf(to, " %s=\"%.*s\"", name, (int)bytes.len, (const char *)bytes.data);
    }
}

static void branches(FILE *to, const etx_record_branch *branch, uint16_t count) {
    for (uint16_t i = 0; i < count; i++) {
        fprintf(to, " %.*s:%s", (int)branch[i].name.len, (const char *)branch[i].name.data,
                etx_kind_name((etx_kind)branch[i].kind));
        for (uint16_t d = 0; d < branch[i].depends_on_count; d++) {
            fprintf(to, "%c%u", d == 0 ? '@' : ',', branch[i].depends_on[d]);
        }
    }
}

static const char *branch_name(const world *w, etx_bytes gid, uint16_t place) {
    const etx__entry *entry = etx__core_find(w->core, gid, etx__core_hash(gid));
    if (entry == NULL || entry->tx == NULL || place >= entry->tx->s.branch_count) {
        return "?";
    }
    return (const char *)entry->tx->branch[place]->s.name;
}

static const char *operation(const world *w, etx_bytes gid, uint16_t place, uint8_t number) {
    const etx__entry *entry = etx__core_find(w->core, gid, etx__core_hash(gid));
    if (entry == NULL || entry->tx == NULL || place >= entry->tx->s.branch_count) {
        return "?";
    }
    return etx_operation_name((etx_kind)entry->tx->branch[place]->s.kind, (etx_operation)number);
}

static void begin(FILE *to, const etx_record_begin *begin) {
    fprintf(to, " %s", etx_mode_name((etx_mode)begin->mode));
    if (begin->deadline_ms != 0) {
        fprintf(to, " deadline=%" PRIu64, begin->deadline_ms - 1000000);
    }
    text(to, "initiator", begin->initiator);
    branches(to, begin->branches, begin->branch_count);
}

static void move(FILE *to, const etx_record_move *move) {
    fprintf(to, " %s", etx_state_name((etx_state)move->state));
    branches(to, move->begin.branches, move->begin.branch_count);
    if (move->ended_no != 0) {
        fprintf(to, " ended no %" PRIu64, move->ended_no);
    }
}

void trace_record(FILE *to, const world *w, const etx_record *record) {
    const etx_record_result *result = &record->u.result;
    const etx_record_force *force = &record->u.force;
    static const char *const actions[] = {"?", "park", "resume", "settle"};
    fprintf(to, "%s %.*s", etx_record_name(record->type), (int)record->gid.len,
            (const char *)record->gid.data);
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_BEGIN:
            begin(to, &record->u.begin);
            break;
        case ETX_RECORD_ENLIST:
            branches(to, &record->u.enlist.branch, 1);
            break;
        case ETX_RECORD_RESULT:
            fprintf(to, " %s %s %s", branch_name(w, record->gid, result->branch),
                    operation(w, record->gid, result->branch, result->operation),
                    etx_reply_name((etx_reply)result->reply));
            text(to, "bytes", result->bytes);
            break;
        case ETX_RECORD_DECIDE:
            fprintf(to, " %s%s", record->u.decide.commit ? "commit" : "abort",
                    record->u.decide.marks & ETX_MARK_FORCED ? " forced" : "");
            text(to, "reason", record->u.decide.reason);
            break;
        case ETX_RECORD_FORCE:
            fprintf(to, " %s", actions[force->action & 3]);
            if (force->action == ETX_FORCE_SETTLE) {
                fprintf(to, " %s %s", branch_name(w, record->gid, force->branch),
                        operation(w, record->gid, force->branch, force->operation));
            }
            break;
        case ETX_RECORD_MOVE:
            move(to, &record->u.move);
            break;
        case ETX_RECORD_END:
            fprintf(to, " no %" PRIu64, record->u.end.ended_no);
            break;
        case ETX_RECORD_OWN:
        case ETX_RECORD_LOSS:
        case ETX_RECORD_HELD:
            break;
    }
    fputc('\n', to);
}

void trace_call(FILE *to, const etx__call *call, uint32_t rests_on) {
    const char *name = call->operation == ETX_QUERY ? "query" : "resume";
    if (call->branch != NULL) {
        name = etx_operation_name((etx_kind)call->branch->s.kind, (etx_operation)call->operation);
    }
    fprintf(to, "    call %s %s/%s (attempt %u, rests on %u)", name, call->gid,
            call->branch != NULL ? (const char *)call->branch->s.name : "-", call->attempt,
            rests_on);
    if (call->operation == ETX_RESUME) {
        fprintf(to, " run %" PRIu64 ".%u", call->run_no >> 20, (unsigned)(call->run_no & 0xfffff));
    }
    for (uint32_t i = 0; call->results != NULL && i < call->results->count; i++) {
        const struct etx__given *given = &call->results->item[i];
        fprintf(to, " given %s=\"%.*s\"", given->name, (int)given->bytes.len,
                given->bytes.len > 0 ? (const char *)given->bytes.data : "");
    }
    fputc('\n', to);
}

void trace_told(FILE *to, const world *w, const etx__told *told) {
    const etx__entry *entry = told->entry != ETX__NOBODY ? &w->core->entry[told->entry] : NULL;
    fprintf(to, "    told %s %s", etx_event_name((etx_event_type)told->type),
            entry != NULL ? (const char *)entry->gid : "");
    if (told->branch != NULL) {
        fprintf(to, "/%s", (const char *)told->branch->s.name);
    }
    fprintf(to, " \"%s\"\n", told->reason);
}

static void marks(FILE *to, const etx__entry *entry) {
    static const char *const names[] = {"forced", "parked", "held", "never-begun", "chosen"};
    for (unsigned i = 0; i < 5; i++) {
        if (entry->marks & (1u << i)) {
            fprintf(to, " %s", names[i]);
        }
    }
    if (entry->tx != NULL && entry->tx->r.stalled) {
        fprintf(to, " stalled");
    }
    if (entry->tx != NULL && entry->tx->r.unregistered) {
        fprintf(to, " unregistered");
    }
}

void trace_answer(FILE *to, const world *w, const world_waiter *waiter) {
    const etx__entry *entry =
        waiter->waiter.entry != ETX__NOBODY ? &w->core->entry[waiter->waiter.entry] : NULL;
    int rc = waiter->waiter.rc;
    fprintf(to, "    answer %s: %s", waiter->label,
            rc > 0 ? etx_reply_name((etx_reply)rc) : etx_error_name(rc));
    if (entry != NULL && entry->gid != NULL) {
        fprintf(to, " %s", etx_state_name((etx_state)entry->state));
        marks(to, entry);
    }
    fputc('\n', to);
}

void trace_entry(FILE *to, const world *w, const etx__entry *entry) {
    (void)w;
    fprintf(to, "    %s %s", (const char *)entry->gid, etx_state_name((etx_state)entry->state));
    marks(to, entry);
    if (entry->tx == NULL) {
        fprintf(to, " ended no %" PRIu64 "\n", entry->ended_no);
        return;
    }
    for (uint16_t i = 0; i < entry->tx->s.branch_count; i++) {
        const etx__branch *branch = entry->tx->branch[i];
        fprintf(to, " %s", (const char *)branch->s.name);
        if (branch->s.forward != 0) {
            fprintf(to, " forward=%s", etx_reply_name((etx_reply)branch->s.forward));
        }
        if (branch->s.finish != 0) {
            fprintf(to, " finish=%s", etx_reply_name((etx_reply)branch->s.finish));
        }
    }
    fputc('\n', to);
}
