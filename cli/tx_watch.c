/* `etx tx watch`: the events of a server as they happen, over broken connections and restarts. */
#include <string.h>
#include <time.h>

#include "event_stream.h"
#include "server.h"
#include "tx_command.h"

/* The stream of one transaction is opened first, and then it is asked how far the transaction is:
 * so no event falls between. It is asked again after each break, since events may have been missed
 * ("lost", or the server was started again); a break is made up for by Last-Event-ID. */

enum { PAUSE_FIRST_MS = 100, PAUSE_CAP_MS = 3000 };

typedef struct watch_options {
    const char *server;
    const char *prefix;
    const char *type;
    const char *from;
    uint64_t count;
    uint64_t patience_ms;
    int alarms;
    int json;
} watch_options;

typedef struct watch {
    cli_context *cli;
    watch_options options;
    const char *gid; /* NULL: all */
    server *beside;
    event_stream stream;
    uint64_t told;
    uint64_t heard_ms; /* when the server was last heard of */
    int asks;          /* it is to be asked how far the transaction is */
    int code;          /* of the end, if it is over */
    int over;
} watch;

static const cli_option options_table[] = {
    {"server", 'S', CLI_TEXT, offsetof(watch_options, server), "URL", TX_SERVER_HELP, 0, 0},
    {"prefix", 0, CLI_TEXT, offsetof(watch_options, prefix), "TEXT", "only gids that begin so", 0,
     0},
    {"type", 't', CLI_TEXT, offsetof(watch_options, type), "TYPES",
     "only events of these types: begun, decided, ended,\nstalled...; more with ','", 0, 0},
    {"alarms", 'a', CLI_FLAG, offsetof(watch_options, alarms), NULL, "only what wants a person", 0,
     0},
    {"from", 0, CLI_TEXT, offsetof(watch_options, from), "ID",
     "go on behind the event of this id, as --json told it", 0, 0},
    {"count", 'n', CLI_NUMBER, offsetof(watch_options, count), "N", "end after so many events", 1,
     0},
    {"patience", 0, CLI_TIME, offsetof(watch_options, patience_ms), "TIME",
     "give up when the server cannot be reached for so\nlong (default 1m)", 1, 0},
    {"json", 'j', CLI_FLAG, offsetof(watch_options, json), NULL, "one JSON object a line", 0, 0},
    TX_OPTIONS_END,
};

static const cli_command command = {
    "[GID] [--server URL] [filters] [--count N] [--json]",
    "Shows events of a server etxd as they happen: of one transaction until it has ended, or of\n"
    "all that the filters let through, until --count or Ctrl-C. A connection that breaks is made\n"
    "anew, and goes on behind the last event; 'lost' says that the server no longer has some.",
    options_table,
    "  etx tx watch order-17\n"
    "  etx tx watch --alarms\n"
    "  etx tx watch --prefix order- --type decided,ended --json | jq -r .gid\n",
    "  0  committed; without a GID: --count was reached, or Ctrl-C\n"
    "  1  aborted; or no such transaction\n"
    "  2  bad usage; the server cannot be reached\n"
    "130  Ctrl-C before the transaction ended\n",
    0,
    1,
};

/* ---- one event */

static int has_word(const char *list, const char *word) {
    size_t word_len = strlen(word);
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        if (len == word_len && memcmp(list, word, len) == 0) {
            return 1;
        }
        list += len + (list[len] == ',');
    }
    return 0;
}

static int is_wanted(const watch *run, const char *type, const json_t *event) {
    const watch_options *options = &run->options;
    if (strcmp(type, "lost") == 0) {
        return 1;
    }
    return (options->type == NULL || has_word(options->type, type)) &&
           (options->alarms == 0 || json_is_true(json_object_get(event, "alarm"))) &&
           (options->prefix == NULL ||
            strncmp(etx__server_word(event, "gid"), options->prefix, strlen(options->prefix)) == 0);
}

static void print_word(FILE *to, const char *before, const json_t *event, const char *name) {
    const char *text = etx__server_word(event, name);
    if (text[0] != '\0') {
        fputs(before, to);
        etx__cli_bytes(to, (etx_bytes){text, strlen(text)}, EVENT_LINE_MAX);
    }
}

static void print_event(watch *run, const char *type, const json_t *event) {
    cli_context *cli = run->cli;
    int alarm = json_is_true(json_object_get(event, "alarm"));
    fprintf(cli->out, "%-24s  %s%-15s%s", etx__server_word(event, "time"),
            alarm ? etx__cli_color(cli, CLI_RED) : "", type,
            alarm ? etx__cli_color(cli, CLI_PLAIN) : "");
    print_word(cli->out, "  ", event, "gid");
    print_word(cli->out, " ", event, "branch");
    print_word(cli->out, " ", event, "operation");
    if (json_object_get(event, "attempt") != NULL) {
        fprintf(cli->out, " #%lld", json_integer_value(json_object_get(event, "attempt")));
    }
    print_word(cli->out, "  ", event, "state");
    print_word(cli->out, ": ", event, "reason");
    fputc('\n', cli->out);
}

static void end_with_state(watch *run, const char *state) {
    run->over = 1;
    run->code = strcmp(state, "COMMITTED") == 0 ? CLI_OK : CLI_NO;
}

static int take_event(const event_stream *stream, void *user) {
    watch *run = user;
    json_t *event = json_loads(stream->data, 0, NULL);
    int lost = strcmp(stream->name, "lost") == 0;
    if (lost) {
        run->asks = 1;
    }
    if (is_wanted(run, stream->name, event)) {
        if (run->options.json && event != NULL) {
            json_object_set_new(event, "id", json_string(stream->next));
            etx__out_line(run->cli->out, json_incref(event));
        } else {
            print_event(run, stream->name, event);
        }
        fflush(run->cli->out);
        run->told += !lost; /* it is none of the events that were asked for */
    }
    if (run->gid != NULL && strcmp(stream->name, "ended") == 0) {
        end_with_state(run, etx__server_word(event, "state"));
    } else if (run->options.count > 0 && run->told >= run->options.count) {
        run->over = 1;
    }
    json_decref(event);
    return run->over;
}

/* ---- the stream */

static void print_state(watch *run, const json_t *answer) {
    if (run->options.json) {
        etx__out_line(run->cli->out, json_deep_copy(answer));
    } else {
        fprintf(run->cli->out, "%s: %s\n", run->gid, etx__server_word(answer, "state"));
    }
}

/* Asks, beside the stream, how far the transaction is. */
static int ask_state(watch *run) {
    char path[SERVER_PATH_MAX];
    const json_t *answer;
    int rc;
    etx__server_path(path, run->gid, "");
    rc = etx__server_ask(run->beside, path, NULL, &answer);
    run->asks = rc != 0;
    if (rc == ETX_ENOTFOUND || rc == ETX_EGONE) {
        (void)etx__cli_fail(run->cli, NULL, "%s: %s", run->gid, etx__server_message(run->beside));
        run->over = 1;
        run->code = CLI_NO;
    } else if (rc == 0 && has_word("COMMITTED,ABORTED", etx__server_word(answer, "state"))) {
        print_state(run, answer);
        end_with_state(run, etx__server_word(answer, "state"));
    }
    return run->over;
}

static int take_piece(const char *bytes, size_t len, void *user) {
    watch *run = user;
    int rc;
    run->heard_ms = etx__cli_now_ms();
    rc = etx__event_stream_read(&run->stream, bytes, len, take_event, run);
    return rc == 0 && run->gid != NULL && run->asks ? ask_state(run) : rc;
}

/* Whether what went wrong may be over soon. */
static int may_pass(int rc) {
    return rc == ETX_ECLOSED || rc == ETX_EUNAVAILABLE || rc == ETX_EBUSY;
}

static void rest(uint64_t ms) {
    const struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

static int watch_all(watch *run, server *from, const char *path) {
    uint64_t pause_ms = PAUSE_FIRST_MS;
    run->heard_ms = etx__cli_now_ms();
    for (;;) {
        uint64_t heard_ms = run->heard_ms;
        int rc;
        etx__event_stream_begin(&run->stream);
        run->asks = run->gid != NULL;
        rc = etx__server_stream(from, path, run->stream.id[0] != '\0' ? run->stream.id : NULL,
                                take_piece, run);
        if (run->over) {
            return run->code;
        }
        if (*run->cli->stop) {
            return run->gid != NULL ? CLI_INTERRUPTED : CLI_OK;
        }
        if (!may_pass(rc) || etx__cli_now_ms() - run->heard_ms > run->options.patience_ms) {
            const char *message = etx__server_message(from);
            return etx__cli_fail(run->cli, etx__server_hint(from, NULL), "%s",
                                 message[0] != '\0' ? message : etx_strerror(rc));
        }
        pause_ms = run->heard_ms != heard_ms     ? PAUSE_FIRST_MS
                   : pause_ms < PAUSE_CAP_MS / 2 ? pause_ms * 2
                                                 : PAUSE_CAP_MS;
        rest(pause_ms);
    }
}

static int check(cli_context *cli, const watch *run) {
    if (run->gid != NULL && etx__tx_check_gid(cli, run->gid) != CLI_OK) {
        return CLI_BAD;
    }
    if (run->options.from != NULL && strlen(run->options.from) >= sizeof run->stream.id) {
        return etx__cli_fail(cli, "it is what --json told as \"id\"", "--from: this is no id");
    }
    return CLI_OK;
}

int etx__command_tx_watch(cli_context *cli, int argc, char **argv) {
    watch run = {.cli = cli, .options = {.patience_ms = 60000}};
    server *from = NULL;
    char path[SERVER_PATH_MAX] = "/v1/events";
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &run.options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    run.gid = args.count > 0 ? args.values[0] : NULL;
    code = check(cli, &run);
    code = code != CLI_OK ? code : etx__server_open(cli, run.options.server, &from);
    code = code != CLI_OK ? code : etx__server_open(cli, run.options.server, &run.beside);
    if (code == CLI_OK) {
        if (run.gid != NULL) {
            etx__server_path(path, run.gid, "/events");
        }
        snprintf(run.stream.id, sizeof run.stream.id, "%s",
                 run.options.from != NULL ? run.options.from : "");
        code = watch_all(&run, from, path);
    }
    if (run.beside != NULL) {
        etx__server_close(run.beside);
    }
    if (from != NULL) {
        etx__server_close(from);
    }
    return code;
}
