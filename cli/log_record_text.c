/* Records as text: one line each, and one more for each branch. */
#include <string.h>

#include "envelope.h"
#include "log_record.h"

enum { PAYLOAD_SHOWN = 72 };

const char *etx__record_operation(unsigned operation) {
    static const char *const names[] = {"forward", "commit", "undo", "query", "resume"};
    return operation < sizeof names / sizeof names[0] ? names[operation] : "?";
}

const char *etx__record_force(unsigned action) {
    static const char *const names[] = {"?", "park", "resume", "settle"};
    return action < sizeof names / sizeof names[0] ? names[action] : "?";
}

static void print_moment(FILE *to, const char *before, uint64_t ms) {
    char text[40];
    etx__cli_moment(ms, text, sizeof text);
    fprintf(to, "%s%s", before, text);
}

static void print_text(FILE *to, const char *before, etx_bytes bytes) {
    if (bytes.len > 0) {
        fputs(before, to);
        etx__cli_bytes(to, bytes, ETX_REASON_MAX);
    }
}

static void print_payload(FILE *to, etx_kind kind, etx_bytes participant, etx_bytes payload) {
    if (!etx__envelope_print(to, kind, participant, payload, PAYLOAD_SHOWN)) {
        etx__cli_bytes(to, payload, PAYLOAD_SHOWN);
    }
}

static void print_branch(FILE *to,
                         unsigned place,
                         const etx_record_branch *branch,
                         const etx_record_progress *progress) {
    unsigned i;
    fprintf(to, "\n      branch %u '", place);
    etx__cli_name(to, branch->name);
    fputs("' of ", to);
    etx__cli_name(to, branch->participant);
    fprintf(to, " (%s)", etx_kind_name((etx_kind)branch->kind));
    for (i = 0; i < branch->depends_on_count; i++) {
        fprintf(to, "%s%u", i == 0 ? ", after " : " ", branch->depends_on[i]);
    }
    if (branch->flags & ETX_BY_INITIATOR) {
        fputs(", by the initiator", to);
    }
    if (progress != NULL && progress->forward != 0) {
        fprintf(to, ", forward %s", etx_reply_name((etx_reply)progress->forward));
    }
    if (progress != NULL && progress->finish != 0) {
        fprintf(to, ", finished %s", etx_reply_name((etx_reply)progress->finish));
    }
    if (progress != NULL && progress->settled != 0) {
        fputs(", settled by hand", to);
    }
    if (branch->payload.len > 0) {
        fputs(": ", to);
        print_payload(to, (etx_kind)branch->kind, branch->participant, branch->payload);
    }
}

static void print_begin(FILE *to,
                        const etx_record_begin *begin,
                        const etx_record_progress *progress) {
    unsigned i;
    fprintf(to, " %s, %u branch%s", etx_mode_name((etx_mode)begin->mode), begin->branch_count,
            begin->branch_count == 1 ? "" : "es");
    print_moment(to, ", begun ", begin->time_ms);
    if (begin->deadline_ms != 0) {
        print_moment(to, ", deadline ", begin->deadline_ms);
    }
    print_text(to, ", initiator ", begin->initiator);
    if (begin->initiator_payload.len > 0) {
        fputs(" (", to);
        print_payload(to, (etx_kind)0, begin->initiator, begin->initiator_payload);
        fputs(")", to);
    }
    for (i = 0; i < begin->branch_count; i++) {
        print_branch(to, i, &begin->branches[i], progress != NULL ? &progress[i] : NULL);
    }
}

static void print_move(FILE *to, const etx_record_move *move) {
    fprintf(to, " %s", etx_state_name((etx_state)move->state));
    if (move->marks & ETX_MARK_PARKED) {
        fputs(", parked", to);
    }
    if (move->marks & ETX_MARK_FORCED) {
        fputs(", forced", to);
    }
    if (move->ended_ms != 0) {
        print_moment(to, ", ended ", move->ended_ms);
    }
    print_text(to, ", reason: ", move->reason);
    fputc(',', to);
    print_begin(to, &move->begin, move->progress);
}

static void print_decide(FILE *to, const etx_record_decide *decide) {
    fputs(decide->commit ? " commit" : " abort", to);
    if (decide->marks & ETX_MARK_NEVER_BEGUN) {
        fputs(", never begun", to);
    }
    print_moment(to, ", ", decide->time_ms);
    print_text(to, ", forced by ", decide->who);
    print_text(to, ", reason: ", decide->reason);
}

static void print_result(FILE *to, const etx_record_result *result) {
    fprintf(to, " branch %u %s %s", result->branch, etx__record_operation(result->operation),
            etx_reply_name((etx_reply)result->reply));
    if (result->bytes.len > 0) {
        fputs(": ", to);
        etx__cli_bytes(to, result->bytes, PAYLOAD_SHOWN);
    }
}

static void print_force(FILE *to, const etx_record_force *force) {
    fprintf(to, " %s", etx__record_force(force->action));
    if (force->action == ETX_FORCE_SETTLE) {
        fprintf(to, " branch %u %s", force->branch, etx__record_operation(force->operation));
    }
    print_moment(to, ", ", force->time_ms);
    print_text(to, ", by ", force->who);
    print_text(to, ": ", force->why);
}

static void print_own(FILE *to, const etx_record_own *own) {
    fprintf(to, " nonce %016llx", (unsigned long long)own->nonce);
    print_text(to, ", node ", own->node);
    print_moment(to, ", ", own->time_ms);
    print_text(to, ", chosen gids at ", own->chosen_home);
}

static void print_loss(FILE *to, const etx_record_loss *loss) {
    fputs(" accepted", to);
    print_moment(to, ", ", loss->time_ms);
    print_text(to, ", by ", loss->who);
    print_text(to, ": ", loss->why);
}

void etx__record_text(cli_context *cli, const log_place *place, const etx_record *record) {
    FILE *to = cli->out;
    fprintf(to, "%u/%-6llu %s%-6s%s ", place->partition, (unsigned long long)place->slot,
            etx__cli_color(cli, CLI_BOLD), etx_record_name(record->type),
            etx__cli_color(cli, CLI_PLAIN));
    if (record->gid.len > 0) {
        etx__cli_name(to, record->gid);
    }
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
            print_own(to, &record->u.own);
            break;
        case ETX_RECORD_BEGIN:
            print_begin(to, &record->u.begin, NULL);
            break;
        case ETX_RECORD_ENLIST:
            print_branch(to, 0, &record->u.enlist.branch, NULL);
            break;
        case ETX_RECORD_HELD:
            break;
        case ETX_RECORD_RESULT:
            print_result(to, &record->u.result);
            break;
        case ETX_RECORD_DECIDE:
            print_decide(to, &record->u.decide);
            break;
        case ETX_RECORD_FORCE:
            print_force(to, &record->u.force);
            break;
        case ETX_RECORD_MOVE:
            print_move(to, &record->u.move);
            break;
        case ETX_RECORD_END:
            print_moment(to, " ", record->u.end.time_ms);
            break;
        case ETX_RECORD_LOSS:
            print_loss(to, &record->u.loss);
            break;
    }
    fputc('\n', to);
}
