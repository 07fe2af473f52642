/* A server's connection: reads requests, sends answers in order, and loses patience.
 *
 * One function, net__conn_drive, does whatever can be done, and is called after every event: it
 * sends what is ready, reads on if there is room for requests, and then asks the loop for what it
 * waits for. Bytes are read into memory that all connections share; only what is left of an
 * unfinished message is kept by the connection itself. So one that is idle holds no buffer, and one
 * whose requests come whole never copies them.
 *
 * At an end that the peer may not expect (a refusal), closing at once could destroy the answer on
 * its way: unread bytes make the kernel send a reset. So the connection lingers: its sending side
 * is shut, and what comes is thrown away for a while. */
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "serving.h"

enum { LINGER_MS = 1000, LINGER_BYTES_MAX = 1 << 20, PIECES_MAX = 32, REQUEST_KEEP = 16384 };

static net__conn *of_watch(net_watch *watch) {
    return (net__conn *)(void *)((char *)watch - offsetof(net__conn, watch));
}

/* ---- patience */

static void set_timer(net__conn *conn) {
    uint64_t by = conn->read_by;
    if (conn->write_by != 0 && (by == 0 || conn->write_by < by)) {
        by = conn->write_by;
    }
    if (by == 0 || (net_timer_runs(&conn->timer) && conn->timer.at_ms <= by)) {
        return; /* it will look again when it fires */
    }
    uint64_t now = net_loop_now_ms(conn->server->loop);
    net_timer_start(conn->server->loop, &conn->timer, by > now ? by - now : 1);
}

static void enter_phase(net__conn *conn, net__phase phase) {
    const net_server_options *options = &conn->server->options;
    if (conn->phase == phase) {
        return;
    }
    uint64_t now = net_loop_now_ms(conn->server->loop);
    conn->phase = (uint8_t)phase;
    conn->spared = 0;
    switch (phase) {
        case NET__PHASE_IDLE:
            conn->read_by = now + options->idle_ms;
            break;
        case NET__PHASE_HEAD:
            conn->read_by = now + options->header_ms;
            break;
        case NET__PHASE_BODY:
            conn->read_by = now + options->body_ms;
            break;
        case NET__PHASE_BUSY:
            conn->read_by = 0;
            break;
    }
}

static void drive_on(net__conn *conn, int readable);

/* Who asked while nobody looked could not know whether his request was begun. */
int net__conn_spare(net__conn *conn) {
    if (!net__conn_is_idle(conn) || conn->state != NET__CONN_OPEN || conn->spared ||
        !conn->transport.shaken || !net__transport_unread(&conn->transport)) {
        return 0;
    }
    conn->spared = 1;
    conn->read_by = net_loop_now_ms(conn->server->loop) + conn->server->options.header_ms;
    drive_on(conn, 1);
    return 1;
}

static void out_of_patience(net_timer *timer) {
    net__conn *conn = (net__conn *)(void *)((char *)timer - offsetof(net__conn, timer));
    uint64_t now = net_loop_now_ms(conn->server->loop);
    if (conn->write_by != 0 && conn->write_by <= now) {
        conn->server->counts.timed_out++;
        net__conn_close(conn);
        return;
    }
    if (conn->read_by == 0 || conn->read_by > now) {
        set_timer(conn);
        return;
    }
    if (net__conn_spare(conn)) {
        return;
    }
    if (conn->state == NET__CONN_OPEN &&
        (conn->phase == NET__PHASE_HEAD || conn->phase == NET__PHASE_BODY) &&
        conn->transport.shaken) {
        conn->server->counts.timed_out++;
        net__request_refuse(conn, 408, "the request did not come in time");
        conn->read_by = 0;
        net__conn_drive(conn);
        return;
    }
    conn->server->counts.timed_out += conn->state == NET__CONN_OPEN;
    net__conn_close(conn);
}

/* ---- the end */

static void bury(net_task *task) {
    net__conn *conn = (net__conn *)(void *)((char *)task - offsetof(net__conn, end));
    net_server *server = conn->server;
    free(conn);
    net__server_buried(server);
}

static void give_back_block(net__conn *conn) {
    net_server *server = conn->server;
    if (conn->in.size == NET__BLOCK && server->spare_count < NET__SPARES_MAX) {
        server->spare[server->spare_count++] = conn->in.bytes;
    } else {
        free(conn->in.bytes);
    }
    conn->in = (net__buffer){0};
}

static void detach_all(net__conn *conn) {
    while (conn->first != NULL) {
        net_request *request = conn->first;
        conn->first = request->next;
        net__request_detach(request);
    }
    conn->last = &conn->first;
    conn->queued = 0;
}

void net__conn_close(net__conn *conn) {
    net_server *server = conn->server;
    if (conn->state == NET__CONN_CLOSED) {
        return;
    }
    conn->state = NET__CONN_CLOSED;
    net_timer_stop(server->loop, &conn->timer);
    net_watch_remove(server->loop, &conn->watch);
    net__transport_close(&conn->transport);
    *conn->previous = conn->next;
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
    if (conn->in.bytes != NULL) {
        give_back_block(conn);
    }
    net__server_lost(server, conn);
    net_loop_defer(server->loop, &conn->end);
    detach_all(conn);
}

int net__conn_is_idle(const net__conn *conn) {
    return conn->first == NULL && conn->in.len == 0 && conn->message.seen == 0 &&
           conn->state != NET__CONN_LINGER;
}

/* Everything is sent. */
static void linger(net__conn *conn) {
    if (conn->ended) {
        net__conn_close(conn);
        return;
    }
    net__transport_shut(&conn->transport);
    conn->state = NET__CONN_LINGER;
    conn->read_by = net_loop_now_ms(conn->server->loop) + LINGER_MS;
    conn->write_by = 0;
    set_timer(conn);
}

/* ---- sending */

static int gather(const net__conn *conn, struct iovec *pieces) {
    int count = 0;
    for (net_request *request = conn->first; request != NULL && count < PIECES_MAX;
         request = request->next) {
        if (request->answering == NET__ANSWER_OPEN) {
            break;
        }
        if (request->out.len > request->sent) {
            pieces[count++] = (struct iovec){request->out.bytes + request->sent,
                                             request->out.len - request->sent};
        }
        if (request->answering == NET__ANSWER_STREAM || request->close) {
            break;
        }
    }
    return count;
}

/* A stream's buffer was sent whole. */
static void refill(net_request *request) {
    net__buffer_clear(&request->out, REQUEST_KEEP);
    request->sent = 0;
    if (request->waits) {
        request->waits = 0;
        if (request->drained != NULL) {
            request->drained(request, request->drained_user);
        }
    }
}

/* `len` more bytes of the queue are sent. */
static void consume(net__conn *conn, size_t len) {
    while (conn->first != NULL && conn->first->answering != NET__ANSWER_OPEN) {
        net_request *request = conn->first;
        size_t left = request->out.len - request->sent;
        size_t take = left < len ? left : len;
        request->sent += take;
        len -= take;
        if (take < left) {
            return;
        }
        if (request->answering == NET__ANSWER_STREAM) {
            refill(request);
            return;
        }
        int close = request->close;
        conn->first = request->next;
        conn->queued--;
        conn->alone = conn->alone == request ? NULL : conn->alone;
        if (conn->first == NULL) {
            conn->last = &conn->first;
        }
        net__request_release(request);
        if (close) {
            conn->state = NET__CONN_LAST;
            detach_all(conn);
            return;
        }
    }
}

static void send_ready(net__conn *conn) {
    net_server *server = conn->server;
    struct iovec pieces[PIECES_MAX];
    int count;
    while (conn->state < NET__CONN_LINGER && conn->first != NULL) {
        size_t wanted = 0;
        count = gather(conn, pieces);
        if (count == 0 && conn->first->answering != NET__ANSWER_FINISHED) {
            return;
        }
        if (count == 0) {
            consume(conn, 0);
            continue;
        }
        for (int i = 0; i < count; i++) {
            wanted += pieces[i].iov_len;
        }
        ssize_t sent = net__transport_write(&conn->transport, pieces, count, server->scratch);
        if (sent == NET__BROKEN) {
            net__conn_close(conn);
            return;
        }
        int whole = sent > 0 && (size_t)sent == wanted;
        if (sent > 0 || conn->write_by == 0) {
            conn->write_by = whole ? 0 : net_loop_now_ms(server->loop) + server->options.write_ms;
        }
        if (sent > 0) {
            consume(conn, (size_t)sent);
        }
        if (!whole && (sent < 0 || conn->transport.ssl == NULL)) {
            return;
        }
    }
}

static void send_continue(net__conn *conn) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec piece = {(void *)text, sizeof text - 1};
    conn->continued = 1;
    ssize_t sent = net__transport_write(&conn->transport, &piece, 1, conn->server->scratch);
    if (sent != (ssize_t)piece.iov_len) {
        net__conn_close(conn); /* nothing else waits: a peer that takes no 25 bytes takes nothing */
    }
}

/* ---- reading */

static void begin_message(net__conn *conn) {
    net__message_begin(&conn->message, 0, 0);
    conn->continued = 0;
}

/* Whether another request may be begun. */
static int has_room(const net__conn *conn) {
    return conn->state == NET__CONN_OPEN && conn->alone == NULL &&
           conn->queued < conn->server->options.pipelined_max;
}

/* Whether more is to be read; behind a request that is alone once, so that the end is seen. */
static int may_read(const net__conn *conn) {
    return has_room(conn) ||
           (conn->state == NET__CONN_OPEN && conn->alone != NULL && conn->in.len == 0);
}

/* Whether what is being answered is for nobody once the client sends no more. */
static int needs_client(const net__conn *conn) {
    const net_request *request = conn->first;
    return request != NULL && (request->answering == NET__ANSWER_STREAM ||
                               (request->answering == NET__ANSWER_OPEN && request->needs_client));
}

/* Nothing of it is read any more, but its end is waited for. */
static int is_watched(const net__conn *conn) {
    return conn->state == NET__CONN_LAST && needs_client(conn);
}

/* Reads requests out of bytes. Returns how many of the last bytes have to be kept, which then
 * begin at `*ret_from`. */
static size_t read_requests(net__conn *conn, char *bytes, size_t len, size_t *ret_from) {
    size_t at = 0;
    size_t left = len;
    while (left > 0 && has_room(conn)) {
        net__reading reading =
            net__message_read(&conn->message, &conn->server->limits, bytes + at, &left);
        if (reading == NET__READING_MORE && !net__request_is_unwelcome(conn, bytes + at)) {
            break;
        }
        if (reading == NET__READING_REFUSED) {
            net__request_refuse(conn, conn->message.guard.status, conn->message.guard.reason);
            return 0;
        }
        size_t used = conn->message.used;
        conn->phase = NET__PHASE_BUSY; /* whatever phase follows begins now */
        conn->read_by = 0;
        net__request_dispatch(conn, bytes + at);
        at += used;
        left -= used;
        if (conn->state != NET__CONN_OPEN) {
            return 0;
        }
        begin_message(conn);
    }
    *ret_from = at;
    return left;
}

/* Keeps bytes that may be the connection's own. */
static int keep(net__conn *conn, const char *bytes, size_t len) {
    net_server *server = conn->server;
    if (len == 0) {
        if (conn->in.bytes != NULL) {
            give_back_block(conn);
        }
        return 0;
    }
    if (conn->in.bytes == NULL && server->spare_count > 0) {
        conn->in.bytes = server->spare[--server->spare_count];
        conn->in.size = NET__BLOCK;
    }
    if (conn->in.bytes == NULL && len <= NET__BLOCK) {
        conn->in.bytes = malloc(NET__BLOCK);
        conn->in.size = conn->in.bytes == NULL ? 0 : NET__BLOCK;
    }
    if (conn->in.bytes == NULL || bytes < conn->in.bytes ||
        bytes >= conn->in.bytes + conn->in.size) {
        conn->in.len = 0;
        if (net__buffer_reserve(&conn->in, len) != 0) {
            return NET_ENOMEM;
        }
    }
    memmove(conn->in.bytes, bytes, len);
    conn->in.len = len;
    return 0;
}

/* Reads what is there: 1 something came, 0 nothing did or the connection is closed. */
static int read_more(net__conn *conn) {
    net_server *server = conn->server;
    char *bytes = server->scratch;
    size_t kept = conn->in.len;
    size_t room = NET__SCRATCH;
    size_t from = 0;
    if (kept > 0) {
        if (net__buffer_reserve(&conn->in, kept < NET__SCRATCH ? NET__BLOCK / 2 : NET__SCRATCH)) {
            net__conn_close(conn);
            return 0;
        }
        bytes = conn->in.bytes;
        room = conn->in.size - kept;
    }
    ssize_t count = net__transport_read(&conn->transport, bytes + kept, room);
    if (count == NET__AGAIN) {
        return 0;
    }
    if (count == NET__EOF) {
        conn->ended = 1;
        return 0;
    }
    size_t left = count < 0 ? 0 : read_requests(conn, bytes, kept + (size_t)count, &from);
    if (count < 0 || (conn->state == NET__CONN_OPEN && keep(conn, bytes + from, left) != 0)) {
        net__conn_close(conn);
        return 0;
    }
    return conn->state == NET__CONN_OPEN;
}

/* Goes on with kept bytes that were not looked at for want of room. */
static void read_kept(net__conn *conn) {
    size_t from = 0;
    size_t left = read_requests(conn, conn->in.bytes, conn->in.len, &from);
    if (conn->state == NET__CONN_OPEN) {
        (void)keep(conn, conn->in.bytes + from, left); /* fewer than there were: there is room */
    }
}

static void throw_away(net__conn *conn) {
    ssize_t count;
    do {
        count = net__transport_read(&conn->transport, conn->server->scratch, NET__SCRATCH);
        conn->lingered += count > 0 ? (size_t)count : 0;
    } while (count > 0 && conn->lingered < LINGER_BYTES_MAX);
    if (count != NET__AGAIN) {
        net__conn_close(conn);
    }
}

/* ---- the driver */

static int is_unread(const net__conn *conn) {
    return conn->state == NET__CONN_OPEN && conn->in.len > conn->message.seen;
}

static void settle_phase(net__conn *conn) {
    if (conn->state != NET__CONN_OPEN) {
        return;
    }
    if (conn->message.head_len != 0) {
        enter_phase(conn, NET__PHASE_BODY);
    } else if (conn->message.seen > 0) {
        enter_phase(conn, NET__PHASE_HEAD);
    } else if (conn->first != NULL) {
        enter_phase(conn, NET__PHASE_BUSY);
    } else {
        enter_phase(conn, NET__PHASE_IDLE);
    }
    if (conn->message.expects == 1 && !conn->continued && conn->first == NULL &&
        conn->message.head_len != 0 && conn->message.body_len == 0 &&
        conn->message.seen == conn->message.head_len && conn->message.parser.http_minor > 0) {
        send_continue(conn);
    }
}

/* Whether all that was to be done on it is done. */
static int is_over(const net__conn *conn) {
    if (conn->first != NULL || is_unread(conn)) {
        return 0;
    }
    int draining = atomic_load_explicit(&conn->server->draining, memory_order_relaxed) != 0;
    return conn->state == NET__CONN_LAST || conn->ended || (draining && net__conn_is_idle(conn));
}

static void wait_for_more(net__conn *conn) {
    int reading =
        (may_read(conn) || conn->state == NET__CONN_LINGER || is_watched(conn)) && !conn->ended;
    int writing = conn->state < NET__CONN_LINGER && conn->write_by != 0;
    unsigned events = net__transport_events(&conn->transport, reading, writing);
    if (net_watch_set(conn->server->loop, &conn->watch, events) != 0) {
        net__conn_close(conn);
        return;
    }
    set_timer(conn);
}

static int shake(net__conn *conn) {
    int rc = net__transport_shake(&conn->transport);
    if (rc == NET__BROKEN) {
        net__conn_close(conn);
    } else if (rc == NET__AGAIN) {
        wait_for_more(conn);
    }
    return rc == 1;
}

static void drive(net__conn *conn, int readable) {
    int more = readable;
    do {
        if (more && may_read(conn) && !conn->ended) {
            more = read_more(conn) && net__transport_pending(&conn->transport);
        } else {
            more = 0;
        }
        do {
            send_ready(conn);
            if (is_unread(conn) && has_room(conn)) {
                read_kept(conn);
            }
        } while (conn->state < NET__CONN_LINGER && conn->write_by == 0 && conn->first != NULL &&
                 conn->first->answering == NET__ANSWER_FINISHED);
    } while (more && conn->state == NET__CONN_OPEN);
}

static void drive_on(net__conn *conn, int readable) {
    if (conn->state == NET__CONN_CLOSED || (!conn->transport.shaken && !shake(conn))) {
        return;
    }
    if (conn->state == NET__CONN_LINGER) {
        throw_away(conn);
        return;
    }
    int was_full = !may_read(conn);
    conn->inside = 1;
    drive(conn, readable || net__transport_pending(&conn->transport));
    if (was_full && may_read(conn)) {
        drive(conn, 1);
    }
    settle_phase(conn);
    conn->inside = 0;
    if (conn->state == NET__CONN_CLOSED) {
        return;
    }
    if (conn->ended && needs_client(conn)) {
        net__conn_close(conn); /* nobody reads it any more */
        return;
    }
    if (is_watched(conn)) {
        throw_away(conn);
    }
    if (conn->state == NET__CONN_CLOSED) {
        return;
    }
    if (is_over(conn)) {
        linger(conn);
        if (conn->state == NET__CONN_CLOSED) {
            return;
        }
    }
    wait_for_more(conn);
}

void net__conn_drive(net__conn *conn) {
    drive_on(conn, 0);
}

static void drive_deferred(net_task *task) {
    net__conn *conn = (net__conn *)(void *)((char *)task - offsetof(net__conn, task));
    conn->dirty = 0;
    drive_on(conn, 0);
}

void net__conn_later(net__conn *conn) {
    if (!conn->inside && !conn->dirty) {
        conn->dirty = 1;
        net_loop_defer(conn->server->loop, &conn->task);
    }
}

static void conn_ready(net_watch *watch, unsigned events) {
    net__conn *conn = of_watch(watch);
    if (events & NET_BROKEN) {
        net__conn_close(conn);
        return;
    }
    drive_on(conn, (events & NET_READABLE) != 0);
}

int net__conn_begin(net_server *server,
                    int fd,
                    const net_address *address,
                    net_tls *tls,
                    net__peer *peer,
                    int surplus) {
    net__conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || net__transport_open(&conn->transport, fd, tls, NULL, 0) != 0) {
        free(conn);
        close(fd);
        return 0;
    }
    conn->server = server;
    conn->peer = peer;
    conn->address = *address;
    conn->last = &conn->first;
    conn->watch = (net_watch){.ready = conn_ready, .fd = fd};
    conn->timer.fire = out_of_patience;
    conn->task.run = drive_deferred;
    conn->end.run = bury;
    conn->next = server->conns;
    conn->previous = &server->conns;
    if (server->conns != NULL) {
        server->conns->previous = &conn->next;
    }
    server->conns = conn;
    server->holds++;
    server->counts.connections++;
    begin_message(conn);
    conn->phase = NET__PHASE_IDLE;
    conn->read_by = net_loop_now_ms(server->loop) + server->options.header_ms;
    if (surplus) {
        net__request_refuse(conn, 503, "there are too many connections");
        conn->read_by = 0;
    }
    wait_for_more(conn);
    if (surplus) {
        net__conn_later(conn);
    }
    return 1;
}
