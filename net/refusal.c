/* Refusals: what a client is answered whose request gets no further (RFC 9457). */
#include <stdio.h>

#include "serving.h"

/* Each status that a refusal may have, with a code that stays and what to do. */
static const struct {
    int status;
    const char *code, *hint;
} refusals[] = {
    {400, "bad-request", "send what RFC 9112 has, in its strict form; the detail says what is not"},
    {408, "too-slow", "send a request without long pauses"},
    {413, "too-large", "send a smaller body; nothing was begun"},
    {414, "target-too-long", "send a shorter URL"},
    {417, "expectation", "leave out the field Expect, or say 100-continue"},
    {431, "head-too-large", "send fewer or shorter headers"},
    {501, "not-served", "use another method, or leave out Transfer-Encoding"},
    {503, "connections", "keep connections and use them again; repeat after Retry-After"},
    {505, "version", "speak HTTP/1.1"},
};

enum { COUNT = sizeof refusals / sizeof refusals[0] };

void net__request_refuse(net__conn *conn, int status, const char *detail) {
    static const net_header later = {"Retry-After", "1"};
    net_request *request = net__request_take(conn);
    char body[512];
    size_t at = 0;
    conn->server->counts.refused++;
    if (request == NULL) {
        net__conn_close(conn);
        return;
    }
    for (size_t i = 0; i < COUNT; i++) {
        at = refusals[i].status == status ? i : at;
    }
    int len = snprintf(body, sizeof body,
                       "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                       "\"detail\":\"%s\",\"code\":\"%s\",\"hint\":\"%s\"}\n",
                       http_status_str((enum http_status)status), status, detail, refusals[at].code,
                       refusals[at].hint);
    const net_answer answer = {.size = sizeof answer,
                               .status = status,
                               .content_type = "application/problem+json",
                               .headers = &later,
                               .header_count = status == 503,
                               .body = body,
                               .body_len = (size_t)len,
                               .close = 1};
    request->refusal = 1;
    request->minor = 1;
    conn->server->counts.requests++;
    conn->state = NET__CONN_LAST;
    (void)net_request_answer(request, &answer);
}
