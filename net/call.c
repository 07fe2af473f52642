/* Requests of a client: made into bytes on any thread; begun, cancelled and ended on the loop's. */
#include <stdlib.h>
#include <strings.h>

#include "calling.h"

enum { HEAD_ROOM = 128, OUT_KEEP = 16384 };

/* ---- the table */

static int grow_table(net_client *client) {
    if (client->call_count < client->call_size) {
        return 0;
    }
    uint32_t size = client->call_size == 0 ? 64 : client->call_size * 2;
    net__call **calls = realloc(client->calls, size * sizeof *calls);
    if (calls == NULL) {
        return NET_ENOMEM;
    }
    client->calls = calls;
    client->call_size = size;
    return 0;
}

net__call *net__call_take(net_client *client) {
    pthread_mutex_lock(&client->lock);
    net__call *call = client->free_calls;
    if (call != NULL) {
        client->free_calls = call->next;
    } else if (grow_table(client) == 0 && (call = calloc(1, sizeof *call)) != NULL) {
        call->slot = client->call_count;
        call->client = client;
        call->start.run = net__call_start;
        call->cancel.run = net__call_cancel;
        client->calls[client->call_count++] = call;
    }
    if (call != NULL) {
        call->next = NULL;
        call->generation++;
        call->id = (uint64_t)call->generation << 32 | call->slot;
        call->cancelled = 0;
        call->begun = 0;
        call->ended = 0;
        call->tries = 0;
        call->behind = 0;
        call->link = NULL;
        call->target = NULL;
        call->previous = NULL;
    }
    pthread_mutex_unlock(&client->lock);
    return call;
}

void net__call_give_back(net__call *call) {
    net_client *client = call->client;
    net_tls_free(call->tls);
    call->tls = NULL;
    net__buffer_clear(&call->out, OUT_KEEP);
    pthread_mutex_lock(&client->lock);
    call->id = 0;
    call->next = client->free_calls;
    client->free_calls = call;
    pthread_mutex_unlock(&client->lock);
}

void net_client_cancel(net_client *client, uint64_t id) {
    uint32_t slot = (uint32_t)id;
    pthread_mutex_lock(&client->lock);
    if (slot < client->call_count && client->calls[slot]->id == id) {
        net__call *call = client->calls[slot];
        call->cancel_id = id;
        if (!call->cancel_posted) {
            call->cancel_posted = 1;
            net_loop_post(client->loop, &call->cancel);
        }
    }
    pthread_mutex_unlock(&client->lock);
}

void net__call_cancel(net_task *task) {
    net__call *call = (net__call *)(void *)((char *)task - offsetof(net__call, cancel));
    net_client *client = call->client;
    pthread_mutex_lock(&client->lock);
    int valid = call->cancel_id == call->id && call->id != 0;
    call->cancel_posted = 0;
    pthread_mutex_unlock(&client->lock);
    if (valid && !call->begun) {
        call->cancelled = 1;
    } else if (valid && !call->ended) {
        net__call_fail(call, NET_ECANCELLED, net__link_has_sent(call), 0, "");
    }
    if (client->freed) {
        net__client_release(client); /* see net_client_free */
    }
}

/* ---- bytes */

static int is_own_field(const char *name, size_t len) {
    static const net_text own[] = {{"host", 4},
                                   {"content-length", 14},
                                   {"transfer-encoding", 17},
                                   {"connection", 10},
                                   {"expect", 6}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (own[i].len == len && strncasecmp(own[i].bytes, name, len) == 0) {
            return 1;
        }
    }
    return 0;
}

static int check_fetch(const net_fetch *fetch) {
    if (fetch->size != sizeof *fetch || fetch->url == NULL || fetch->method == NULL ||
        fetch->done == NULL || !net__is_token(fetch->method, strlen(fetch->method)) ||
        strcmp(fetch->method, "CONNECT") == 0) {
        return NET_EINVALID;
    }
    return fetch->url->tls && (fetch->tls == NULL || net__tls_is_server(fetch->tls)) ? NET_EINVALID
                                                                                     : 0;
}

static int write_line(net__buffer *out, const net_fetch *fetch) {
    char authority[NET_AUTHORITY_TEXT_MAX];
    size_t authority_len = net_url_authority(fetch->url, authority, sizeof authority);
    size_t method_len = strlen(fetch->method);
    int rc =
        net__buffer_reserve(out, HEAD_ROOM + method_len + fetch->url->target_len + authority_len);
    if (rc != 0) {
        return rc;
    }
    net__buffer_add(out, fetch->method, method_len);
    net__buffer_add_text(out, fetch->url->slash ? " /" : " ");
    net__buffer_add(out, fetch->url->target, fetch->url->target_len);
    net__buffer_add_text(out, " HTTP/1.1\r\nHost: ");
    net__buffer_add(out, authority, authority_len);
    net__buffer_add(out, "\r\n", 2);
    return 0;
}

static int write_field(net__buffer *out, const net_header *header) {
    size_t name_len = strlen(header->name);
    size_t value_len = strlen(header->value);
    if (!net__is_token(header->name, name_len) || is_own_field(header->name, name_len) ||
        !net__is_value(header->value, value_len)) {
        return NET_EINVALID;
    }
    int rc = net__buffer_reserve(out, name_len + value_len + 4);
    if (rc == 0) {
        net__buffer_add(out, header->name, name_len);
        net__buffer_add(out, ": ", 2);
        net__buffer_add(out, header->value, value_len);
        net__buffer_add(out, "\r\n", 2);
    }
    return rc;
}

static int write_request(net__buffer *out, const net_fetch *fetch) {
    int rc = write_line(out, fetch);
    for (size_t i = 0; i < fetch->header_count && rc == 0; i++) {
        rc = write_field(out, &fetch->headers[i]);
    }
    rc = rc != 0 ? rc : net__buffer_reserve(out, HEAD_ROOM + fetch->body_len);
    if (rc != 0) {
        return rc;
    }
    if (fetch->body_len > 0 || fetch->method[0] == 'P') {
        net__buffer_add_text(out, "Content-Length: ");
        net__buffer_add_number(out, fetch->body_len);
        net__buffer_add(out, "\r\n", 2);
    }
    net__buffer_add(out, "\r\n", 2);
    net__buffer_add(out, fetch->body, fetch->body_len);
    return 0;
}

int net_client_fetch(net_client *client, const net_fetch *fetch, uint64_t *ret_id) {
    const net_client_options *options = &client->options;
    int rc = check_fetch(fetch);
    if (rc != 0) {
        return rc;
    }
    net__call *call = net__call_take(client);
    if (call == NULL) {
        return NET_ENOMEM;
    }
    rc = write_request(&call->out, fetch);
    if (rc != 0) {
        net__call_give_back(call);
        return rc;
    }
    call->url = *fetch->url;
    call->tls = fetch->url->tls ? net__tls_hold(fetch->tls) : NULL;
    call->head = strcmp(fetch->method, "HEAD") == 0;
    call->pipeline_max =
        fetch->pipeline_max < NET__PIPELINE_MAX ? fetch->pipeline_max : NET__PIPELINE_MAX;
    call->connect_ms = fetch->connect_ms != 0 ? fetch->connect_ms : options->connect_ms;
    call->timeout_ms = fetch->timeout_ms != 0 ? fetch->timeout_ms : options->timeout_ms;
    call->answer_bytes_max =
        fetch->answer_bytes_max != 0 ? fetch->answer_bytes_max : options->answer_bytes_max;
    call->done = fetch->done;
    call->piece = fetch->piece;
    call->user = fetch->user;
    if (ret_id != NULL) {
        *ret_id = call->id;
    }
    if (net_loop_is_here(client->loop)) {
        net_loop_defer(client->loop, &call->start);
    } else {
        net_loop_post(client->loop, &call->start);
    }
    return 0;
}

/* ---- the course of a request */

static void out_of_time(net_timer *timer) {
    net__call *call = (net__call *)(void *)((char *)timer - offsetof(net__call, timer));
    net__call_fail(call, NET_ETIMEOUT, net__link_has_sent(call), 0, "no answer came in time");
}

void net__call_start(net_task *task) {
    net__call *call = (net__call *)(void *)((char *)task - offsetof(net__call, start));
    net_client *client = call->client;
    call->begun = 1;
    client->counts.requests++;
    if (call->cancelled || client->freed) {
        int freed = client->freed;
        net__call_fail(call, NET_ECANCELLED, 0, 0, "");
        if (freed) {
            net__client_release(client); /* see net_client_free */
        }
        return;
    }
    call->timer.fire = out_of_time;
    net_timer_start(client->loop, &call->timer, call->timeout_ms);
    net__target *target = net__target_of(client, &call->url, call->tls);
    if (target == NULL) {
        net__call_fail(call, NET_ENOMEM, 0, 0, "");
    } else if (target->waiting >= client->options.target_queue_max) {
        net__call_fail(call, NET_EBUSY, 0, 0, "too many requests wait for this target");
    } else {
        net__target_queue(target, call, 0);
        net__target_pump(target);
    }
}

/* It waits for nothing any more. */
static void leave(net__call *call) {
    call->ended = 1;
    call->client->counts.requests--;
    net_timer_stop(call->client->loop, &call->timer);
    if (call->previous != NULL) {
        net__target_unqueue(call->target, call);
    }
}

void net__call_fail(net__call *call, int error, int sent, int stale, const char *detail) {
    const net_result result = {.error = error,
                               .sent = sent,
                               .stale = stale,
                               .behind = call->behind,
                               .detail = detail != NULL ? detail : ""};
    net_client *client = call->client;
    net__link *link = call->link;
    net__target *target = call->target;
    int told = call->ended;
    client->holds++; /* the callback may free it */
    if (!told) {
        leave(call);
    }
    int closes = link != NULL && net__link_lacks(link, call);
    int stays = call->link != NULL;
    if (!told) {
        call->done(call->id, &result, call->user);
    }
    if (!stays) {
        net__call_give_back(call);
    }
    if (closes) {
        net__link_close(link);
    }
    if (target != NULL) {
        net__target_pump(target);
    }
    net__client_release(client);
}

/* What an answer's fields are looked up in. */
typedef struct answer {
    const net__message *message;
    const char *bytes;
} answer;

void net__call_answer(net__call *call, const char *bytes) {
    net__link *link = call->link;
    const net__message *message = &link->message;
    const answer whole = {message, bytes};
    const net_result result = {.status = (int)message->parser.status_code,
                               .body = {bytes + message->head_len, message->body_len},
                               .detail = "",
                               .message = &whole};
    net__link_leave(link, call);
    if (!call->ended) {
        leave(call);
        call->done(call->id, &result, call->user);
    }
    net__call_give_back(call);
}

net_text net_result_header(const net_result *result, const char *name) {
    const answer *whole = result->message;
    if (whole == NULL) {
        return (net_text){NULL, 0};
    }
    const net__field *field =
        net__message_find(whole->message, whole->bytes, name, strlen(name), NULL);
    return field == NULL ? (net_text){NULL, 0}
                         : (net_text){whole->bytes + field->value.at, field->value.len};
}
