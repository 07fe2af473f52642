/* Requests: what a head must say, handing them out, and what they tell. */
#include <stdlib.h>

#include "serving.h"

enum { OUT_KEEP = 16384 };

net_request *net__request_take(net__conn *conn) {
    net_server *server = conn->server;
    net_request *request = server->pool;
    net__buffer out = {0};
    if (request != NULL) {
        server->pool = request->next;
        server->pooled--;
        out = request->out;
    } else {
        request = malloc(sizeof *request);
        if (request == NULL) {
            return NULL;
        }
    }
    *request = (net_request){.server = server, .conn = conn, .out = out};
    server->holds++;
    *conn->last = request;
    conn->last = &request->next;
    conn->queued++;
    return request;
}

void net__request_release(net_request *request) {
    net_server *server = request->server;
    net__buffer_clear(&request->out, OUT_KEEP);
    if (server->pooled < NET__REQUESTS_KEPT) {
        request->next = server->pool;
        server->pool = request;
        server->pooled++;
    } else {
        free(request->out.bytes);
        free(request);
    }
    net__server_release(server);
}

void net__request_detach(net_request *request) {
    request->conn = NULL;
    request->next = NULL;
    if (request->answering == NET__ANSWER_FINISHED) {
        net__request_release(request);
    } else if (request->gone != NULL) {
        request->gone(request, request->gone_user);
    }
}

/* ---- the target and the authority */

static const char *judge_target(net_request *request,
                                const char *bytes,
                                const net__message *message) {
    const char *at = bytes + message->target.at;
    size_t len = message->target.len;
    net_url url;
    if (len == 1 && at[0] == '*') {
        if (message->parser.method != HTTP_OPTIONS) {
            return "only OPTIONS may ask for *";
        }
    } else if (at[0] != '/') {
        const char *reason = "the target is not valid";
        if (net_url_parse(at, len, &url, &reason) != 0) {
            return reason;
        }
        if (memchr(at, '#', len) != NULL || url.slash) {
            return "the target is not valid";
        }
        const char *authority = memchr(at, ':', len);
        authority += 3;
        request->host = (net_text){authority, (size_t)(url.target - authority)};
        at = url.target;
        len = url.target_len;
    }
    const char *query = memchr(at, '?', len);
    request->path = (net_text){at, query == NULL ? len : (size_t)(query - at)};
    if (query != NULL) {
        request->query = (net_text){query + 1, len - (size_t)(query - at) - 1};
    }
    return NULL;
}

static const char *judge_host(net_request *request,
                              const char *bytes,
                              const net__message *message) {
    const char *reason = NULL;
    if (message->hosts > 1) {
        return "there is more than one Host";
    }
    if (message->hosts == 0) {
        return message->parser.http_minor > 0 ? "there is no Host" : NULL;
    }
    net_url url = {0};
    net_text host = {bytes + message->host->value.at, message->host->value.len};
    if (net__authority_parse(host.bytes, host.len, &url, &reason) != 0) {
        return "the Host is not valid";
    }
    if (request->host.bytes == NULL) {
        request->host = host;
    }
    return NULL;
}

/* What is read by one of them may be something else by the other. */
static int has_two_types(const char *bytes, const net__message *message) {
    static const char name[] = "content-type";
    const net__field *first = net__message_find(message, bytes, name, sizeof name - 1, NULL);
    return first != NULL && net__message_find(message, bytes, name, sizeof name - 1, first) != NULL;
}

/* Methods that get to the handler. */
static int is_served(unsigned method) {
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_POST || method == HTTP_PUT ||
           method == HTTP_DELETE || method == HTTP_PATCH || method == HTTP_OPTIONS;
}

/* Why a request gets no further: a reason and its status, or NULL. */
static const char *judge(net_request *request,
                         const char *bytes,
                         const net__message *message,
                         int *ret_status) {
    *ret_status = 501;
    if (!is_served(message->parser.method)) {
        return "the method is not served";
    }
    *ret_status = 400;
    const char *reason = judge_target(request, bytes, message);
    if (reason == NULL) {
        reason = judge_host(request, bytes, message);
    }
    if (reason == NULL && has_two_types(bytes, message)) {
        return "there is more than one Content-Type";
    }
    if (reason == NULL && message->expects == 2) {
        *ret_status = 417;
        return "only 100-continue can be expected";
    }
    return reason;
}

int net__request_is_unwelcome(net__conn *conn, const char *bytes) {
    const net_server_options *options = &conn->server->options;
    net__message *message = &conn->message;
    net_request probe = {.conn = conn, .bytes = bytes};
    int status;
    if (options->welcome == NULL || message->head_len == 0 || message->welcome) {
        return 0;
    }
    message->welcome = judge(&probe, bytes, message, &status) == NULL &&
                       options->welcome(&probe, options->user) != 0;
    return !message->welcome;
}

void net__request_dispatch(net__conn *conn, const char *bytes) {
    net_server *server = conn->server;
    const net__message *message = &conn->message;
    net_request probe = {0};
    int status;
    const char *reason = judge(&probe, bytes, message, &status);
    if (reason != NULL) {
        net__request_refuse(conn, status, reason);
        return;
    }
    net_request *request = net__request_take(conn);
    if (request == NULL) {
        net__conn_close(conn);
        return;
    }
    request->bytes = bytes;
    request->path = probe.path;
    request->query = probe.query;
    request->host = probe.host;
    request->head = message->parser.method == HTTP_HEAD;
    request->minor = message->parser.http_minor > 0;
    if (message->used == 0) {
        conn->message.body_len = 0;
    }
    request->close = !message->keep_alive || message->used == 0;
    if (request->close) {
        conn->state = NET__CONN_LAST;
    }
    server->counts.requests++;
    server->options.handler(request, server->options.user);
}

/* ---- what a request tells */

const char *net_request_method(const net_request *request) {
    return http_method_str((enum http_method)request->conn->message.parser.method);
}

net_text net_request_path(const net_request *request) {
    return request->path;
}

net_text net_request_query(const net_request *request) {
    return request->query;
}

net_text net_request_host(const net_request *request) {
    return request->host;
}

static net_text text_of(const net_request *request, net__slice slice) {
    return (net_text){request->bytes + slice.at, slice.len};
}

net_text net_request_header(const net_request *request, const char *name) {
    const net__field *field =
        net__message_find(&request->conn->message, request->bytes, name, strlen(name), NULL);
    return field == NULL ? (net_text){NULL, 0} : text_of(request, field->value);
}

int net_request_header_at(const net_request *request,
                          size_t index,
                          net_text *ret_name,
                          net_text *ret_value) {
    const net__message *message = &request->conn->message;
    if (index >= message->field_count) {
        return 0;
    }
    *ret_name = text_of(request, message->field[index].name);
    *ret_value = text_of(request, message->field[index].value);
    return 1;
}

net_text net_request_body(const net_request *request) {
    const net__message *message = &request->conn->message;
    return (net_text){request->bytes + message->head_len, message->body_len};
}

const net_address *net_request_peer(const net_request *request) {
    return &request->conn->address;
}

int net_request_is_tls(const net_request *request) {
    return request->conn->transport.ssl != NULL;
}

const char *net_request_subject(const net_request *request, char *text) {
    return net__transport_subject(&request->conn->transport, text);
}

void net_request_alone(net_request *request) {
    request->conn->alone = request;
}

void net_request_needs_client(net_request *request) {
    request->needs_client = 1;
}

void net_request_on_gone(net_request *request,
                         void (*gone)(net_request *request, void *user),
                         void *user) {
    request->gone = gone;
    request->gone_user = user;
}
