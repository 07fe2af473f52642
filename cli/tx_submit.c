/* `etx tx submit`, `begin`, `commit` and `abort`: what an initiator does, at a server. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "server.h"
#include "tx_command.h"

static const cli_option options_table[] = {
    TX_ROW("server", 'S', CLI_TEXT, server, "URL", TX_SERVER_HELP),
    {"json", 'j', CLI_FLAG, offsetof(tx_options, json), NULL, "one JSON object", 0, 0},
    TX_OPTIONS_END,
};

#define OUTCOME_EXITS                                                   \
    "  0  committed, or not yet decided\n"                              \
    "  1  aborted; or no such transaction, not possible in its state\n" \
    "  2  bad usage; refused; the server cannot be reached\n"

static const cli_command submit_command = {
    "FILE [--server URL] [--json]",
    "Submits the transaction that a file of JSON describes ('-': the standard input), as\n"
    "POST /v1/transactions takes it, and prints what became of it. With \"mode\": \"interactive\"\n"
    "it is begun, and waits for 'etx tx commit'.",
    options_table,
    "  etx tx submit transfer.json\n"
    "  echo '{\"branches\": [{\"kind\": \"tcc\", \"url\": \"http://localhost:8001\"}]}' |\n"
    "    etx tx submit -\n",
    OUTCOME_EXITS,
    1,
    1,
};

typedef struct begin_options {
    tx_options all;
    const char *gid;
    uint64_t deadline_ms;
} begin_options;

static const cli_option begin_table[] = {
    {"gid", 'g', CLI_TEXT, offsetof(begin_options, gid), "GID", "its gid (default: one is made)", 0,
     0},
    {"deadline", 'd', CLI_TIME, offsetof(begin_options, deadline_ms), "TIME",
     "it is aborted if it is not committed by then", 1, 0},
    {"server", 'S', CLI_TEXT, offsetof(begin_options, all.server), "URL", TX_SERVER_HELP, 0, 0},
    {"json", 'j', CLI_FLAG, offsetof(begin_options, all.json), NULL, "one JSON object", 0, 0},
    TX_OPTIONS_END,
};

static const cli_command begin_command = {
    "[FILE] [--gid GID] [--deadline TIME] [--server URL] [--json]",
    "Begins an interactive transaction and prints its gid. It waits for 'etx tx commit' or "
    "'abort',\n"
    "and meanwhile for branches that join it (POST /v1/transactions/GID/branches); or begins with\n"
    "those of a file of JSON, as 'etx tx submit' takes it.",
    begin_table,
    "  gid=$(etx tx begin --deadline 1m)\n"
    "  etx tx begin transfer.json --gid order-17\n",
    "  0  begun, also if it was already\n"
    "  1  it is decided already\n"
    "  2  bad usage; refused; the server cannot be reached\n",
    0,
    1,
};

static const cli_command commit_command = {
    "GID [--server URL] [--json]",
    "Commits a transaction that was begun and not submitted.",
    options_table,
    "  etx tx commit order-17\n",
    OUTCOME_EXITS,
    1,
    1,
};

static const cli_command abort_command = {
    "GID [--server URL] [--json]",
    "Aborts a transaction, also one that nobody has begun: a late begin is then refused.",
    options_table,
    "  etx tx abort order-17\n",
    "  0  aborted\n"
    "  1  committed, or not yet decided; or no such transaction, not possible in its state\n"
    "  2  bad usage; refused; the server cannot be reached\n",
    1,
    1,
};

static int print_outcome(cli_context *cli, const tx_options *options, const json_t *answer) {
    const char *state = etx__server_word(answer, "state");
    if (options->json) {
        etx__out_line(cli->out, json_deep_copy(answer));
    } else {
        fprintf(cli->out, "%s: %s", etx__server_word(answer, "gid"), state);
        etx__tx_reason(cli->out, ": ", etx__server_word(answer, "reason"));
        fputc('\n', cli->out);
    }
    return strcmp(state, "ABORTED") == 0 || strcmp(state, "ABORTING") == 0 ? CLI_NO : CLI_OK;
}

/* Of who wanted it aborted. */
static int print_aborted(cli_context *cli, const tx_options *options, const json_t *answer) {
    return print_outcome(cli, options, answer) == CLI_NO ? CLI_OK : CLI_NO;
}

typedef int (*print_fn)(cli_context *cli, const tx_options *options, const json_t *answer);

static int print_begun(cli_context *cli, const tx_options *options, const json_t *answer) {
    if (options->json) {
        return print_outcome(cli, options, answer);
    }
    fprintf(cli->out, "%s\n", etx__server_word(answer, "gid"));
    return strcmp(etx__server_word(answer, "state"), "ACTIVE") == 0 ? CLI_OK : CLI_NO;
}

/* Takes the text. */
static int post(cli_context *cli,
                const tx_options *options,
                const char *gid,
                const char *more,
                char *body,
                print_fn print) {
    tx_client *client = NULL;
    const json_t *answer = NULL;
    int code = etx__tx_open(cli, options, 1, &client);
    int rc;
    if (code != CLI_OK) {
        free(body);
        return code;
    }
    rc = etx__tx_server_post(client, gid, more, body, &answer);
    code = rc == 0 ? print(cli, options, answer)
                   : etx__tx_fail(cli, client, gid[0] != '\0' ? gid : NULL, rc);
    free(body);
    client->ops->close(client);
    return code;
}

/* ---- the file: it is sent as it is, since a participant gets its payload byte for byte */

/* All of it, ended by a 0; NULL: errno says why. */
static char *read_all(FILE *file) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    char piece[16384];
    size_t got;
    int failed;
    if (to == NULL) {
        return NULL;
    }
    while ((got = fread(piece, 1, sizeof piece, file)) > 0) {
        fwrite(piece, 1, got, to);
    }
    failed = ferror(file);
    if (fclose(to) != 0 || failed || strlen(text) != len) {
        errno = failed ? errno : EINVAL; /* a NUL is in no JSON */
        free(text);
        return NULL;
    }
    return text;
}

/* The transaction that a file describes, or "-". NULL: it has been said why. */
static char *read_file(cli_context *cli, const char *path) {
    json_error_t error;
    json_t *body;
    char *text;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    text = file != NULL ? read_all(file) : NULL;
    if (text == NULL) {
        (void)etx__cli_fail(cli, NULL, "%s: %s", path, strerror(errno));
    }
    if (file != NULL && file != stdin) {
        fclose(file);
    }
    if (text == NULL) {
        return NULL;
    }
    body =
        json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    /* A number that is too large for us may be none for a participant. */
    if (!json_is_object(body) && (body != NULL || strchr(text, '{') == NULL ||
                                  json_error_code(&error) != json_error_numeric_overflow)) {
        (void)etx__cli_fail(cli, "a transaction is one JSON object", "%s:%d: %s", path,
                            body == NULL ? error.line : 1,
                            body == NULL ? error.text : "it is no object");
        free(text);
        text = NULL;
    }
    json_decref(body);
    return text;
}

/* The object with these members in the place of its own: the others stay as they are written. */
static char *with_members(const char *text, const json_t *members) {
    char *head = json_dumps(members, JSON_COMPACT);
    const char *at = etx__json_inside(etx__json_text(text));
    char *all = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&all, &len);
    json_text name, value;
    if (to == NULL || head == NULL) {
        abort();
    }
    fwrite(head, 1, strlen(head) - 1, to);
    while (etx__json_next(&at, &name, &value)) {
        if (name.len >= 2 && json_object_getn(members, name.at + 1, name.len - 2) == NULL) {
            fprintf(to, ",%.*s:%.*s", (int)name.len, name.at, (int)value.len, value.at);
        }
    }
    fputc('}', to);
    fclose(to);
    free(head);
    return all;
}

int etx__command_tx_submit(cli_context *cli, int argc, char **argv) {
    tx_options options = {0};
    cli_args args;
    char *body;
    int code = etx__cli_parse(cli, &submit_command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    body = read_file(cli, args.values[0]);
    return body != NULL ? post(cli, &options, "", "", body, print_outcome) : CLI_BAD;
}

int etx__command_tx_begin(cli_context *cli, int argc, char **argv) {
    begin_options options = {0};
    cli_args args;
    json_t *members;
    char *text, *body;
    int code = etx__cli_parse(cli, &begin_command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (options.gid != NULL && etx__tx_check_gid(cli, options.gid) != CLI_OK) {
        return CLI_BAD;
    }
    text = args.count > 0 ? read_file(cli, args.values[0]) : strdup("{}");
    if (text == NULL) {
        return CLI_BAD;
    }
    members = json_object();
    etx__out_text(members, "wait", "begun");
    if (etx__json_member(etx__json_text(text), "mode").at == NULL) {
        etx__out_text(members, "mode", "interactive");
    }
    if (options.gid != NULL) {
        etx__out_text(members, "gid", options.gid);
    }
    if (options.deadline_ms != 0) {
        etx__out_number(members, "deadline_ms", options.deadline_ms);
    }
    body = with_members(text, members);
    json_decref(members);
    free(text);
    return post(cli, &options.all, "", "", body, print_begun);
}

static int decide(cli_context *cli,
                  const cli_command *command,
                  const char *more,
                  print_fn print,
                  int argc,
                  char **argv) {
    tx_options options = {0};
    cli_args args;
    int code = etx__cli_parse(cli, command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (etx__tx_check_gid(cli, args.values[0]) != CLI_OK) {
        return CLI_BAD;
    }
    return post(cli, &options, args.values[0], more, strdup("{}"), print);
}

int etx__command_tx_commit(cli_context *cli, int argc, char **argv) {
    return decide(cli, &commit_command, "/commit", print_outcome, argc, argv);
}

int etx__command_tx_abort(cli_context *cli, int argc, char **argv) {
    return decide(cli, &abort_command, "/abort", print_aborted, argc, argv);
}
