/* `etx top` on a terminal: one page of an interval. */
#include <string.h>

#include "top.h"

/* A page that is cut where the terminal ends. */
typedef struct page {
    cli_context *cli;
    int left; /* lines */
} page;

static double number_of(const json_t *object, const char *group, const char *name) {
    const json_t *in = group != NULL ? json_object_get(object, group) : object;
    return json_number_value(json_object_get(in, name));
}

static int take_line(page *to) {
    return to->left > 0 && to->left-- > 0;
}

static void end_line(page *to) {
    fputs("\033[K\n", to->cli->out);
}

static void print_rates(page *to, const json_t *object) {
    FILE *out = to->cli->out;
    if (take_line(to)) {
        fprintf(out, "per second  begun %.1f  committed %.1f  aborted %.1f  ended %.1f",
                number_of(object, "rates", "begun"), number_of(object, "rates", "committed"),
                number_of(object, "rates", "aborted"), number_of(object, "rates", "ended"));
        end_line(to);
    }
    if (take_line(to)) {
        fprintf(out, "            calls %.1f (unknown %.1f)  answers %.1f (4xx %.1f, 5xx %.1f)",
                number_of(object, "rates", "calls"), number_of(object, "rates", "calls_unknown"),
                number_of(object, "rates", "answers"), number_of(object, "rates", "answers_4xx"),
                number_of(object, "rates", "answers_5xx"));
        end_line(to);
    }
}

static void print_latency(FILE *out, const json_t *object, const char *name) {
    const json_t *one = json_object_get(json_object_get(object, "latency_ms"), name);
    const json_t *p50 = json_object_get(one, "p50");
    if (json_is_number(p50)) {
        fprintf(out, "  %s %.2f / %.2f", name, json_number_value(p50), number_of(one, NULL, "p99"));
    } else {
        fprintf(out, "  %s -", name);
    }
}

static void print_latencies(page *to, const json_t *object) {
    if (take_line(to)) {
        fputs("ms p50/p99", to->cli->out);
        print_latency(to->cli->out, object, "decided");
        print_latency(to->cli->out, object, "ended");
        print_latency(to->cli->out, object, "put");
        end_line(to);
    }
}

static void print_gauge(page *to, const json_t *object, const char *name, const char *label) {
    double value = number_of(object, NULL, name);
    int bad = value > 0 && (strcmp(name, "parked") == 0 || strcmp(name, "stalled") == 0);
    fprintf(to->cli->out, "%s%s %.0f%s  ", bad ? etx__cli_color(to->cli, CLI_YELLOW) : "", label,
            value, bad ? etx__cli_color(to->cli, CLI_PLAIN) : "");
}

static void print_gauges(page *to, const json_t *object) {
    if (take_line(to)) {
        fputs("now         ", to->cli->out);
        print_gauge(to, object, "in_flight", "in flight");
        print_gauge(to, object, "parked", "parked");
        print_gauge(to, object, "stalled", "stalled");
        print_gauge(to, object, "calls_in_flight", "calls");
        print_gauge(to, object, "queue_depth", "queue");
        print_gauge(to, object, "connections", "connections");
        end_line(to);
    }
}

static void print_targets(page *to, const json_t *object) {
    const json_t *list = json_object_get(object, "targets");
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) {
        int open = json_is_true(json_object_get(one, "breaker_open"));
        if (i == 0 && take_line(to)) {
            fprintf(to->cli->out, "%s%9s  %9s  %6s  %7s  TARGET%s",
                    etx__cli_color(to->cli, CLI_BOLD), "CALLS/S", "UNKNOWN/S", "NOW", "WAITING",
                    etx__cli_color(to->cli, CLI_PLAIN));
            end_line(to);
        }
        if (take_line(to)) {
            fprintf(to->cli->out, "%9.1f  %9.1f  %6.0f  %7.0f  %s%s%s%s",
                    number_of(one, NULL, "calls"), number_of(one, NULL, "calls_unknown"),
                    number_of(one, NULL, "in_flight"), number_of(one, NULL, "waiting"),
                    etx__server_word(one, "target"), open ? etx__cli_color(to->cli, CLI_RED) : "",
                    open ? "  left alone: it does not answer" : "",
                    open ? etx__cli_color(to->cli, CLI_PLAIN) : "");
            end_line(to);
        }
    }
}

static void print_oldest(page *to, const json_t *object) {
    const json_t *list = json_object_get(object, "oldest");
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) {
        const json_t *mark;
        size_t at;
        if (i == 0 && take_line(to)) {
            fprintf(to->cli->out, "%s%-24s  %-10s  OLDEST%s", etx__cli_color(to->cli, CLI_BOLD),
                    "BEGUN", "STATE", etx__cli_color(to->cli, CLI_PLAIN));
            end_line(to);
        }
        if (take_line(to)) {
            fprintf(to->cli->out, "%-24s  %-10s  %s", etx__server_word(one, "begun"),
                    etx__server_word(one, "state"), etx__server_word(one, "gid"));
            json_array_foreach(json_object_get(one, "marks"), at, mark) {
                fprintf(to->cli->out, " %s", json_string_value(mark));
            }
            end_line(to);
        }
    }
}

void etx__top_print(cli_context *cli, const char *server_name, const json_t *object, int rows) {
    page to = {cli, rows - 1};
    fputs("\033[H", cli->out);
    if (take_line(&to)) {
        fprintf(cli->out, "%setx top%s  %s  %s", etx__cli_color(cli, CLI_BOLD),
                etx__cli_color(cli, CLI_PLAIN), server_name, etx__server_word(object, "time"));
        end_line(&to);
    }
    print_rates(&to, object);
    print_latencies(&to, object);
    print_gauges(&to, object);
    print_targets(&to, object);
    print_oldest(&to, object);
    fputs("\033[J", cli->out);
    fflush(cli->out);
}
