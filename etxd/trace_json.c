/* Spans as a request of OTLP in its JSON encoding: ids in hexadecimal, 64-bit numbers as text. */
#include <string.h>

#include "trace.h"

enum { INTERNAL = 1, CLIENT = 3, STATUS_ERROR = 2 };

/* Begins one more element of an array. */
static void element(etxd_text *text) {
    etxd_text_put(text, text->len > 0 && text->bytes[text->len - 1] == '[' ? "{" : ",{");
}

static void attribute(etxd_text *text, const char *key, const char *value) {
    if (value[0] == '\0') {
        return;
    }
    element(text);
    etxd_text_member(text, "key", key);
    etxd_text_name(text, "value");
    etxd_text_put(text, "{");
    etxd_text_member(text, "stringValue", value);
    etxd_text_put(text, "}}");
}

static void attribute_number(etxd_text *text, const char *key, uint64_t value) {
    element(text);
    etxd_text_member(text, "key", key);
    etxd_text_print(text, ",\"value\":{\"intValue\":\"%llu\"}}", (unsigned long long)value);
}

static void member_time(etxd_text *text, const char *name, uint64_t us) {
    etxd_text_name(text, name);
    etxd_text_print(text, "\"%llu000\"", (unsigned long long)us);
}

static void write_event(etxd_text *text, const char *name, uint64_t us) {
    element(text);
    member_time(text, "timeUnixNano", us);
    etxd_text_member(text, "name", name);
    etxd_text_put(text, "}");
}

/* ---- a transaction's, from begin to ended */

static void write_transaction(etxd_text *text, const etxd_trace_span *span) {
    etxd_text_member(text, "name", "transaction");
    etxd_text_member_number(text, "kind", INTERNAL);
    etxd_text_name(text, "attributes");
    etxd_text_put(text, "[");
    attribute(text, "etx.gid", span->gid);
    attribute(text, "etx.state", etx_state_name(span->state));
    attribute(text, "etx.durability", etx_durability_name(span->durability));
    attribute(text, "etx.home", span->home);
    etxd_text_put(text, "]");
    etxd_text_name(text, "events");
    etxd_text_put(text, "[");
    write_event(text, "begun", span->began_us);
    if (span->decided_us != 0) {
        write_event(text, "decided", span->decided_us);
    }
    write_event(text, "ended", span->ended_us);
    etxd_text_put(text, "]");
}

/* ---- a call's */

/* "https://stock:8443" as host and port. */
static void write_address(etxd_text *text, const char *target) {
    const char *host = strstr(target, "://");
    const char *port = strrchr(target, ':');
    char name[ETX_HTTP_TARGET_MAX];
    if (host == NULL || port == host) {
        attribute(text, "server.address", host != NULL ? host + 3 : target);
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)(port - host - 3), host + 3);
    attribute(text, "server.address", name);
    attribute(text, "server.port", port + 1);
}

static void write_status(etxd_text *text, const etxd_trace_span *span) {
    if (span->reply == ETX_RETRY) {
        etxd_text_name(text, "status");
        etxd_text_put(text, "{");
        etxd_text_member_number(text, "code", STATUS_ERROR);
        etxd_text_member(text, "message", span->reason);
        etxd_text_put(text, "}");
    }
}

static void write_link(etxd_text *text, const etxd_trace_name *to) {
    if (to->trace[0] != '\0') {
        etxd_text_name(text, "links");
        etxd_text_put(text, "[{");
        etxd_text_member(text, "traceId", to->trace);
        etxd_text_member(text, "spanId", to->span);
        etxd_text_put(text, "}]");
    }
}

static void write_call(etxd_text *text, const etxd_trace_span *span) {
    etxd_text_member(text, "name", span->operation);
    etxd_text_member_number(text, "kind", CLIENT);
    etxd_text_name(text, "attributes");
    etxd_text_put(text, "[");
    attribute(text, "etx.gid", span->gid);
    attribute(text, "etx.branch", span->branch);
    attribute(text, "etx.operation", span->operation);
    attribute_number(text, "etx.attempt", span->attempt);
    attribute(text, "etx.reply", etx_reply_name(span->reply));
    attribute(text, "etx.reason", span->reason);
    attribute(text, "http.request.method", "POST");
    if (span->status != 0) {
        attribute_number(text, "http.response.status_code", (uint64_t)span->status);
    }
    write_address(text, span->target);
    etxd_text_put(text, "]");
    write_link(text, &span->linked_to);
    write_status(text, span);
}

/* ---- all of it */

static void write_span(etxd_text *text, const etxd_trace_span *span) {
    element(text);
    etxd_text_member(text, "traceId", span->name.trace);
    etxd_text_member(text, "spanId", span->name.span);
    if (span->parent[0] != '\0') {
        etxd_text_member(text, "parentSpanId", span->parent);
    }
    member_time(text, "startTimeUnixNano", span->began_us);
    member_time(text, "endTimeUnixNano", span->ended_us);
    if (span->operation[0] != '\0') {
        write_call(text, span);
    } else {
        write_transaction(text, span);
    }
    etxd_text_put(text, "}");
}

void etxd_trace_write(etxd_text *text,
                      const etxd_config *config,
                      const etxd_trace_span *spans,
                      size_t count) {
    size_t i;
    etxd_text_put(text, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    attribute(text, "service.name", config->trace_service);
    attribute(text, "service.version", etx_version());
    attribute(text, "service.instance.id", config->node);
    etxd_text_put(text, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"etxd\"},\"spans\":[");
    for (i = 0; i < count; i++) {
        write_span(text, &spans[i]);
    }
    etxd_text_put(text, "]}]}]}");
}
