/* Servers: creating, draining, freeing. */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "serving.h"

static uint32_t or_default(uint32_t value, uint32_t otherwise) {
    return value != 0 ? value : otherwise;
}

static void set_limits(net_server *server, const net_server_options *from) {
    server->options.connections_max = or_default(from->connections_max, 10000);
    server->options.connections_per_address_max = from->connections_per_address_max;
    server->limits.body_bytes_max = from->body_bytes_max != 0 ? from->body_bytes_max : 1 << 20;
}

static int set_options(net_server *server, const net_server_options *from) {
    net_server_options *options = &server->options;
    if (from->size != sizeof *from || from->handler == NULL ||
        from->header_bytes_max > UINT16_MAX || from->target_bytes_max > UINT16_MAX ||
        from->headers_max > NET__HEADERS_MAX) {
        return NET_EINVALID;
    }
    *options = *from;
    options->pipelined_max = or_default(from->pipelined_max, 16);
    options->stream_bytes_max = or_default(from->stream_bytes_max, 1 << 20);
    options->header_ms = or_default(from->header_ms, 10000);
    options->body_ms = or_default(from->body_ms, 30000);
    options->idle_ms = or_default(from->idle_ms, 60000);
    options->write_ms = or_default(from->write_ms, 30000);
    server->limits = (net__message_limits){
        .guard =
            {
                .head_bytes_max = or_default(from->header_bytes_max, 16384),
                .target_bytes_max = (uint16_t)or_default(from->target_bytes_max, 8192),
                .headers_max = (uint16_t)or_default(from->headers_max, NET__HEADERS_MAX),
                .chunk_extras_max = or_default(from->chunk_extras_bytes_max, 1024),
            },
    };
    set_limits(server, from);
    return 0;
}

static void accept_again(net_timer *timer) {
    net_server *server = (net_server *)(void *)((char *)timer - offsetof(net_server, accept_again));
    net__listeners_watch(server, 1);
}

static void close_all(net_server *server) {
    while (server->conns != NULL) {
        net__conn_close(server->conns);
    }
}

static void end_drain(net_timer *timer) {
    close_all((net_server *)(void *)((char *)timer - offsetof(net_server, drain_end)));
}

int net_server_create(net_loop *loop, const net_server_options *options, net_server **ret_server) {
    net_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return NET_ENOMEM;
    }
    int rc = set_options(server, options);
    if (rc != 0) {
        free(server);
        return rc;
    }
    server->loop = loop;
    server->holds = 1;
    server->accept_again.fire = accept_again;
    server->drain_end.fire = end_drain;
    *ret_server = server;
    return 0;
}

void net_server_limits(net_server *server, const net_server_options *options) {
    set_limits(server, options);
    net__listeners_watch(server, 1); /* there may be room for more */
}

void net__server_release(net_server *server) {
    if (--server->holds > 0) {
        return;
    }
    while (server->pool != NULL) {
        net_request *request = server->pool;
        server->pool = request->next;
        free(request->out.bytes);
        free(request);
    }
    while (server->spare_count > 0) {
        free(server->spare[--server->spare_count]);
    }
    while (server->retired != NULL) {
        net__listener *listener = server->retired;
        server->retired = listener->next;
        free(listener);
    }
    free(server);
}

void net_server_free(net_server *server) {
    if (server == NULL) {
        return;
    }
    server->freed = 1;
    server->drained = NULL;
    net__listeners_close(server);
    net_timer_stop(server->loop, &server->accept_again);
    net_timer_stop(server->loop, &server->drain_end);
    close_all(server);
    net__server_release(server);
}

static void tell_drained(net_server *server) {
    void (*drained)(void *) = server->drained;
    if (drained != NULL && atomic_load(&server->draining) && server->counts.connections == 0) {
        server->drained = NULL;
        net_timer_stop(server->loop, &server->drain_end);
        drained(server->drained_user);
    }
}

void net__server_buried(net_server *server) {
    tell_drained(server);
    net__server_release(server);
}

void net__server_lost(net_server *server, net__conn *conn) {
    server->counts.connections--;
    if (conn->peer != NULL) {
        net__peer_leave(server, conn->peer);
    }
    if (!server->freed && !atomic_load_explicit(&server->draining, memory_order_relaxed)) {
        net__listeners_watch(server, 1);
    }
}

static void no_one_asked(void *user) {
    (void)user;
}

void net_server_drain(net_server *server,
                      uint64_t timeout_ms,
                      void (*done)(void *user),
                      void *user) {
    atomic_store(&server->draining, 1);
    net__listeners_close(server);
    net_timer_stop(server->loop, &server->accept_again);
    server->drained = done != NULL ? done : no_one_asked;
    server->drained_user = user;
    net_timer_start(server->loop, &server->drain_end, timeout_ms);
    net__conn *next;
    for (net__conn *conn = server->conns; conn != NULL; conn = next) {
        next = conn->next;
        if (net__conn_is_idle(conn) && !net__conn_spare(conn)) {
            net__conn_close(conn);
        }
    }
    tell_drained(server);
}

net_server_counts net_server_count(const net_server *server) {
    return server->counts;
}

const char *net__server_date(net_server *server) {
    uint64_t now = net_loop_now_ms(server->loop);
    if (server->date_ms == 0 || now - (server->date_ms - 1) >= 1000) {
        time_t seconds = time(NULL);
        struct tm parts;
        gmtime_r(&seconds, &parts);
        /* in the C locale's words, whatever the program's locale is */
        static const char days[] = "SunMonTueWedThuFriSat";
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        char text[NET__DATE_LEN + 16];
        strftime(text, sizeof text, "---, %d --- %Y %H:%M:%S GMT", &parts);
        memcpy(text, days + 3 * parts.tm_wday, 3);
        memcpy(text + 8, months + 3 * parts.tm_mon, 3);
        memcpy(server->date, text, NET__DATE_LEN);
        server->date_ms = now + 1;
    }
    return server->date;
}
