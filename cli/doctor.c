/* `etx doctor`: says what is wrong with a server or a log, and what to do about it. */
#include "doctor.h"
#include "log_open.h"

#include <stdarg.h>
#include <string.h>

#define OLDER_HELP "what is in flight for longer waits too long (default\n5m)"
#define ROOM_HELP "a log with less room than so many MiB is nearly full\n(default 256)"

static const cli_option options_table[] = {
#ifdef ETX_WITH_SERVER
    {"server", 'S', CLI_TEXT, offsetof(doctor_options, server), "URL",
     "the server etxd (default: $ETX_SERVER, else\nhttp://127.0.0.1:7830); its token is $ETX_TOKEN",
     0, 0},
#endif
    {"home", 'H', CLI_TEXT, offsetof(doctor_options, home), "file:DIR|URL",
     "or a log; it is only read, whoever has it open", 0, 0},
    {"state", 's', CLI_TEXT, offsetof(doctor_options, state), "DIR",
     "with --home URL: a node's state directory, which\nshows what the store has lost", 0, 0},
    {"older-than", 'o', CLI_TIME, offsetof(doctor_options, older_ms), "TIME", OLDER_HELP, 0, 0},
    {"room", 'r', CLI_NUMBER, offsetof(doctor_options, room_mib), "MIB", ROOM_HELP, 0, 1 << 30},
    {"json", 'j', CLI_FLAG, offsetof(doctor_options, json), NULL, "one JSON object", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "[--server URL | --home file:DIR|URL [--state DIR]] [--older-than TIME] [--json]",
    "Looks at a server etxd that runs, or at a log, and says what is wrong and what to do:\n"
    "participants that do not answer, targets that are not allowed, transactions that are "
    "stalled,\n"
    "parked or wait for long, a log that is full, nearly full or damaged, a store that can lose "
    "what\n"
    "it acknowledged, a log that no node works on, a clock that jumped, a server that is not "
    "ready.\n"
    "What a store has lost (as by an older backup) only nodes know, by their state directories: "
    "ask\n"
    "them (--server), or name one (--state). It changes nothing.",
    options_table,
    "  etx doctor\n"
    "  etx doctor --home file:/var/lib/shop/etx --older-than 1h\n"
    "  etx doctor --home postgresql://etx@db.internal/shop\n"
    "  etx doctor --json | jq -r '.findings[].code'\n",
    "  0  nothing is wrong\n"
    "  1  something is: the findings\n"
    "  2  bad usage; it cannot look: no log there, the server cannot be reached\n",
    0,
    0,
};

/* ---- findings */

json_t *etx__doctor_note(doctor *self,
                         const char *code,
                         const char *todo,
                         const char *format,
                         ...) {
    json_t *object = json_object();
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    etx__out_text(object, "code", code);
    etx__out_bytes(object, "what", (etx_bytes){text, strlen(text)});
    etx__out_text(object, "do", todo);
    json_array_append_new(self->findings, object);
    return object;
}

void etx__doctor_room(doctor *self, const char *where, double bytes) {
    if (bytes < (double)self->options.room_mib * 1048576) {
        json_t *finding = etx__doctor_note(
            self, "log-nearly-full",
            "make room on that file system, or move the log: when it is full, new transactions are "
            "refused, and only what has begun can end",
            "%s: %.0f MiB are left for the log", where, bytes / 1048576);
        json_object_set_new(finding, "room_bytes", json_integer((json_int_t)bytes));
    }
}

static void print_text(FILE *to, const json_t *finding, const char *name) {
    const char *text = json_string_value(json_object_get(finding, name));
    if (text != NULL) {
        etx__cli_bytes(to, (etx_bytes){text, strlen(text)}, 1000);
    }
}

static void print_finding(cli_context *cli, const json_t *finding) {
    const json_t *gids = json_object_get(finding, "gids");
    const json_t *gid;
    size_t i;
    fprintf(cli->out, "%s%s%s: ", etx__cli_color(cli, CLI_RED),
            json_string_value(json_object_get(finding, "code")), etx__cli_color(cli, CLI_PLAIN));
    print_text(cli->out, finding, "what");
    fputs("\n  ", cli->out);
    print_text(cli->out, finding, "do");
    fputc('\n', cli->out);
    json_array_foreach(gids, i, gid) {
        fprintf(cli->out, "%s%s", i == 0 ? "  such as " : ", ", json_string_value(gid));
    }
    if (json_array_size(gids) > 0) {
        fputc('\n', cli->out);
    }
}

static void report(doctor *self) {
    cli_context *cli = self->cli;
    const json_t *finding;
    size_t i;
    if (self->options.json) {
        json_t *object = json_object();
        json_object_set(object, "findings", self->findings);
        etx__out_line(cli->out, object);
        return;
    }
    json_array_foreach(self->findings, i, finding) {
        print_finding(cli, finding);
    }
    if (self->unasked) {
        fputs(
            "Whether the store has lost anything only a node can tell: --server URL, or --state "
            "DIR.\n",
            cli->out);
    }
    if (json_array_size(self->findings) == 0) {
        fprintf(cli->out, "%sNothing is wrong.%s\n", etx__cli_color(cli, CLI_GREEN),
                etx__cli_color(cli, CLI_PLAIN));
    }
}

/* ---- the command */

static int look(doctor *self) {
    if (self->options.home != NULL && self->options.server != NULL) {
        return etx__cli_fail(self->cli, "a log, or a server that runs",
                             "--home and --server do not go together");
    }
    if (self->options.state != NULL &&
        (self->options.home == NULL || !etx__cli_is_store(self->options.home))) {
        return etx__cli_fail(self->cli, "--home postgresql://... and the like",
                             "--state is for a log in a store");
    }
    if (self->options.home != NULL) {
        return etx__cli_is_store(self->options.home) ? etx__doctor_store(self)
                                                     : etx__doctor_home(self);
    }
#ifdef ETX_WITH_SERVER
    return etx__doctor_server(self);
#else
    return etx__cli_fail(self->cli, "add --home file:DIR, as the program has it", "which log?");
#endif
}

int etx__command_doctor(cli_context *cli, int argc, char **argv) {
    doctor self = {.cli = cli, .options = {.older_ms = 300000, .room_mib = 256}};
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &self.options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    self.findings = json_array();
    code = look(&self);
    if (code == CLI_OK) {
        report(&self);
        code = json_array_size(self.findings) > 0 ? CLI_NO : CLI_OK;
    }
    json_decref(self.findings);
    return code;
}
