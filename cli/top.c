/* `etx top`: what a server does, interval by interval. */
#include "top.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

typedef struct top_options {
    const char *server;
    uint64_t interval_ms;
    uint64_t count;
    int json;
} top_options;

typedef struct top {
    cli_context *cli;
    top_options options;
    server *from;
    metrics before;
    double before_s; /* when that was read */
    int redraws;
} top;

static const cli_option options_table[] = {
    {"server", 'S', CLI_TEXT, offsetof(top_options, server), "URL",
     "the server etxd (default: $ETX_SERVER, else\nhttp://127.0.0.1:7830); its token is $ETX_TOKEN",
     0, 0},
    {"interval", 'i', CLI_TIME, offsetof(top_options, interval_ms), "TIME",
     "between two looks (default 1s)", 50, 86400000},
    {"count", 'n', CLI_NUMBER, offsetof(top_options, count), "N", "end after so many intervals", 1,
     0},
    {"json", 'j', CLI_FLAG, offsetof(top_options, json), NULL,
     "one JSON object an interval, as where the output\nis no terminal", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "[--server URL] [--interval TIME] [--count N] [--json]",
    "Shows what a server etxd does: rates and latencies of each interval, what is in flight,\n"
    "parked and stalled, its targets, and the oldest transactions. Ctrl-C ends it.",
    options_table,
    "  etx top\n"
    "  etx top --server https://etx.example:7830 --interval 5s\n"
    "  etx top --count 1 --json | jq .rates.committed\n",
    "  0  shown; also after Ctrl-C\n"
    "  2  bad usage; the server cannot be reached, or no longer, or does not allow it\n",
    0,
    0,
};

static double now_s(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int fail_server(top *self, int rc) {
    const char *message = etx__server_message(self->from);
    return etx__cli_fail(self->cli, etx__server_hint(self->from, NULL), "%s",
                         message[0] != '\0' ? message : etx_strerror(rc));
}

/* CLI_OK or CLI_BAD. */
static int read_metrics(top *self, metrics *ret_metrics) {
    const char *text;
    int rc = etx__server_metrics(self->from, &text);
    if (rc != 0) {
        return fail_server(self, rc);
    }
    return etx__metrics_read(text, ret_metrics) == 0
               ? CLI_OK
               : etx__cli_fail(self->cli, NULL, "out of memory");
}

/* Waits until the interval is over; 0, or a signal asked to end. */
static int wait_until(const top *self, double until_s) {
    double left = until_s - now_s();
    while (left > 0 && !*self->cli->stop) {
        double pause = left < 0.1 ? left : 0.1;
        const struct timespec rest = {0, (long)(pause * 1e9)};
        (void)nanosleep(&rest, NULL);
        left = until_s - now_s();
    }
    return *self->cli->stop;
}

static int count_rows(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

static int show(top *self) {
    metrics now;
    double at_s = now_s();
    json_t *object;
    int code = read_metrics(self, &now);
    int rc;
    if (code != CLI_OK) {
        return code;
    }
    object = etx__top_object(&now, &self->before, at_s - self->before_s);
    etx__metrics_free(&self->before);
    self->before = now;
    self->before_s = at_s;
    rc = etx__top_oldest(self->from, object);
    if (rc != 0) {
        json_decref(object);
        return fail_server(self, rc);
    }
    if (self->redraws) {
        etx__top_print(self->cli, etx__server_name(self->from), object, count_rows());
        json_decref(object);
    } else {
        etx__out_line(self->cli->out, object);
        fflush(self->cli->out);
    }
    return CLI_OK;
}

static int run_intervals(top *self) {
    double step = (double)self->options.interval_ms / 1e3;
    uint64_t shown;
    int code = read_metrics(self, &self->before);
    self->before_s = now_s();
    if (code == CLI_OK && self->redraws) {
        fputs("\033[2J", self->cli->out);
    }
    for (shown = 0; code == CLI_OK && (self->options.count == 0 || shown < self->options.count);
         shown++) {
        if (wait_until(self, self->before_s + step)) {
            return CLI_OK;
        }
        code = show(self);
    }
    return *self->cli->stop ? CLI_OK : code;
}

int etx__command_top(cli_context *cli, int argc, char **argv) {
    top self = {.cli = cli, .options = {.interval_ms = 1000}};
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &self.options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    self.redraws = !self.options.json && isatty(fileno(cli->out));
    code = etx__server_open(cli, self.options.server, &self.from);
    if (code == CLI_OK) {
        code = run_intervals(&self);
        etx__metrics_free(&self.before);
        etx__server_close(self.from);
    }
    return code;
}
