/* `etx tx`: its subcommands, and what they share. */
#include "tx_command.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const cli_entry commands[] = {
    {"list", etx__command_tx_list, "List transactions, with filters"},
    {"show", etx__command_tx_show, "Show one transaction and its branches"},
#ifdef ETX_WITH_SERVER
    {"submit", etx__command_tx_submit, "Submit a transaction to a server"},
    {"begin", etx__command_tx_begin, "Begin one there that is committed later"},
    {"commit", etx__command_tx_commit, "Commit what was begun at a server"},
    {"abort", etx__command_tx_abort, "Abort what was begun at a server"},
    {"watch", etx__command_tx_watch, "Show a server's events as they happen"},
#endif
    {"retry", etx__command_tx_retry, "Call now what would be called later"},
    {"park", etx__command_tx_park, "Stop calling participants until resumed"},
    {"resume", etx__command_tx_resume, "Take a park back"},
    {"force", etx__command_tx_force, "Decide, or settle an operation by hand"},
    {NULL, NULL, NULL},
};

static const cli_group group = {
    "Looks at transactions and operates on them: those of a server etxd that runs (--server), or "
    "of\n"
    "a log (--home). A log can be looked at whoever has it open, as it is at that moment; to\n"
    "operate, no process may have it open. A program that runs libetx has the same functions in\n"
    "<etx/operate.h>. What is stalled (calls keep failing) or unregistered (a participant is\n"
    "missing) only the running program knows (etx_list); a log does not hold it.",
    commands,
    "  etx tx list --server http://127.0.0.1:7830\n"
    "  etx tx list --home file:/var/lib/shop/etx --older-than 5m\n"
    "  etx tx show 0a1b2c --home file:/var/lib/shop/etx\n"
    "  etx tx park 0a1b2c --home file:/var/lib/shop/etx --why 'the bank is down until Monday'\n",
};

/* Stalled and unregistered are what a running process met, and in no log. */
static const struct {
    uint32_t mark;
    const char *name;
} mark_names[] = {
    {ETX_MARK_FORCED, "forced"},
    {ETX_MARK_PARKED, "parked"},
    {ETX_MARK_HELD, "held"},
    {ETX_MARK_NEVER_BEGUN, "never-begun"},
    {ETX_MARK_CHOSEN, "chosen"},
    {ETX_MARK_STALLED, "stalled"},
    {ETX_MARK_UNREGISTERED, "unregistered"},
    {ETX_MARK_ENDED, "ended"},
};

int etx__command_tx(cli_context *cli, int argc, char **argv) {
    return etx__cli_dispatch(cli, &group, argc, argv);
}

#ifdef ETX_WITH_SERVER
static int open_server(cli_context *cli, const tx_options *options, tx_client **ret_client) {
    return etx__tx_open_server(cli, options->server, ret_client);
}
#else
static int open_server(cli_context *cli, const tx_options *options, tx_client **ret_client) {
    (void)options;
    (void)ret_client;
    return etx__cli_fail(cli, "add --home URL, as the program that runs the transactions has it",
                         "which log?");
}
#endif

int etx__tx_open(cli_context *cli, const tx_options *options, int operate, tx_client **ret_client) {
    if (options->home != NULL && options->server != NULL) {
        return etx__cli_fail(cli, "a log, or a server that runs",
                             "--home and --server do not go together");
    }
    if (options->home != NULL && options->stalled) {
        return etx__cli_fail(cli, "ask the server (--server), or look with --older-than",
                             "--stalled: a log does not hold what a running program met");
    }
    return options->home != NULL ? etx__tx_open_local(cli, options->home, operate, ret_client)
                                 : open_server(cli, options, ret_client);
}

int etx__tx_check_gid(cli_context *cli, const char *gid) {
    return etx_gid_check(gid, strlen(gid)) == 0
               ? CLI_OK
               : etx__cli_fail(cli, "1 to 128 printable characters without space", "'%s' is no gid",
                               gid);
}

int etx__tx_fail(cli_context *cli, tx_client *client, const char *gid, int rc) {
    char message[900] = "";
    const char *hint = client->ops->hint != NULL ? client->ops->hint(client) : NULL;
    client->ops->message(client, message, sizeof message);
    if (hint != NULL) {
        return etx__cli_fail(cli, hint, "%s", message);
    }
    if (strstr(message, etx_strerror(rc)) != NULL) {
        message[0] = '\0'; /* it says no more than the code does */
    }
    (void)etx__cli_fail(cli, message[0] != '\0' ? message : NULL, "%s%s%s (%s)",
                        gid != NULL ? gid : "", gid != NULL ? ": " : "", etx_strerror(rc),
                        etx_error_name(rc));
    return rc == ETX_ENOTFOUND || rc == ETX_EGONE || rc == ETX_ESTATE ? CLI_NO : CLI_BAD;
}

static const char *state_name_at(const void *table, size_t place) {
    (void)table;
    return place < ETX_ABORTED ? etx_state_name((etx_state)(place + 1)) : NULL;
}

/* Adds the bit of one state; 0 or -1. */
static int add_state(const char *word, uint32_t *states) {
    size_t i;
    const char *name;
    for (i = 0; (name = state_name_at(NULL, i)) != NULL; i++) {
        if (strcasecmp(word, name) == 0) {
            *states |= 1U << (i + 1);
            return 0;
        }
    }
    return -1;
}

static int parse_states(cli_context *cli, const char *text, uint32_t *states) {
    while (*text != '\0') {
        char word[24];
        size_t len = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), text);
        if (add_state(word, states) != 0) {
            return etx__cli_fail(cli, "states are ACTIVE, COMMITTING, COMMITTED, ABORTING, ABORTED",
                                 "--state: '%s' is none", word);
        }
        text += len + (text[len] == ',');
    }
    return CLI_OK;
}

static int parse_kind(cli_context *cli, const char *text, etx_kind *ret_kind) {
    static const etx_kind kinds[] = {ETX_TCC, ETX_SAGA, ETX_XA, ETX_MESSAGE, ETX_NOTIFICATION};
    size_t i;
    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(text, etx_kind_name(kinds[i])) == 0) {
            *ret_kind = kinds[i];
            return CLI_OK;
        }
    }
    return etx__cli_fail(cli, "kinds are tcc, saga, xa, message, notification",
                         "--kind: '%s' is none", text);
}

int etx__tx_filter(cli_context *cli, const tx_options *options, etx_filter *ret_filter) {
    etx_filter filter = ETX_FILTER_INIT;
    if (options->state != NULL && parse_states(cli, options->state, &filter.states) != CLI_OK) {
        return CLI_BAD;
    }
    if (options->kind != NULL && parse_kind(cli, options->kind, &filter.kind) != CLI_OK) {
        return CLI_BAD;
    }
    if (options->ended && (options->kind != NULL || options->participant != NULL)) {
        return etx__cli_fail(cli, "leave one of them out",
                             "--ended with %s would not find ended ones: their branches are not "
                             "remembered",
                             options->kind != NULL ? "--kind" : "--participant");
    }
    filter.marks =
        (options->parked ? ETX_MARK_PARKED : 0U) | (options->stalled ? ETX_MARK_STALLED : 0U);
    filter.participant = options->participant;
    filter.gid_prefix = options->prefix;
    if (options->older_ms != 0) {
        uint64_t now = etx__cli_now_ms();
        filter.begun_before_ms = now > options->older_ms ? now - options->older_ms : 1;
    }
    filter.remembered =
        options->ended || (filter.states & (1U << ETX_COMMITTED | 1U << ETX_ABORTED)) != 0;
    *ret_filter = filter;
    return CLI_OK;
}

void etx__tx_marks(uint32_t marks, char *text, size_t size) {
    size_t at = 0;
    size_t i;
    text[0] = '\0';
    for (i = 0; i < sizeof mark_names / sizeof mark_names[0]; i++) {
        if ((marks & mark_names[i].mark) != 0 && at < size) {
            at += (size_t)snprintf(text + at, size - at, "%s%s", at > 0 ? "," : "",
                                   mark_names[i].name);
        }
    }
}

void etx__tx_reason(FILE *to, const char *before, const char *reason) {
    if (reason[0] != '\0') {
        fputs(before, to);
        etx__cli_bytes(to, (etx_bytes){reason, strlen(reason)}, ETX_REASON_MAX);
    }
}

json_t *etx__tx_status_json(const etx_status *status) {
    json_t *object = json_object();
    json_t *marks = json_array();
    size_t i;
    etx__out_text(object, "gid", status->gid);
    etx__out_text(object, "state", etx_state_name(status->state));
    for (i = 0; i < sizeof mark_names / sizeof mark_names[0]; i++) {
        if ((status->marks & mark_names[i].mark) != 0) {
            json_array_append_new(marks, json_string(mark_names[i].name));
        }
    }
    json_object_set_new(object, "marks", marks);
    if (status->mode != 0) {
        etx__out_text(object, "mode", etx_mode_name(status->mode));
    }
    etx__out_text(object, "durability", etx_durability_name(status->durability));
    etx__out_text(object, "home", status->home);
    etx__out_number(object, "partition", status->partition);
    etx__out_number(object, "begin_ms", status->begin_ms);
    etx__out_number(object, "deadline_ms", status->deadline_ms);
    if ((status->marks & ETX_MARK_ENDED) == 0 || status->decided_ms != 0) { /* it is known */
        etx__out_number(object, "decided_ms", status->decided_ms);
    }
    etx__out_number(object, "ended_ms", status->ended_ms);
    etx__out_number(object, "branches_count", status->branch_count);
    etx__out_text(object, "reason", status->reason);
    return object;
}
