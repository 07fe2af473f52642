/* `etx tx list`: which transactions there are. */
#include "tx_command.h"

enum { LIMIT = 100, PAGE = 500 };

typedef struct list_run {
    cli_context *cli;
    int json;
    uint64_t shown;
    uint64_t now_ms;
} list_run;

static const cli_option options_table[] = {
    TX_OPTION_HOME(TX_LOOK_HELP),
    TX_OPTIONS_FILTER,
    {"ended", 'e', CLI_FLAG, offsetof(tx_options, ended), NULL,
     "also ended ones that are still remembered, without their branches", 0, 0},
    {"limit", 'n', CLI_NUMBER, offsetof(tx_options, limit), "N", "at most so many (default 100)", 1,
     0},
    TX_OPTION_JSON,
    TX_OPTIONS_END,
};

static const cli_command command = {
    "(--server URL | --home URL) [filters] [--limit N] [--json]",
    "Lists transactions that are not ended, or those that the filters find. All filters must fit.\n"
    "What is stalled or unregistered only the running program knows (a server: --stalled; its\n"
    "monitor, etx_list); in a log, --older-than and --participant find it.",
    options_table,
    "  etx tx list --home file:/var/lib/shop/etx\n"
    "  etx tx list --home file:/var/lib/shop/etx --state ABORTING --participant bank\n"
    "  etx tx list --home file:/var/lib/shop/etx --older-than 1h --json | jq -r .gid\n",
    "  0  listed, also if there was none\n"
    "  2  bad usage; no log there, or damaged; it cannot be reached\n",
    0,
    0,
};

static int print_status(const etx_status *status, void *user) {
    list_run *run = user;
    FILE *to = run->cli->out;
    char marks[96];
    char age[16];
    if (run->json) {
        etx__out_line(to, etx__tx_status_json(status));
        run->shown++;
        return 0;
    }
    if (run->shown++ == 0) {
        fprintf(to, "%s%-10s  %-8s  %3s  %-20s  %s%s\n", etx__cli_color(run->cli, CLI_BOLD),
                "STATE", "AGE", "BR", "MARKS", "GID", etx__cli_color(run->cli, CLI_PLAIN));
    }
    etx__tx_marks(status->marks, marks, sizeof marks);
    etx__cli_span(run->now_ms > status->begin_ms ? run->now_ms - status->begin_ms : 0, age,
                  sizeof age);
    fprintf(to, "%-10s  %-8s  %3u  %-20s  %s\n", etx_state_name(status->state), age,
            status->branch_count, marks[0] != '\0' ? marks : "-", status->gid);
    return 0;
}

static int list_all(list_run *run, tx_client *client, const etx_filter *filter, uint64_t limit) {
    etx_cursor cursor = {{0, 0}};
    do {
        uint64_t left = limit - run->shown;
        int rc = client->ops->list(client, filter, &cursor, (uint32_t)(left < PAGE ? left : PAGE),
                                   print_status, run);
        if (rc != 0) {
            return etx__tx_fail(run->cli, client, NULL, rc);
        }
    } while ((cursor.word[0] != 0 || cursor.word[1] != 0) && run->shown < limit);
    if (!run->json && run->shown == 0) {
        fputs("No transaction matches.\n", run->cli->out);
    } else if (cursor.word[0] != 0 || cursor.word[1] != 0) {
        fprintf(run->json ? run->cli->err : run->cli->out, "There may be more: --limit %llu\n",
                (unsigned long long)limit * 10);
    }
    return CLI_OK;
}

int etx__command_tx_list(cli_context *cli, int argc, char **argv) {
    tx_options options = {.limit = LIMIT};
    list_run run = {.cli = cli, .now_ms = etx__cli_now_ms()};
    tx_client *client = NULL;
    etx_filter filter;
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    run.json = options.json;
    code = etx__tx_filter(cli, &options, &filter);
    if (code == CLI_OK) {
        code = etx__tx_open(cli, &options, 0, &client);
    }
    if (code == CLI_OK) {
        code = list_all(&run, client, &filter, options.limit);
        client->ops->close(client);
    }
    return code;
}
