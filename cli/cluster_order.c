/* `etx cluster move` and `drain`: tells a server what is wanted, and waits until it is so. */
#include <string.h>
#include <time.h>

#include "server.h"

enum { PAUSE_MS = 50 };

typedef struct order_options {
    const char *server;
    const char *to;
    const char *home;
    uint64_t wait_ms;
    int undo;
    int json;
} order_options;

#define SERVER_OPTION                                                                         \
    {                                                                                         \
        "server", 'S', CLI_TEXT, offsetof(order_options, server), "URL",                      \
            "the server etxd (default: $ETX_SERVER, else\nhttp://127.0.0.1:7830); its token " \
            "is $ETX_TOKEN",                                                                  \
            0, 0                                                                              \
    }
#define WAIT_OPTION                                                                           \
    {                                                                                         \
        "wait", 'w', CLI_TIME, offsetof(order_options, wait_ms), "TIME",                      \
            "how long to wait until it is done (default 20s; 0: only\ntell the server)", 0, 0 \
    }
#define JSON_OPTION \
    { "json", 'j', CLI_FLAG, offsetof(order_options, json), NULL, "one JSON object", 0, 0 }

static const cli_option move_options[] = {
    {"to", 't', CLI_TEXT, offsetof(order_options, to), "NODE", "the node that is to have it", 0, 0},
    {"home", 'H', CLI_TEXT, offsetof(order_options, home), "ID",
     "the home whose partition it is, where several are shared", 0, 0},
    SERVER_OPTION,
    WAIT_OPTION,
    JSON_OPTION,
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command move_command = {
    "PARTITION --to NODE [--home ID] [--server URL] [--wait TIME] [--json]",
    "Has a node take a partition, and the node that has it hand it over: what is in flight goes "
    "on\n"
    "there. Any server may be asked. The node keeps it, whatever its share is, and hands another\n"
    "one over instead, until it ends, is drained, or the partition is moved on.",
    move_options,
    "  etx cluster move 3 --to b\n"
    "  etx cluster move 3 --to b --server https://etx.example:7830 --wait 1m\n",
    "  0  that node has it\n"
    "  1  it has been told, and the time is over: 'etx cluster partitions' tells who has it\n"
    "  2  bad usage; no such partition or node; a server cannot be reached, or does not allow it\n",
    1,
    1,
};

static const cli_option drain_options[] = {
    {"undo", 'u', CLI_FLAG, offsetof(order_options, undo), NULL,
     "it takes its share again: ask that node itself", 0, 0},
    SERVER_OPTION,
    WAIT_OPTION,
    JSON_OPTION,
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command drain_command = {
    "NODE [--undo] [--server URL] [--wait TIME] [--json]",
    "Has a node hand over all of its partitions and take none, while it goes on serving: it asks\n"
    "the nodes that have them, and new transactions are begun there. So it is until --undo, or\n"
    "until it ends: one that starts anew takes its share. A drained node is not among the nodes "
    "of\n"
    "'etx cluster status': for --undo name its own --server.",
    drain_options,
    "  etx cluster drain b\n"
    "  etx cluster drain b --undo --server http://etx-b.example:7830\n",
    "  0  it has no partition any more; or, with --undo, takes its share\n"
    "  1  it has been told, and the time is over: 'etx cluster partitions' tells what it has\n"
    "  2  bad usage; no such node; no other could take over; a server cannot be reached, or does "
    "not\n"
    "     allow it\n",
    1,
    1,
};

/* ---- asking */

static int fail(cli_context *cli, server *from, int rc) {
    const char *message = etx__server_message(from);
    return etx__cli_fail(cli, etx__server_hint(from, NULL), "%s",
                         message[0] != '\0' ? message : etx_strerror(rc));
}

/* Is it as it was wanted to be? */
typedef int (*done_fn)(const json_t *homes, const void *what);

/* Asks until it is so, or the time is over. CLI_OK, CLI_NO, or another exit code. */
static int wait_until(cli_context *cli,
                      server *from,
                      uint64_t wait_ms,
                      done_fn done,
                      const void *what) {
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    uint64_t until_ms = etx__cli_now_ms() + wait_ms;
    const json_t *answer = NULL;
    int rc;
    while ((rc = etx__server_ask(from, "/v1/cluster", NULL, &answer)) == 0) {
        if (done(json_object_get(answer, "homes"), what)) {
            return CLI_OK;
        }
        if (etx__cli_now_ms() >= until_ms) {
            return CLI_NO;
        }
        if (cli->stop != NULL && *cli->stop) {
            return CLI_INTERRUPTED;
        }
        nanosleep(&pause, NULL);
    }
    return fail(cli, from, rc);
}

/* Sends the order (a reference is taken). *ret_answer is the caller's to release. CLI_OK or an exit
 * code. */
static int order(cli_context *cli,
                 server *to,
                 const char *path,
                 json_t *body,
                 json_t **ret_answer) {
    const json_t *answer = NULL;
    int rc = etx__server_ask(to, path, body, &answer);
    if (rc != 0) {
        return fail(cli, to, rc);
    }
    *ret_answer = json_deep_copy(answer);
    return *ret_answer != NULL ? CLI_OK : etx__cli_fail(cli, NULL, "out of memory");
}

static void print_answer(cli_context *cli, json_t *answer, int code) {
    json_object_set_new(answer, "done", json_boolean(code == CLI_OK));
    etx__out_line(cli->out, json_incref(answer));
}

/* ---- move */

static int is_there(const json_t *homes, const void *what) {
    const json_t *order = what;
    const json_t *home;
    size_t i;
    json_array_foreach(homes, i, home) {
        size_t number = (size_t)json_integer_value(json_object_get(order, "partition"));
        const json_t *row = json_array_get(json_object_get(home, "partitions"), number);
        if (strcmp(etx__server_word(home, "id"), etx__server_word(order, "home")) == 0) {
            return strcmp(etx__server_word(row, "node"), etx__server_word(order, "to")) == 0;
        }
    }
    return 0;
}

static int move(cli_context *cli, const order_options *options, uint64_t number) {
    json_t *body = json_pack("{s:I,s:s}", "partition", (json_int_t)number, "to", options->to);
    json_t *answer = NULL;
    server *to = NULL;
    int code = etx__server_open(cli, options->server, &to);
    if (code != CLI_OK) {
        json_decref(body);
        return code;
    }
    if (options->home != NULL) {
        etx__out_text(body, "home", options->home);
    }
    code = order(cli, to, "/v1/cluster/move", body, &answer);
    if (code == CLI_OK) {
        code = wait_until(cli, to, options->wait_ms, is_there, answer);
    }
    if (answer != NULL && options->json) {
        print_answer(cli, answer, code);
    } else if (code == CLI_OK) {
        fprintf(cli->out, "partition %llu is with node %s\n", (unsigned long long)number,
                options->to);
    } else if (code == CLI_NO) {
        fprintf(cli->out, "partition %llu is not with node %s yet\n", (unsigned long long)number,
                options->to);
    }
    json_decref(answer);
    etx__server_close(to);
    return code;
}

int etx__command_cluster_move(cli_context *cli, int argc, char **argv) {
    order_options options = {.wait_ms = 20000};
    cli_args args;
    uint64_t number = 0;
    int code = etx__cli_parse(cli, &move_command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (etx__cli_number(args.values[0], &number) != 0 || number > UINT32_MAX) {
        return etx__cli_fail(cli, "'etx cluster partitions' lists them", "'%s' is no partition",
                             args.values[0]);
    }
    if (options.to == NULL) {
        return etx__cli_fail(cli, "'etx cluster status' lists the nodes",
                             "--to NODE: which node is to have it?");
    }
    if (etx_name_check(options.to, strlen(options.to)) != 0) {
        return etx__cli_fail(cli, "'etx cluster status' lists the nodes",
                             "--to '%s': no node has such a name", options.to);
    }
    return move(cli, &options, number);
}

/* ---- drain */

typedef struct drain_what {
    const char *node;
    int undo;
} drain_what;

static int is_drained(const json_t *homes, const void *user) {
    const drain_what *what = user;
    const json_t *home, *row;
    size_t i, j;
    int has = 0;
    json_array_foreach(homes, i, home) {
        json_array_foreach(json_object_get(home, "partitions"), j, row) {
            has |= json_is_true(json_object_get(home, "shared")) &&
                   strcmp(etx__server_word(row, "node"), what->node) == 0;
        }
    }
    return has == what->undo;
}

static const char *say_drained(int undo, int done) {
    if (undo) {
        return done ? "takes its share again" : "has no partition yet";
    }
    return done ? "has no partition any more" : "has partitions still";
}

int etx__command_cluster_drain(cli_context *cli, int argc, char **argv) {
    order_options options = {.wait_ms = 20000};
    cli_args args;
    drain_what what;
    json_t *answer = NULL;
    server *to = NULL;
    int code = etx__cli_parse(cli, &drain_command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    what = (drain_what){args.values[0], options.undo > 0};
    code = etx__server_open(cli, options.server, &to);
    if (code != CLI_OK) {
        return code;
    }
    code = order(cli, to, "/v1/cluster/drain",
                 json_pack("{s:s,s:b}", "node", what.node, "undo", what.undo), &answer);
    if (code == CLI_OK) {
        code = wait_until(cli, to, options.wait_ms, is_drained, &what);
    }
    if (answer != NULL && options.json) {
        print_answer(cli, answer, code);
    } else if (code == CLI_OK || code == CLI_NO) {
        fprintf(cli->out, "node %s %s\n", what.node, say_drained(what.undo, code == CLI_OK));
    }
    json_decref(answer);
    etx__server_close(to);
    return code;
}
