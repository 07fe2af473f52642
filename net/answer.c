/* Answers: made into bytes on any thread, queued and sent on the loop's. */
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>

#include "serving.h"

enum { HEAD_ROOM = 256, FIELD_ROOM = 4 };

/* ---- bytes */

static int is_own_field(const char *name, size_t len) {
    static const net_text own[] = {
        {"content-length", 14}, {"transfer-encoding", 17}, {"connection", 10}, {"date", 4}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (own[i].len == len && strncasecmp(own[i].bytes, name, len) == 0) {
            return 1;
        }
    }
    return 0;
}

static int is_field_sound(const char *name, const char *value) {
    size_t len = strlen(name);
    return net__is_token(name, len) && !is_own_field(name, len) &&
           net__is_value(value, strlen(value));
}

/* Whether it can be sent, and how much room its fields take. */
static int check_answer(const net_answer *answer, size_t *ret_room) {
    size_t room = HEAD_ROOM;
    if (answer->size != sizeof *answer || answer->status < 200 || answer->status > 599) {
        return NET_EINVALID;
    }
    if (answer->content_type != NULL) {
        if (!is_field_sound("content-type", answer->content_type)) {
            return NET_EINVALID;
        }
        room += strlen(answer->content_type);
    }
    for (size_t i = 0; i < answer->header_count; i++) {
        const net_header *header = &answer->headers[i];
        if (!is_field_sound(header->name, header->value)) {
            return NET_EINVALID;
        }
        room += strlen(header->name) + strlen(header->value) + FIELD_ROOM;
    }
    *ret_room = room;
    return 0;
}

static void add_status(net_request *request, int status) {
    static const char blank_date[NET__DATE_LEN + 1] = "                             ";
    net__buffer *out = &request->out;
    net__buffer_add_text(out, "HTTP/1.1 ");
    net__buffer_add_number(out, (unsigned)status);
    net__buffer_add_text(out, " ");
    net__buffer_add_text(out, http_status_str((enum http_status)status));
    net__buffer_add_text(out, "\r\nDate: ");
    request->date_at = out->len;
    net__buffer_add(out, blank_date, NET__DATE_LEN);
    net__buffer_add_text(out, "\r\n");
}

static void add_field(net__buffer *out, const char *name, const char *value) {
    net__buffer_add_text(out, name);
    net__buffer_add(out, ": ", 2);
    net__buffer_add_text(out, value);
    net__buffer_add(out, "\r\n", 2);
}

static void add_fields(net__buffer *out, const net_answer *answer) {
    if (answer->content_type != NULL) {
        add_field(out, "Content-Type", answer->content_type);
    }
    for (size_t i = 0; i < answer->header_count; i++) {
        add_field(out, answer->headers[i].name, answer->headers[i].value);
    }
}

static void add_connection(net_request *request, const net_answer *answer) {
    if (answer->close ||
        atomic_load_explicit(&request->server->draining, memory_order_relaxed) != 0) {
        request->close = 1;
    }
    if (request->close) {
        net__buffer_add_text(&request->out, "Connection: close\r\n");
    } else if (request->minor == 0) {
        net__buffer_add_text(&request->out, "Connection: keep-alive\r\n");
    }
}

static int write_answer(net_request *request, const net_answer *answer) {
    size_t room;
    int bare = answer->status == 204 || answer->status == 304;
    size_t body_len = bare || request->head ? 0 : answer->body_len;
    int rc = check_answer(answer, &room);
    if (rc == 0) {
        rc = net__buffer_reserve(&request->out, room + body_len);
    }
    if (rc != 0) {
        return rc;
    }
    add_status(request, answer->status);
    add_fields(&request->out, answer);
    add_connection(request, answer);
    if (!bare) {
        net__buffer_add_text(&request->out, "Content-Length: ");
        net__buffer_add_number(&request->out, answer->body_len);
        net__buffer_add(&request->out, "\r\n", 2);
    }
    net__buffer_add(&request->out, "\r\n", 2);
    net__buffer_add(&request->out, answer->body, body_len);
    return 0;
}

/* In the stead of one that cannot be sent. */
static void write_failure(net_request *request) {
    static const char body[] =
        "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
        "\"status\":500,\"detail\":\"the answer cannot be sent\",\"code\":\"internal\","
        "\"hint\":\"ask again\"}\n";
    const net_answer answer = {.size = sizeof answer,
                               .status = 500,
                               .content_type = "application/problem+json",
                               .body = body,
                               .body_len = sizeof body - 1};
    if (write_answer(request, &answer) != 0) {
        request->close = 1; /* no memory: an end without an answer */
        request->out.len = 0;
    }
}

/* ---- the queue */

static void set_date(net_request *request) {
    if (request->out.len > request->date_at + NET__DATE_LEN) {
        memcpy(request->out.bytes + request->date_at, net__server_date(request->server),
               NET__DATE_LEN);
    }
}

/* It will be sent, or goes nowhere. */
static void finish(net_request *request) {
    net_server *server = request->server;
    server->counts.requests--;
    server->counts.answered += !request->refusal;
    if (request->conn == NULL) {
        net__request_release(request);
        return;
    }
    request->answering = NET__ANSWER_FINISHED;
    if (request->close && request->conn->state == NET__CONN_OPEN) {
        request->conn->state = NET__CONN_LAST;
    }
    net__conn_later(request->conn);
}

static void finish_posted(net_task *task) {
    net_request *request = (net_request *)(void *)((char *)task - offsetof(net_request, task));
    set_date(request);
    finish(request);
}

int net_request_answer(net_request *request, const net_answer *answer) {
    int rc = write_answer(request, answer);
    if (rc != 0) {
        write_failure(request);
    }
    if (net_loop_is_here(request->server->loop)) {
        finish_posted(&request->task);
    } else {
        request->task.run = finish_posted;
        net_loop_post(request->server->loop, &request->task);
    }
    return rc;
}

/* ---- streams */

int net_stream_begin(net_request *request,
                     const net_answer *answer,
                     void (*drained)(net_request *request, void *user),
                     void *user) {
    size_t room;
    int rc = check_answer(answer, &room);
    if (rc == 0) {
        rc = net__buffer_reserve(&request->out, room);
    }
    if (rc != 0) {
        write_failure(request);
        set_date(request);
        finish(request);
        return rc;
    }
    request->chunked = request->minor > 0;
    request->close |= !request->chunked;
    add_status(request, answer->status);
    add_fields(&request->out, answer);
    add_connection(request, answer);
    net__buffer_add_text(&request->out,
                         request->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    set_date(request);
    request->drained = drained;
    request->drained_user = user;
    request->answering = NET__ANSWER_STREAM;
    if (request->conn != NULL) {
        net__conn_later(request->conn);
    }
    return 0;
}

static void add_chunk(net_request *request, const void *bytes, size_t len) {
    net__buffer *out = &request->out;
    if (!request->chunked) {
        net__buffer_add(out, bytes, len);
        return;
    }
    char size[24];
    int size_len = snprintf(size, sizeof size, "%zx\r\n", len);
    net__buffer_add(out, size, (size_t)size_len);
    net__buffer_add(out, bytes, len);
    net__buffer_add(out, "\r\n", 2);
}

int net_stream_write(net_request *request, const void *bytes, size_t len) {
    if (request->conn == NULL) {
        return NET_ECLOSED;
    }
    if (len == 0 || request->head) {
        return 0;
    }
    if (request->out.len - request->sent + len > request->server->options.stream_bytes_max) {
        request->waits = 1;
        return NET_EBUSY;
    }
    if (request->sent > 0 && request->sent == request->out.len) {
        request->out.len = 0;
        request->sent = 0;
    }
    if (net__buffer_reserve(&request->out, len + 32) != 0) {
        return NET_ENOMEM;
    }
    add_chunk(request, bytes, len);
    net__conn_later(request->conn);
    return 0;
}

/* A server that is to end does not wait long for who takes nothing of a stream that is over. */
static void hurry(const net_request *request) {
    enum { LAST_MS = 1000 };
    const net_server *server = request->server;
    net__conn *conn = request->conn;
    if (conn != NULL && conn->first == request && request->next == NULL &&
        conn->phase == NET__PHASE_BUSY &&
        atomic_load_explicit(&server->draining, memory_order_relaxed)) {
        conn->read_by = net_loop_now_ms(server->loop) + LAST_MS;
    }
}

void net_stream_end(net_request *request) {
    if (request->conn != NULL && request->chunked && !request->head) {
        if (net__buffer_reserve(&request->out, 8) == 0) {
            net__buffer_add_text(&request->out, "0\r\n\r\n");
        } else {
            request->close = 1; /* the end is missing, which tells that bytes are */
        }
    }
    hurry(request);
    finish(request);
}
