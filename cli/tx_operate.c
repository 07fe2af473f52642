/* `etx tx retry`, `park` and `resume`: of one transaction, or of all that filters find. */
#include "tx_explain.h"

#include <string.h>

static const cli_option retry_options[] = {
    TX_OPTION_HOME(TX_OPERATE_HELP),
    TX_OPTIONS_FILTER,
    TX_OPTION_ALL,
    {"rate", 'r', CLI_NUMBER, offsetof(tx_options, rate), "N",
     "at most so many a second (default 100)", 1, UINT32_MAX},
    TX_OPTIONS_END,
};

static const cli_option record_options[] = {
    TX_OPTION_HOME(TX_OPERATE_HELP),
    TX_OPTION_WHO,
    TX_OPTION_WHY,
    TX_OPTIONS_FILTER,
    TX_OPTION_ALL,
    {"rate", 'r', CLI_NUMBER, offsetof(tx_options, rate), "N",
     "at most so many a second (default 100)", 1, UINT32_MAX},
    TX_OPTIONS_END,
};

static const cli_command retry_command = {
    "(GID | filters | --all) (--server URL | --home file:DIR|URL) [--rate N]",
    "Has a server call now what it would call later. On a log only checks that the transactions\n"
    "are there, not ended or parked: nobody has it open, so nobody calls, and nothing is recorded. "
    "The\n"
    "program calls all that is due as soon as it starts; while it runs, its own etx_retry and\n"
    "etx_bulk_operate hurry it.",
    retry_options,
    "  etx tx retry order-17 --home file:/var/lib/shop/etx\n"
    "  etx tx retry --participant bank --home file:/var/lib/shop/etx\n",
    TX_EXITS,
    0,
    1,
};

static const cli_command park_command = {
    "(GID | filters | --all) (--server URL | --home URL) --why TEXT [options]",
    "Parks transactions: their participants are not called until they are resumed. Nothing is\n"
    "dropped and no decision changes; but a deadline counts all the same: what is not decided by\n"
    "then is decided abort, and undone once it is resumed. Who and why are recorded.",
    record_options,
    "  etx tx park order-17 --home file:/var/lib/shop/etx --why 'ledger under repair'\n"
    "  etx tx park --participant bank --home file:/var/lib/shop/etx --why 'bank is down'\n",
    TX_EXITS,
    0,
    1,
};

static const cli_command resume_command = {
    "(GID | filters | --all) (--server URL | --home URL) --why TEXT [options]",
    "Takes a park back: participants are called again, once the program starts.",
    record_options,
    "  etx tx resume order-17 --home file:/var/lib/shop/etx --why 'ledger is well'\n"
    "  etx tx resume --parked --home file:/var/lib/shop/etx --why 'bank is back' --rate 20\n",
    TX_EXITS,
    0,
    1,
};

static int has_filter(const tx_options *options) {
    return options->all || options->parked || options->stalled || options->kind != NULL ||
           options->state != NULL || options->participant != NULL || options->prefix != NULL ||
           options->older_ms != 0;
}

/* An empty one would find all, as a variable does that was never set. */
static int check_filter(cli_context *cli, const char *name, const char *value) {
    return value == NULL || value[0] != '\0'
               ? CLI_OK
               : etx__cli_fail(cli, "for all: --all", "--%s: a value is needed", name);
}

static int check_filters(cli_context *cli, const tx_options *options) {
    return check_filter(cli, "state", options->state) == CLI_OK &&
                   check_filter(cli, "participant", options->participant) == CLI_OK &&
                   check_filter(cli, "prefix", options->prefix) == CLI_OK
               ? CLI_OK
               : CLI_BAD;
}

static const char *name_done(etx_bulk what) {
    switch (what) {
        case ETX_BULK_RETRY:
            return "will be called";
        case ETX_BULK_PARK:
            return "parked";
        case ETX_BULK_RESUME:
            return "resumed";
    }
    return "?";
}

static int operate_one(cli_context *cli,
                       tx_client *client,
                       etx_bulk what,
                       const char *gid,
                       const tx_options *options) {
    int rc = client->ops->operate(client, what, gid, options->who, options->why);
    if (rc != 0) {
        const tx_attempt attempt = {what == ETX_BULK_RETRY  ? TX_RETRY
                                    : what == ETX_BULK_PARK ? TX_PARK
                                                            : TX_RESUME,
                                    NULL, ETX_FORWARD};
        return etx__tx_explain(cli, client, gid, &attempt, rc);
    }
    fprintf(cli->out, "%s: %s\n", gid, name_done(what));
    return CLI_OK;
}

static int operate_many(cli_context *cli,
                        tx_client *client,
                        etx_bulk what,
                        const tx_options *options) {
    etx_filter filter;
    uint64_t count = 0;
    int rc;
    if (etx__tx_filter(cli, options, &filter) != CLI_OK) {
        return CLI_BAD;
    }
    rc = client->ops->bulk(client, what, &filter, (uint32_t)options->rate, options->who,
                           options->why, &count);
    fprintf(cli->out, "%llu transaction%s: %s\n", (unsigned long long)count, count == 1 ? "" : "s",
            name_done(what));
    return rc != 0 ? etx__tx_fail(cli, client, NULL, rc) : CLI_OK;
}

static int run_operation(cli_context *cli,
                         const cli_command *command,
                         etx_bulk what,
                         int argc,
                         char **argv) {
    tx_options options = {0};
    tx_client *client = NULL;
    cli_args args;
    int code = etx__cli_parse(cli, command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (check_filters(cli, &options) != CLI_OK) {
        return CLI_BAD;
    }
    if ((args.count == 1) == has_filter(&options)) {
        return etx__cli_fail(
            cli, "name one GID, or filters such as --parked, or --all",
            args.count == 1 ? "a GID and filters do not go together" : "which transactions?");
    }
    if (args.count == 1 && etx__tx_check_gid(cli, args.values[0]) != CLI_OK) {
        return CLI_BAD;
    }
    if (what != ETX_BULK_RETRY && etx__cli_who(cli, &options.who, options.why) != CLI_OK) {
        return CLI_BAD;
    }
    code = etx__tx_open(cli, &options, 1, &client);
    if (code != CLI_OK) {
        return code;
    }
    code = args.count == 1 ? operate_one(cli, client, what, args.values[0], &options)
                           : operate_many(cli, client, what, &options);
    client->ops->close(client);
    return code;
}

int etx__command_tx_retry(cli_context *cli, int argc, char **argv) {
    return run_operation(cli, &retry_command, ETX_BULK_RETRY, argc, argv);
}

int etx__command_tx_park(cli_context *cli, int argc, char **argv) {
    return run_operation(cli, &park_command, ETX_BULK_PARK, argc, argv);
}

int etx__command_tx_resume(cli_context *cli, int argc, char **argv) {
    return run_operation(cli, &resume_command, ETX_BULK_RESUME, argc, argv);
}
