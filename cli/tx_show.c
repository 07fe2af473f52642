/* `etx tx show`: one transaction and its branches. */
#include <string.h>

#include "tx_command.h"

typedef struct show_run {
    cli_context *cli;
    json_t *branches; /* both: one of each branch; printed behind the head */
} show_run;

static const cli_option options_table[] = {
    TX_OPTION_HOME(TX_LOOK_HELP),
    {"json", 'j', CLI_FLAG, offsetof(tx_options, json), NULL, "one JSON object", 0, 0},
    TX_OPTIONS_END,
};

static const cli_command command = {
    "GID (--server URL | --home URL) [--json]",
    "Shows one transaction: its state, what was decided and why, and how far each branch is.",
    options_table,
    "  etx tx show order-17 --home file:/var/lib/shop/etx\n"
    "  etx log show /var/lib/shop/etx --gid order-17      the same as its records tell it\n",
    "  0  shown\n"
    "  1  no such transaction: not known, or older than what is remembered\n"
    "  2  bad usage; no log there, or damaged; it cannot be reached\n",
    1,
    1,
};

static void set_reply(json_t *object, const char *name, etx_reply reply) {
    if (reply == 0) {
        json_object_set_new(object, name, json_null());
    } else {
        etx__out_text(object, name, etx_reply_name(reply));
    }
}

/* The operations that were settled by hand, in the words of the branch's kind. */
static json_t *list_settled(const etx_branch_status *branch) {
    json_t *names = json_array();
    int operation;
    for (operation = ETX_FORWARD; operation <= ETX_UNDO; operation++) {
        if ((branch->settled >> operation & 1) != 0) {
            const char *name = etx_operation_name(branch->kind, (etx_operation)operation);
            json_array_append_new(names, json_string(name));
        }
    }
    return names;
}

static int note_branch(const etx_branch_status *branch, void *user) {
    show_run *run = user;
    json_t *object = json_object();
    etx__out_text(object, "name", branch->name);
    etx__out_text(object, "participant", branch->participant);
    etx__out_text(object, "kind", etx_kind_name(branch->kind));
    etx__out_number(object, "flags", branch->flags);
    set_reply(object, "forward", branch->forward);
    set_reply(object, "finish", branch->finish);
    json_object_set_new(object, "settled", list_settled(branch));
    etx__out_number(object, "attempts", branch->attempts);
    etx__out_number(object, "forward_attempts", branch->forward_attempts);
    etx__out_number(object, "failures", branch->failures);
    json_object_set_new(object, "calling", json_boolean(branch->calling));
    etx__out_bytes(object, "payload", branch->payload);
    etx__out_bytes(object, "result", branch->result);
    etx__out_text(object, "reason", branch->reason != NULL ? branch->reason : "");
    json_array_append_new(run->branches, object);
    return 0;
}

static const char *text_of(const json_t *object, const char *name, const char *otherwise) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : otherwise;
}

static etx_kind find_kind(const char *name) {
    int kind = ETX_TCC;
    while (kind < ETX_NOTIFICATION && strcmp(name, etx_kind_name((etx_kind)kind)) != 0) {
        kind++;
    }
    return (etx_kind)kind;
}

/* What the forward result is where none is recorded of its own: a commit says that all are done;
 * an abort asks for the undo of whatever may have been called, and of nothing else. */
static const char *imply_forward(etx_state state, const json_t *branch) {
    switch (state) {
        case ETX_COMMITTING:
        case ETX_COMMITTED:
            return "done";
        case ETX_ABORTING:
            return "unknown";
        case ETX_ABORTED:
            return text_of(branch, "finish", NULL) != NULL ? "unknown" : "not called";
        case ETX_NONE:
        case ETX_ACTIVE:
            break;
    }
    return "open";
}

static const char *name_finish(etx_kind kind, etx_state state) {
    int commits = state == ETX_COMMITTING || state == ETX_COMMITTED;
    int aborts = state == ETX_ABORTING || state == ETX_ABORTED;
    return commits  ? etx_operation_name(kind, ETX_COMMIT)
           : aborts ? etx_operation_name(kind, ETX_UNDO)
                    : "";
}

/* Where nothing is recorded of an operation that the branch has: what that means in this state. */
static void complete_branches(json_t *branches, etx_state state) {
    const char *open = state == ETX_COMMITTED || state == ETX_ABORTED ? "not needed" : "open";
    size_t i;
    for (i = 0; i < json_array_size(branches); i++) {
        json_t *branch = json_array_get(branches, i);
        etx_kind kind = find_kind(text_of(branch, "kind", ""));
        if (etx_operation_name(kind, ETX_FORWARD)[0] != '\0') {
            etx__out_text(branch, "forward",
                          text_of(branch, "forward", imply_forward(state, branch)));
        }
        if (name_finish(kind, state)[0] != '\0') {
            etx__out_text(branch, "finish", text_of(branch, "finish", open));
        }
    }
}

/* "try done, confirm open", in the words of the branch's kind. */
static void print_progress(FILE *to, etx_state state, const json_t *branch) {
    etx_kind kind = find_kind(text_of(branch, "kind", ""));
    const char *forward = etx_operation_name(kind, ETX_FORWARD);
    const char *finish = name_finish(kind, state);
    if (forward[0] != '\0') {
        fprintf(to, "%s %s", forward, text_of(branch, "forward", "?"));
    }
    if (finish[0] != '\0') {
        fprintf(to, "%s%s %s", forward[0] != '\0' ? ", " : "", finish,
                text_of(branch, "finish", "?"));
    }
    if (forward[0] == '\0' && finish[0] == '\0') {
        fputs("nothing to do", to);
    }
}

/* Calls beyond the first of an operation, in all. */
static void print_attempts(FILE *to, const json_t *branch) {
    json_int_t forward = json_integer_value(json_object_get(branch, "forward_attempts"));
    json_int_t last = json_integer_value(json_object_get(branch, "attempts"));
    json_int_t most = forward > last ? forward : last;
    if (most > 1) {
        fprintf(to, ", %lld attempts", (long long)most);
    }
}

static void print_branches(cli_context *cli, etx_state state, const json_t *branches) {
    size_t i;
    for (i = 0; i < json_array_size(branches); i++) {
        const json_t *branch = json_array_get(branches, i);
        fprintf(cli->out, "  branch %-12s %s (%s): ", text_of(branch, "name", "?"),
                text_of(branch, "participant", "?"), text_of(branch, "kind", "?"));
        print_progress(cli->out, state, branch);
        print_attempts(cli->out, branch);
        if (json_array_size(json_object_get(branch, "settled")) > 0) {
            fputs(", settled by hand", cli->out);
        }
        etx__tx_reason(cli->out, ": ", text_of(branch, "reason", ""));
        fputc('\n', cli->out);
    }
}

static void print_moment(cli_context *cli, const char *name, uint64_t ms) {
    char text[40];
    if (ms != 0) {
        etx__cli_moment(ms, text, sizeof text);
        fprintf(cli->out, "%-11s %s\n", name, text);
    }
}

static void print_parked(cli_context *cli, const tx_parked *parked) {
    if (parked->who[0] != '\0') {
        etx__tx_reason(cli->out, "parked by   ", parked->who);
        etx__tx_reason(cli->out, ": ", parked->why);
        fputc('\n', cli->out);
    }
}

static void add_parked(json_t *object, const tx_parked *parked) {
    if (parked->who[0] != '\0') {
        etx__out_bytes(object, "parked_by", (etx_bytes){parked->who, strlen(parked->who)});
        etx__out_bytes(object, "parked_why", (etx_bytes){parked->why, strlen(parked->why)});
    }
}

static void print_status(cli_context *cli, const etx_status *status) {
    char marks[96];
    etx__tx_marks(status->marks, marks, sizeof marks);
    fprintf(cli->out, "%-11s %s\n%-11s %s%s%s%s%s\n", "gid", status->gid, "state",
            etx__cli_color(cli, CLI_BOLD), etx_state_name(status->state),
            etx__cli_color(cli, CLI_PLAIN), marks[0] != '\0' ? ", " : "", marks);
    fprintf(cli->out, "%-11s %s%s%s, home %s, partition %u\n", "driven",
            status->mode != 0 ? etx_mode_name(status->mode) : "", status->mode != 0 ? ", " : "",
            etx_durability_name(status->durability), status->home, status->partition);
    print_moment(cli, "begun", status->begin_ms);
    print_moment(cli, "deadline", status->deadline_ms);
    print_moment(cli, "decided", status->decided_ms);
    print_moment(cli, "ended", status->ended_ms);
    if (status->reason[0] != '\0') {
        etx__tx_reason(cli->out, "reason      ", status->reason);
        fputc('\n', cli->out);
    }
}

/* What was begun was decided before it ended: when, is known with its branches or not at all. */
static void print_gone(cli_context *cli, const etx_status *status) {
    uint32_t marks = status->marks & (ETX_MARK_ENDED | ETX_MARK_NEVER_BEGUN);
    if (marks == ETX_MARK_ENDED && status->decided_ms == 0) {
        fprintf(cli->out,
                "its branches are not kept any more; its records may still be in the log: etx log "
                "show DIR --gid %s\n",
                status->gid);
    }
}

int etx__command_tx_show(cli_context *cli, int argc, char **argv) {
    tx_options options = {0};
    show_run run = {cli, NULL};
    etx_status status = {.size = sizeof status};
    tx_parked parked = {"", ""};
    tx_client *client = NULL;
    cli_args args;
    int rc;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    code = etx__tx_check_gid(cli, args.values[0]);
    code = code != CLI_OK ? code : etx__tx_open(cli, &options, 0, &client);
    if (code != CLI_OK) {
        return code;
    }
    run.branches = json_array();
    rc = client->ops->show(client, args.values[0], &status, note_branch, &run);
    complete_branches(run.branches, status.state);
    if (rc == 0 && (status.marks & ETX_MARK_PARKED) != 0 && options.home != NULL) {
        etx__tx_parked_by(options.home, &status, &parked);
    }
    if (rc != 0) {
        code = etx__tx_fail(cli, client, args.values[0], rc);
    } else if (options.json) {
        json_t *object = etx__tx_status_json(&status);
        json_object_set(object, "branches", run.branches);
        add_parked(object, &parked);
        etx__out_line(cli->out, object);
    } else {
        print_status(cli, &status);
        print_parked(cli, &parked);
        print_branches(cli, status.state, run.branches);
        print_gone(cli, &status);
    }
    json_decref(run.branches);
    client->ops->close(client);
    return code;
}
