/* `etx tx submit`, `commit` and `abort`: what an initiator does, at a server. */
#include <errno.h>
#include <string.h>

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
    OUTCOME_EXITS,
    1,
    1,
};

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static int print_outcome(cli_context *cli, const tx_options *options, const json_t *answer) {
    const char *state = text_of(answer, "state");
    const char *reason = text_of(answer, "reason");
    if (options->json) {
        etx__out_line(cli->out, json_deep_copy(answer));
    } else {
        fprintf(cli->out, "%s: %s%s%s\n", text_of(answer, "gid"), state,
                reason[0] != '\0' ? ": " : "", reason);
    }
    return strcmp(state, "ABORTED") == 0 || strcmp(state, "ABORTING") == 0 ? CLI_NO : CLI_OK;
}

static int post(cli_context *cli,
                const tx_options *options,
                const char *gid,
                const char *more,
                json_t *body) {
    tx_client *client = NULL;
    const json_t *answer = NULL;
    int code = etx__tx_open(cli, options, 1, &client);
    int rc;
    if (code != CLI_OK) {
        json_decref(body);
        return code;
    }
    rc = etx__tx_server_post(client, gid, more, body, &answer);
    code = rc == 0 ? print_outcome(cli, options, answer)
                   : etx__tx_fail(cli, client, gid[0] != '\0' ? gid : NULL, rc);
    client->ops->close(client);
    return code;
}

int etx__command_tx_submit(cli_context *cli, int argc, char **argv) {
    tx_options options = {0};
    cli_args args;
    json_error_t error;
    json_t *body;
    FILE *file;
    int code = etx__cli_parse(cli, &submit_command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    file = strcmp(args.values[0], "-") == 0 ? stdin : fopen(args.values[0], "re");
    if (file == NULL) {
        return etx__cli_fail(cli, NULL, "%s: %s", args.values[0], strerror(errno));
    }
    body = json_loadf(file, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (file != stdin) {
        fclose(file);
    }
    if (body == NULL) {
        return etx__cli_fail(cli, "a transaction is one JSON object", "%s:%d: %s", args.values[0],
                             error.line, error.text);
    }
    return post(cli, &options, "", "", body);
}

static int decide(cli_context *cli,
                  const cli_command *command,
                  const char *more,
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
    return post(cli, &options, args.values[0], more, json_object());
}

int etx__command_tx_commit(cli_context *cli, int argc, char **argv) {
    return decide(cli, &commit_command, "/commit", argc, argv);
}

int etx__command_tx_abort(cli_context *cli, int argc, char **argv) {
    return decide(cli, &abort_command, "/abort", argc, argv);
}
