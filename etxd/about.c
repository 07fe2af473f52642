/* What the server says of itself: alive, ready, its version, its API. */
#include <string.h>

#include "etxd.h"
#include "openapi.h"

static void answer_text(etxd_exchange *x, int status, const char *text) {
    etxd_text body = {0};
    etxd_text_put(&body, text);
    etxd_answer(x, status, "text/plain; charset=utf-8", &body);
}

int etxd_get_health(etxd_exchange *x) {
    answer_text(x, 200, "alive\n");
    return 0;
}

/* Why what asks for no durability is not begun there: its home is down, or promises less. */
static void tell_why_not(const etxd *server, const etx_home_status *home, char *why, size_t size) {
    if (home->usable) {
        snprintf(why, size,
                 "home %s: it promises '%s', and by default (durability) '%s' is asked for",
                 home->url, etx_durability_name(home->grade), server->config.durability);
    } else {
        snprintf(why, size, "home %s: %s", home->url,
                 home->why[0] != '\0' ? home->why : "this node has no partition of it yet");
    }
}

/* Whether what asks for no durability finds a home and the node is not drained; and if not, why: a
 * home that is down is told rather than one that can never do. */
static etxd_readiness look_at_homes(etxd *server, char *why, size_t size) {
    etx_home_status home = {.size = sizeof home};
    unsigned place;
    snprintf(why, size, "no home can be written to");
    int found = 0;
    int told = 0;
    int told_down = 0;
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        if (home.drained) { /* it is about to be taken away, whatever other homes it has */
            snprintf(why, size, "home %s: %s", home.url,
                     home.usable ? "this node is being drained: ask another" : home.why);
            return ETXD_DRAINED;
        }
        if (!home.in_use && (!told || (!home.usable && !told_down))) {
            tell_why_not(server, &home, why, size);
            told = 1;
            told_down = !home.usable;
        }
        found = found || home.in_use;
    }
    return found ? ETXD_READY : ETXD_UNREADY;
}

int etxd_get_ready(etxd_exchange *x) {
    char why[512] = "";
    etxd_phase phase = x->server->phase;
    if (phase != ETXD_SERVING) {
        answer_text(x, 503, phase == ETXD_STARTING ? "the log is being read\n" : "ending\n");
    } else if (look_at_homes(x->server, why, sizeof why - 1) == ETXD_READY) {
        answer_text(x, 200, "ready\n");
    } else {
        memcpy(why + strlen(why), "\n", 2);
        answer_text(x, 503, why);
    }
    return 0;
}

void etxd_tell_ready(etxd *server, const char *to_systemd) {
    char why[512] = "";
    char undo[ETX_NAME_MAX + 64] = "";
    char text[600];
    etxd_readiness now = look_at_homes(server, why, sizeof why);
    int first = server->readiness == ETXD_UNTOLD;
    if (now == server->readiness) {
        return;
    }
    server->readiness = now;
    if (now == ETXD_DRAINED) {
        snprintf(undo, sizeof undo, "'etx cluster drain %s --undo', asked of this node",
                 server->config.node);
    }
    const etxd_field fields[] = {{"ms", first ? NULL : "", etxd_now_ms() - server->started_ms},
                                 {"why", now != ETXD_READY ? why : "", 0},
                                 {"undo", undo, 0}};
    snprintf(text, sizeof text, "%sSTATUS=%s%.500s", to_systemd,
             now == ETXD_READY ? "serving" : "not ready: ", now == ETXD_READY ? "" : why);
    etxd_notify(text);
    etxd_log_line(&server->log, ETXD_INFO, now == ETXD_READY ? "ready" : "not ready", fields,
                  sizeof fields / sizeof *fields);
}

int etxd_get_version(etxd_exchange *x) {
    etxd_text body = {0};
    etxd_text_put(&body, "{");
    etxd_text_member(&body, "etxd", etx_version());
    etxd_text_member(&body, "node", x->server->config.node);
    etxd_text_member_time(&body, "started", x->server->started_ms);
    etxd_text_put(&body, "}\n");
    etxd_answer(x, 200, "application/json", &body);
    return 0;
}

int etxd_get_openapi(etxd_exchange *x) {
    etxd_text body = {0};
    etxd_text_add(&body, etxd_openapi, etxd_openapi_len);
    etxd_answer(x, 200, "application/json", &body);
    return 0;
}
