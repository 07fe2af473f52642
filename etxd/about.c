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

/* Whether new transactions find a home and the node is not drained; and if not, why. */
static int has_home(etxd *server, char *why, size_t size) {
    etx_home_status home = {.size = sizeof home};
    unsigned place;
    snprintf(why, size, "no home can be written to\n");
    int found = 0;
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        if (home.drained) { /* it is about to be taken away, whatever other homes it has */
            snprintf(why, size, "home %s: %s\n", home.url, home.why);
            return 0;
        }
        if (!home.usable && !found) {
            snprintf(why, size, "home %s: %s\n", home.url, home.why);
        }
        found = found || home.usable;
    }
    return found;
}

int etxd_get_ready(etxd_exchange *x) {
    char why[512] = "";
    etxd_phase phase = x->server->phase;
    if (phase == ETXD_SERVING && has_home(x->server, why, sizeof why)) {
        answer_text(x, 200, "ready\n");
    } else {
        answer_text(x, 503,
                    phase == ETXD_STARTING   ? "the log is being read\n"
                    : phase == ETXD_DRAINING ? "ending\n"
                                             : why);
    }
    return 0;
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
