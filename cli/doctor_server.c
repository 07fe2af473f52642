/* `etx doctor --server`: a server etxd, as it speaks of itself. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "doctor.h"
#include "metrics.h"
#include "server.h"

enum { SKEW_S = 5, TARGET_MAX = 300 };

/* Alarms that are counted since the server's start, and not told otherwise. */
static const struct {
    const char *event;
    const char *code;
    const char *what;
    const char *todo;
} alarms[] = {
    {"clock-stepped", "clock-jumped", "the clock stepped",
     "set the clock right (NTP, and without steps): deadlines and retries follow it"},
    {"log-poisoned", "log-fails", "a write or sync of the log failed, and it was opened anew",
     "the server's log says in which home: of a directory, see what the disk says of itself "
     "(dmesg, "
     "smartctl); of a store, whether it was killed or restarted, and what its own log says"},
    {"finish-refused", "finish-refused", "a participant refused to confirm, cancel or the like",
     "it promised that it could: mend it; what it cannot do is settled by 'etx tx force'"},
    {"home-missed", "home-missed", "this node had a home of its own that it has not now",
     "the server's log names it: mount its directory, and name it as a home, or restore it; what "
     "is "
     "unfinished there waits until then"},
    {"workers-stuck", "workers-stuck", "all threads were in calls past their timeout",
     "see which target is slow: 'etx top'"},
};

static int fail_server(doctor *self, server *from, int rc) {
    const char *message = etx__server_message(from);
    const char *hint = etx__server_hint(
        from,
        "is etxd started? else name another: --server URL, or --home file:DIR for the log of "
        "a program");
    return etx__cli_fail(self->cli,
                         hint != NULL ? hint
                                      : "is it the right server? --server URL, $ETX_SERVER; "
                                        "$ETX_TOKEN",
                         "%s", message[0] != '\0' ? message : etx_strerror(rc));
}

/* ---- ready, and what the clock says */

/* Has it been told to hand over what it has of this home? By what /v1/cluster says, if anything. */
static int is_drained(const json_t *cluster, size_t place) {
    const json_t *home = json_array_get(json_object_get(cluster, "homes"), place);
    return json_is_true(json_object_get(home, "drained"));
}

static int note_drained(doctor *self, const json_t *cluster) {
    const char *node = etx__server_word(cluster, "node");
    size_t count = json_array_size(json_object_get(cluster, "homes"));
    char todo[300];
    size_t place;
    for (place = 0; place < count && !is_drained(cluster, place); place++) {
    }
    if (place < count) {
        snprintf(todo, sizeof todo,
                 "end it, or have it take its share again: 'etx cluster drain %.100s --undo', "
                 "asked of this server",
                 node);
        (void)etx__doctor_note(self, "drained", todo,
                               "node %s is drained: it takes no partition that nodes share, and is "
                               "not ready; it serves what it is asked all the same",
                               node);
    }
    return place < count;
}

static int look_at_readiness(doctor *self, server *from, const json_t *cluster) {
    const char *text;
    int status;
    int rc = etx__server_text(from, "/readyz", &status, &text);
    if (rc != 0) {
        return fail_server(self, from, rc);
    }
    if (status == 503 && !note_drained(self, cluster)) {
        (void)etx__doctor_note(self, "not-ready",
                               "if it reads its log or ends, wait; otherwise see to the home that "
                               "it names",
                               "the server takes no transactions: %.*s", (int)strcspn(text, "\n"),
                               text);
    }
    return CLI_OK;
}

static void look_at_clock(doctor *self, server *from) {
    struct tm parts = {0};
    const char *rest = strptime(etx__server_date(from), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    double ahead;
    if (rest == NULL) {
        return;
    }
    ahead = (double)timegm(&parts) - (double)etx__cli_now_ms() / 1e3;
    if (ahead > SKEW_S || ahead < -SKEW_S) {
        (void)etx__doctor_note(self, "clock-differs", "set both clocks by NTP",
                               "the server's clock is %.0f s %s this machine's",
                               ahead > 0 ? ahead : -ahead, ahead > 0 ? "ahead of" : "behind");
    }
}

/* ---- metrics */

static double count_event(const metrics *now, const char *event) {
    char label[64];
    snprintf(label, sizeof label, "type=\"%s\"", event);
    return etx__metrics_sum(now, "etx_events_total", label);
}

static void look_at_alarms(doctor *self, const metrics *now) {
    size_t i;
    for (i = 0; i < sizeof alarms / sizeof alarms[0]; i++) {
        double count = count_event(now, alarms[i].event);
        if (count > 0) {
            json_t *finding = etx__doctor_note(self, alarms[i].code, alarms[i].todo,
                                               "%s: %.0f time%s since the server's start",
                                               alarms[i].what, count, count > 1 ? "s" : "");
            etx__out_number(finding, "count", (uint64_t)count);
        }
    }
    if (count_event(now, "log-full") > count_event(now, "log-room")) {
        (void)etx__doctor_note(self, "log-full",
                               "make room where the log is ('etx homes' says which, and why): only "
                               "what has begun can end until then",
                               "the log is full: new transactions go elsewhere or are refused");
    }
}

/* Of a home: usable is a label of its row, or a row of its own. */
static int is_down(const metrics_row *row) {
    char usable[8];
    etx__metrics_label(row, "usable", usable, sizeof usable);
    return (strcmp(row->name, "etx_home") == 0 && strcmp(usable, "0") == 0) ||
           (strcmp(row->name, "etx_home_usable") == 0 && row->value < 1);
}

static void look_at_home(doctor *self, const metrics_row *row, const json_t *cluster) {
    char place[24];
    char where[48];
    etx__metrics_label(row, "place", place, sizeof place);
    snprintf(where, sizeof where, "home %s of the server", place);
    if (strcmp(row->name, "etxd_home_room_bytes") == 0) {
        etx__doctor_room(self, where, row->value);
    } else if (is_down(row) && !is_drained(cluster, strtoul(place, NULL, 10))) {
        size_t number = strtoul(place, NULL, 10);
        const char *why =
            etx__server_word(json_array_get(json_object_get(cluster, "homes"), number), "why");
        (void)etx__doctor_note(
            self, "home-down", "'etx homes' and the server's log say more; it is tried again",
            "%s takes no new transactions%s%s", where, why[0] != '\0' ? ": " : "", why);
    }
}

/* Of a row of etxd_target_breaker_open. */
static void look_at_target(doctor *self, const metrics *now, const metrics_row *row) {
    static const char *const answers[] = {"done", "refused", "working"};
    char target[TARGET_MAX];
    char label[TARGET_MAX + 40];
    double answered = 0;
    double unknown;
    size_t i;
    etx__metrics_label(row, "target", target, sizeof target);
    for (i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        snprintf(label, sizeof label, "target=\"%s\",result=\"%s\"", target, answers[i]);
        answered += etx__metrics_sum(now, "etxd_target_calls_total", label);
    }
    snprintf(label, sizeof label, "target=\"%s\",result=\"unknown\"", target);
    unknown = etx__metrics_sum(now, "etxd_target_calls_total", label);
    if (row->value > 0 || (unknown > 0 && answered < 1)) {
        json_t *finding = etx__doctor_note(
            self, "participant-silent",
            "see whether it runs and can be reached from the server, and what its log says",
            answered < 1 ? "%s has never answered: %.0f calls are without a usable answer"
                         : "%s does not answer, and is left alone for a while: %.0f calls without "
                           "a usable answer since the server's start",
            target, unknown);
        etx__out_text(finding, "target", target);
    }
}

static int look_at_metrics(doctor *self, server *from, const json_t *cluster) {
    metrics now;
    const char *text;
    size_t i;
    int rc = etx__server_metrics(from, &text);
    if (rc != 0) {
        return fail_server(self, from, rc);
    }
    if (etx__metrics_read(text, &now) != 0) {
        return etx__cli_fail(self->cli, NULL, "out of memory");
    }
    look_at_clock(self, from);
    look_at_alarms(self, &now);
    for (i = 0; i < now.count; i++) {
        look_at_home(self, &now.rows[i], cluster);
        if (strcmp(now.rows[i].name, "etxd_target_breaker_open") == 0) {
            look_at_target(self, &now, &now.rows[i]);
        }
    }
    etx__metrics_free(&now);
    return CLI_OK;
}

/* ---- what is shared with other nodes */

static void look_at_store(doctor *self, const json_t *home) {
    const json_t *row;
    const char *why = "";
    unsigned lost = 0;
    size_t i;
    json_array_foreach(json_object_get(home, "partitions"), i, row) {
        if (json_is_true(json_object_get(row, "regressed"))) {
            why = lost++ == 0 ? etx__server_word(row, "why") : why;
        }
    }
    if (lost > 0) {
        json_t *finding = etx__doctor_note(self, "log-regressed",
                                           "look for a newer copy of the store; 'etx cluster "
                                           "partitions' has the commands for each partition",
                                           "%u partition%s of home %s: %s", lost,
                                           lost > 1 ? "s" : "", etx__server_word(home, "id"), why);
        etx__out_number(finding, "partitions", lost);
    }
    if (json_is_true(json_object_get(home, "shared")) &&
        strcmp(etx__server_word(home, "durability"), "volatile") == 0) {
        (void)etx__doctor_note(self, "log-volatile", "set the store up to be durable",
                               "home %s can lose what it acknowledged: %s",
                               etx__server_word(home, "id"), etx__server_word(home, "remark"));
    }
}

/* It cannot send on to them what is asked here. */
static void look_at_nodes(doctor *self, const json_t *home) {
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(home, "nodes"), i, row) {
        const char *remark = etx__server_word(row, "remark");
        if (remark[0] != '\0') {
            json_t *finding = etx__doctor_note(
                self, "node-certificate",
                "set it, and have that server read it (SIGHUP): until then what belongs to another "
                "node is refused there (503)",
                "node %s: %s", etx__server_word(row, "node"), remark);
            etx__out_text(finding, "node", etx__server_word(row, "node"));
        }
    }
}

static void look_at_cluster(doctor *self, const json_t *cluster) {
    const json_t *home;
    size_t i;
    json_array_foreach(json_object_get(cluster, "homes"), i, home) {
        look_at_store(self, home);
        look_at_nodes(self, home);
    }
}

/* A token that is for some gids may not ask: then nothing is said of it. */
static json_t *ask_cluster(server *from) {
    const json_t *answer;
    return etx__server_ask(from, "/v1/cluster", NULL, &answer) == 0 ? json_deep_copy(answer) : NULL;
}

int etx__doctor_server(doctor *self) {
    server *from = NULL;
    tx_client *client = NULL;
    json_t *cluster;
    int code = etx__server_open(self->cli, self->options.server, &from);
    if (code != CLI_OK) {
        return code;
    }
    cluster = ask_cluster(from);
    code = look_at_readiness(self, from, cluster);
    code = code != CLI_OK ? code : look_at_metrics(self, from, cluster);
    if (code == CLI_OK) {
        look_at_cluster(self, cluster);
    }
    json_decref(cluster);
    etx__server_close(from);
    code = code != CLI_OK ? code : etx__tx_open_server(self->cli, self->options.server, &client);
    if (code == CLI_OK) {
        code = etx__doctor_transactions(self, client);
        client->ops->close(client);
    }
    return code;
}
