/* One exchange: a request is guarded, routed, handled, answered, logged and counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "forward.h"

uint64_t etxd_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The trace that the request came in; else the one that its transaction is in. */
static void name_trace(const etxd_exchange *x, char ret_trace[33]) {
    const etxd *server = x->server;
    ret_trace[0] = '\0';
    if (x->traceparent[0] != '\0') {
        memcpy(ret_trace, x->traceparent + 3, 32);
        ret_trace[32] = '\0';
    } else if (x->gid[0] != '\0') {
        etxd_trace_of(server->trace, net_loop_is_here(server->loop) ? server->http : NULL, x->gid,
                      ret_trace);
    }
}

static void write_lines(net_task *task) {
    etxd *server = (etxd *)(void *)((char *)task - offsetof(etxd, lines.task));
    server->lines.waits = 0;
    etxd_log_write(&server->log, &server->lines.text);
}

static void keep_line(etxd *server, const etxd_field *fields, size_t count) {
    etxd_log_keep(&server->log, &server->lines.text, ETXD_INFO, "request", fields, count);
    if (!server->lines.waits) {
        server->lines.waits = 1;
        server->lines.task.run = write_lines;
        net_loop_defer(server->loop, &server->lines.task);
    }
}

static void write_access(const etxd_exchange *x, int status) {
    etxd *server = x->server;
    char trace[33];
    const etxd_field fields[] = {
        {"method", x->method, 0},
        {"path", x->path, 0},
        {"status", NULL, (uint64_t)status},
        {"us", NULL, etxd_now_us() - x->began_us},
        {"gid", x->gid, 0},
        {"trace_id", trace, 0},
        {"token", x->who, 0},
        {"forwarded", x->node, 0},
        {"traceparent", x->traceparent, 0},
        {"code", etxd_problem_name(x->problem.code), 0},
    };
    size_t count = sizeof fields / sizeof *fields;
    name_trace(x, trace);
    if (x->apart) {
        keep_line(server, fields, count);
    } else {
        etxd_log_line(&server->log, ETXD_INFO, "request", fields, count);
    }
}

/* Counts it, and tells the log. */
static void note(const etxd_exchange *x, int status) {
    etxd *server = x->server;
    size_t place = etxd_route_place(x->route);
    atomic_fetch_add_explicit(&server->counts.answers[place][status / 100 - 1], 1,
                              memory_order_relaxed);
    if (server->config.access_log && etxd_log_wants(&server->log, ETXD_INFO)) {
        write_access(x, status);
    }
}

static void free_exchange(etxd_exchange *x) {
    etxd_letter_free(x->later);
    free(x->owned);
    free(x);
}

void etxd_note(etxd_exchange *x, int status) {
    note(x, status);
    free_exchange(x);
}

void etxd_answer_with(etxd_exchange *x,
                      int status,
                      const char *content_type,
                      etxd_text *body,
                      const char *name,
                      const char *value) {
    char seconds[16];
    net_header headers[3] = {{"Cache-Control", "no-store"}};
    size_t count = 1;
    unsigned after = etxd_problem_retry_after(x->problem.code);
    net_answer answer = {.size = sizeof answer, .status = status, .content_type = content_type};
    if (after > 0) {
        snprintf(seconds, sizeof seconds, "%u", after);
        headers[count++] = (net_header){"Retry-After", seconds};
    }
    if (name != NULL) {
        headers[count++] = (net_header){name, value};
    }
    answer.headers = headers;
    answer.header_count = count;
    answer.body = body->bytes;
    answer.body_len = body->len;
    if (body->failed) {
        answer.status = status = 503;
        answer.body_len = 0;
    }
    note(x, status); /* first: what it keeps is written before the answer is sent */
    (void)net_request_answer(x->request, &answer);
    etxd_text_free(body);
    free_exchange(x);
}

void etxd_answer(etxd_exchange *x, int status, const char *content_type, etxd_text *body) {
    etxd_answer_with(x, status, content_type, body, NULL, NULL);
}

void etxd_refuse(etxd_exchange *x) {
    etxd_text body = {0};
    int status = etxd_problem_status(x->problem.code);
    etxd_problem_write(&x->problem, x->gid, &body);
    etxd_answer_with(x, status, "application/problem+json", &body,
                     status == 401 ? "WWW-Authenticate" : NULL, "Bearer realm=\"etxd\"");
}

/* The library names its functions and flags: over HTTP those are routes and fields. */
static void name_route(char *message, size_t size) {
    static const char *const words[][2] = {
        {"etx_query by gid", "GET /v1/transactions/{gid}"},
        {"etx_query", "GET /v1/transactions/{gid}"},
        {"etx_resume, or 'etx tx resume'", "POST /v1/transactions/{gid}/resume"},
        {"is not ETX_BY_INITIATOR", "does not have 'forward' as 'initiator'"}};
    size_t i;
    for (i = 0; i < sizeof words / sizeof *words; i++) {
        char *at = strstr(message, words[i][0]);
        char rest[400];
        if (at != NULL) {
            snprintf(rest, sizeof rest, "%s", at + strlen(words[i][0]));
            snprintf(at, size - (size_t)(at - message), "%s%s", words[i][1], rest);
            return;
        }
    }
}

int etxd_fail(etxd_exchange *x, int rc, const char *reason) {
    char message[400] = "";
    etxd_code code = etxd_problem_of(rc);
    if (reason != NULL && reason[0] != '\0') {
        snprintf(message, sizeof message, "%s", reason);
    } else if (x->server->engine != NULL && rc != ETX_EUNKNOWN) {
        /* whose patience is over may find another request's: that which was said last */
        etx_engine_message(x->server->engine, message, sizeof message);
    }
    if (rc == ETX_ESTATE || rc == ETX_EUNKNOWN) {
        name_route(message, sizeof message);
    }
    if (code == ETXD_INTERNAL_PROBLEM) {
        char trace[33];
        const etxd_field fields[] = {{"error", etx_error_name(rc), 0},
                                     {"gid", x->gid, 0},
                                     {"trace_id", trace, 0},
                                     {"detail", message, 0}};
        name_trace(x, trace);
        etxd_log_line(&x->server->log, ETXD_ERROR, "a request failed", fields, 4);
    }
    return etxd_problem_set(&x->problem, code, "%s",
                            message[0] != '\0' ? message : etx_strerror(rc));
}

/* Whether it is one of W3C's version 00. Any other is left out, as the standard wants: the trace
 * begins here. */
static int is_traceparent(net_text text) {
    static const char form[] = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    static const char none[] = "00-00000000000000000000000000000000-0000000000000000-";
    size_t i;
    if (text.len != sizeof form - 1) {
        return 0;
    }
    for (i = 0; i < text.len; i++) {
        char c = text.bytes[i];
        int hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (form[i] == 'x' ? !hex : c != form[i]) {
            return 0;
        }
    }
    return memcmp(text.bytes + 3, none + 3, 32) != 0 && memcmp(text.bytes + 36, none + 36, 16) != 0;
}

static etxd_exchange *make_exchange(net_request *request, etxd *server) {
    etxd_exchange *x = calloc(1, sizeof *x);
    net_text path = net_request_path(request);
    net_text trace = net_request_header(request, "traceparent");
    if (x == NULL) {
        return NULL;
    }
    x->server = server;
    x->request = request;
    x->method = net_request_method(request);
    x->began_us = etxd_now_us();
    x->outcome = (etx_outcome)ETX_OUTCOME_INIT;
    memcpy(x->path, path.bytes, path.len < sizeof x->path ? path.len : sizeof x->path - 1);
    if (is_traceparent(trace)) {
        memcpy(x->traceparent, trace.bytes, trace.len);
    }
    return x;
}

static void refuse_method(etxd_exchange *x, const char *allow) {
    etxd_text body = {0};
    etxd_problem_write(&x->problem, "", &body);
    etxd_answer_with(x, 405, "application/problem+json", &body, "Allow", allow);
}

static int is_ready(etxd_exchange *x) {
    if (x->server->phase == ETXD_SERVING || x->route->flags & ETXD_STOPPED) {
        return 0;
    }
    if (x->server->phase == ETXD_STARTING) {
        return etxd_problem_set(&x->problem, ETXD_STARTING_PROBLEM, "the log is being read");
    }
    return etxd_problem_set(&x->problem, ETXD_CLOSING_PROBLEM, "nothing new is begun");
}

/* Somebody may rely on a parameter that nobody reads. Probes may add what they like. */
static int refuse_query(etxd_exchange *x) {
    if (net_request_query(x->request).len == 0 || x->route->flags & ETXD_QUERY ||
        strncmp(x->route->pattern, "/v1/", 4) != 0) {
        return 0;
    }
    return etxd_problem_set(&x->problem, ETXD_BAD_QUERY_PROBLEM, "there are no parameters");
}

static int handle(etxd_exchange *x) {
    int forwarded = x->route->flags & ETXD_OWNED ? etxd_forward(x, x->gid) : 0;
    return forwarded > 0 ? 0 : forwarded < 0 ? -1 : x->route->handle(x);
}

void etxd_handle(net_request *request, void *user) {
    etxd *server = user;
    etxd_exchange *x = make_exchange(request, server);
    char allow[64] = "";
    if (x == NULL) {
        const net_answer answer = {.size = sizeof answer, .status = 503};
        (void)net_request_answer(request, &answer);
        return;
    }
    if (etxd_route_find(x, net_request_path(request), allow, sizeof allow) != 0 &&
        x->problem.code == ETXD_METHOD_PROBLEM && etxd_guard(x) == 0) {
        refuse_method(x, allow);
    } else if (etxd_guard(x) != 0 || x->problem.code != ETXD_NO_PROBLEM || is_ready(x) != 0 ||
               refuse_query(x) != 0 || handle(x) != 0) {
        etxd_refuse(x);
    }
}
