/* `etx cluster`: the nodes that share a home, and who has which partition. */
#include <string.h>

#include "server.h"

typedef struct cluster_options {
    const char *server;
    int json;
} cluster_options;

/* One home of the answer. */
typedef void (*home_fn)(cli_context *cli, const cluster_options *options, const json_t *home);

static const cli_option options_table[] = {
    {"server", 'S', CLI_TEXT, offsetof(cluster_options, server), "URL",
     "the server etxd (default: $ETX_SERVER, else\nhttp://127.0.0.1:7830); its token is $ETX_TOKEN",
     0, 0},
    {"json", 'j', CLI_FLAG, offsetof(cluster_options, json), NULL, "one JSON object a line", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command status_command = {
    "[--server URL] [--json]",
    "Lists the nodes that share a home, as the server that is asked knows them: where each is\n"
    "reached, how many partitions it has, and when it counts as gone unless it is heard of; nodes\n"
    "that are gone, and which homes of their own wait for them; which homes are down, since when\n"
    "and why, and what they do not promise.",
    options_table,
    "  etx cluster status\n"
    "  etx cluster status --server https://etx.example:7830 --json | jq -r .address\n",
    "  0  listed, also if no home is shared\n"
    "  2  bad usage; the server cannot be reached, or does not allow it\n",
    0,
    0,
};

static const cli_command partitions_command = {
    "[--server URL] [--json]",
    "Lists the partitions of each home: which node has it, for how long its lease lasts unless it\n"
    "is renewed, how many transactions are in flight at the server that is asked, and what the\n"
    "store has lost.",
    options_table,
    "  etx cluster partitions\n"
    "  etx cluster partitions --json | jq 'select(.node == \"\")'\n",
    "  0  listed\n"
    "  2  bad usage; the server cannot be reached, or does not allow it\n",
    0,
    0,
};

static const cli_command homes_command = {
    "[--server URL] [--json]",
    "Lists the homes of a server, in order of preference: which one new transactions go to, what "
    "an\n"
    "acknowledged write there survives, how many transactions are in flight there, and since when\n"
    "it is up or down, and why.",
    options_table,
    "  etx homes\n"
    "  etx homes --json | jq -r 'select(.in_use) | .url'\n",
    "  0  listed\n"
    "  2  bad usage; the server cannot be reached, or does not allow it\n",
    0,
    0,
};

static void print_head(cli_context *cli, const char *head) {
    fprintf(cli->out, "%s%s%s\n", etx__cli_color(cli, CLI_BOLD), head,
            etx__cli_color(cli, CLI_PLAIN));
}

static uint64_t number_of(const json_t *object, const char *name) {
    json_int_t number = json_integer_value(json_object_get(object, name));
    return number > 0 ? (uint64_t)number : 0;
}

/* The row, with the home that it is of. */
static void print_object(cli_context *cli, const json_t *home, const json_t *row) {
    json_t *object = json_object();
    json_object_set(object, "home", json_object_get(home, "id"));
    json_object_update(object, (json_t *)row);
    etx__out_line(cli->out, object);
}

/* A word of the server's, "-" for "". */
static void print_word(cli_context *cli, const json_t *row, const char *name, int width) {
    const char *word = etx__server_word(row, name);
    size_t len = strlen(word);
    etx__cli_bytes(cli->out, (etx_bytes){len > 0 ? word : "-", len > 0 ? len : 1}, 255);
    fprintf(cli->out, "%*s  ", len < (size_t)width ? width - (int)(len > 0 ? len : 1) : 0, "");
}

/* ---- nodes */

static uint64_t count_partitions(const json_t *home, const char *node) {
    const json_t *row;
    uint64_t count = 0;
    size_t i;
    json_array_foreach(json_object_get(home, "partitions"), i, row) {
        count += strcmp(etx__server_word(row, "node"), node) == 0;
    }
    return count;
}

/* One that was away at the start, and that nothing is remembered of, has no id yet. */
static void begin_home(cli_context *cli, const json_t *home) {
    const char *id = etx__server_word(home, "id");
    fprintf(cli->out, "home %s%s%s: ", id, id[0] != '\0' ? " " : "", etx__server_word(home, "url"));
}

/* What is wrong with it, and what it does not promise. */
static void print_home(cli_context *cli, const json_t *home) {
    const char *remark = etx__server_word(home, "remark");
    const json_t *row;
    unsigned lost = 0;
    size_t i;
    if (json_is_false(json_object_get(home, "usable"))) {
        char since[40];
        etx__cli_moment(number_of(home, "since_ms"), since, sizeof since);
        begin_home(cli, home);
        fprintf(cli->out, "down since %s: %s\n", since, etx__server_word(home, "why"));
    }
    if (remark[0] != '\0') {
        begin_home(cli, home);
        fprintf(cli->out, "%s\n", remark);
    }
    json_array_foreach(json_object_get(home, "partitions"), i, row) {
        lost += json_is_true(json_object_get(row, "regressed"));
    }
    if (lost > 0) {
        begin_home(cli, home);
        fprintf(cli->out,
                "the store has lost something of %u partition%s: 'etx cluster partitions'\n", lost,
                lost > 1 ? "s" : "");
    }
}

/* Nodes that are missed: what they have at homes of their own waits for them. */
static void print_gone(cli_context *cli, const cluster_options *options, const json_t *home) {
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(home, "gone"), i, row) {
        const json_t *id;
        size_t k;
        if (options->json) {
            json_t *object = json_copy((json_t *)row);
            json_object_set_new(object, "gone", json_true());
            print_object(cli, home, object);
            json_decref(object);
            continue;
        }
        print_word(cli, row, "node", 16);
        print_word(cli, row, "address", 32);
        fprintf(cli->out, "%10d  %-7s  %s\n", 0, "gone", etx__server_word(home, "id"));
        json_array_foreach(json_object_get(row, "homes"), k, id) {
            const char *text = json_string_value(id);
            fprintf(cli->out,
                    "           what is unfinished at its own home %s waits for it: start it "
                    "again, with its directory, unless it was only drained: then ask it there\n",
                    text != NULL ? text : "");
        }
    }
}

static void print_nodes(cli_context *cli, const cluster_options *options, const json_t *home) {
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(home, "nodes"), i, row) {
        uint64_t count = count_partitions(home, etx__server_word(row, "node"));
        const char *remark = etx__server_word(row, "remark");
        char left[16];
        if (options->json) {
            json_t *object = json_copy((json_t *)row);
            etx__out_number(object, "partitions", count);
            print_object(cli, home, object);
            json_decref(object);
            continue;
        }
        print_word(cli, row, "node", 16);
        print_word(cli, row, "address", 32);
        etx__cli_span(number_of(row, "left_ms"), left, sizeof left);
        fprintf(cli->out, "%10llu  %-7s  %s\n", (unsigned long long)count, left,
                etx__server_word(home, "id"));
        if (remark[0] != '\0') {
            fprintf(cli->out, "    %s\n", remark);
        }
    }
    print_gone(cli, options, home);
    if (!options->json) {
        print_home(cli, home);
    }
}

/* ---- partitions */

static void print_partitions(cli_context *cli, const cluster_options *options, const json_t *home) {
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(home, "partitions"), i, row) {
        uint64_t left_ms = number_of(row, "left_ms");
        char left[16] = "-";
        if (options->json) {
            print_object(cli, home, row);
            continue;
        }
        if (left_ms > 0) {
            etx__cli_span(left_ms, left, sizeof left);
        }
        fprintf(cli->out, "%9llu  ", (unsigned long long)number_of(row, "partition"));
        print_word(cli, row, "node", 16);
        fprintf(cli->out, "%-7s  ", left);
        if (json_is_integer(json_object_get(row, "in_flight"))) {
            fprintf(cli->out, "%9llu  ", (unsigned long long)number_of(row, "in_flight"));
        } else {
            fprintf(cli->out, "%9s  ", "-");
        }
        fprintf(cli->out, "%s\n", etx__server_word(home, "id"));
        if (json_is_true(json_object_get(row, "regressed"))) {
            fprintf(cli->out, "           %sregressed%s: %s\n", etx__cli_color(cli, CLI_RED),
                    etx__cli_color(cli, CLI_PLAIN), etx__server_word(row, "why"));
        }
    }
}

/* ---- homes */

static const char *health_of(const json_t *home) {
    if (json_is_true(json_object_get(home, "in_use"))) {
        return "in use";
    }
    return json_is_true(json_object_get(home, "usable")) ? "up" : "down";
}

static void print_home_row(cli_context *cli, const cluster_options *options, const json_t *home) {
    char since[40];
    int down = json_is_false(json_object_get(home, "usable"));
    if (options->json) {
        json_t *object = json_copy((json_t *)home);
        json_object_del(object, "nodes");
        json_object_del(object, "partitions");
        etx__out_line(cli->out, object);
        return;
    }
    etx__cli_moment(number_of(home, "since_ms"), since, sizeof since);
    fprintf(cli->out, "%5llu  ", (unsigned long long)number_of(home, "place"));
    print_word(cli, home, "id", 8);
    fprintf(cli->out, "%s%-6s%s  ", etx__cli_color(cli, down ? CLI_RED : CLI_PLAIN),
            health_of(home), etx__cli_color(cli, CLI_PLAIN));
    print_word(cli, home, "durability", 10);
    fprintf(cli->out, "%9llu  %-24s  %s\n", (unsigned long long)number_of(home, "in_flight"), since,
            etx__server_word(home, "url"));
    for (int i = 0; i < 2; i++) {
        const char *words = etx__server_word(home, i == 0 ? "why" : "remark");
        if (words[0] != '\0') {
            fprintf(cli->out, "       %s\n", words);
        }
    }
}

/* ---- the commands */

static void print_all(cli_context *cli,
                      const cluster_options *options,
                      const char *name,
                      const json_t *homes,
                      home_fn print) {
    const json_t *home;
    size_t i;
    json_array_foreach(homes, i, home) {
        print(cli, options, home);
        if (!options->json && json_is_true(json_object_get(home, "drained"))) {
            fprintf(cli->out,
                    "%s is drained: it takes no partition of %s until 'etx cluster drain --undo'\n",
                    name, etx__server_word(home, "id"));
        }
    }
}

/* All of them ask the same, and show other things of it. */
static int show(cli_context *cli,
                int argc,
                char **argv,
                const cli_command *command,
                const char *head,
                home_fn print) {
    cluster_options options = {NULL, 0};
    cli_args args;
    server *from = NULL;
    const json_t *answer = NULL;
    int rc;
    int code = etx__cli_parse(cli, command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    code = etx__server_open(cli, options.server, &from);
    if (code != CLI_OK) {
        return code;
    }
    rc = etx__server_ask(from, "/v1/cluster", NULL, &answer);
    if (rc != 0) {
        const char *message = etx__server_message(from);
        code = etx__cli_fail(cli, etx__server_hint(from, NULL), "%s",
                             message[0] != '\0' ? message : etx_strerror(rc));
    } else {
        if (!options.json) {
            print_head(cli, head);
        }
        print_all(cli, &options, etx__server_name(from), json_object_get(answer, "homes"), print);
    }
    etx__server_close(from);
    return code;
}

static int status(cli_context *cli, int argc, char **argv) {
    return show(cli, argc, argv, &status_command,
                "NODE              ADDRESS                           PARTITIONS  LEFT     HOME",
                print_nodes);
}

static int partitions(cli_context *cli, int argc, char **argv) {
    return show(cli, argc, argv, &partitions_command,
                "PARTITION  NODE              LEFT     IN FLIGHT  HOME", print_partitions);
}

int etx__command_homes(cli_context *cli, int argc, char **argv) {
    return show(cli, argc, argv, &homes_command,
                "PLACE  ID        STATE   DURABILITY  IN FLIGHT  SINCE                     URL",
                print_home_row);
}

static const cli_entry commands[] = {
    {"status", status, "List the nodes that share a home"},
    {"partitions", partitions, "List which node has which partition"},
    {"move", etx__command_cluster_move, "Have another node take a partition"},
    {"drain", etx__command_cluster_drain, "Have a node give up all of its partitions"},
    {NULL, NULL, NULL},
};

static const cli_group group = {
    "Servers etxd that have the same log share its partitions. These commands ask one of them.",
    commands,
    "  etx cluster status                       who is there, and where\n"
    "  etx cluster partitions --json            who has what\n"
    "  etx cluster drain b                      before node b is upgraded\n",
};

int etx__command_cluster(cli_context *cli, int argc, char **argv) {
    return etx__cli_dispatch(cli, &group, argc, argv);
}
