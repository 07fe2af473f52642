/* A client's connection: connecting, sending a request, or several one behind the other, and
 * reading their answers. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "calling.h"

enum { ATTEMPT_MIN_MS = 250, IN_KEEP = 4096, PIECES_MAX = 16 };

static void drive(net__link *link, int readable);

/* ---- the end */

static void leave_idle(net__link *link) {
    if (link->idle_previous == NULL) {
        return;
    }
    *link->idle_previous = link->idle_next;
    if (link->idle_next != NULL) {
        link->idle_next->idle_previous = link->idle_previous;
    }
    link->idle_previous = NULL;
    link->target->client->counts.kept--;
}

static void bury(net_task *task) {
    net__link *link = (net__link *)(void *)((char *)task - offsetof(net__link, end));
    net_client *client = link->target->client;
    link->target->links--;
    net__target_pump(link->target);
    free(link->in.bytes);
    free(link);
    net__client_release(client);
}

void net__link_close(net__link *link) {
    net_client *client = link->target->client;
    if (link->state == NET__LINK_CLOSED) {
        return;
    }
    net__call *unsent = net__link_take_unsent(link);
    if ((unsent != NULL || link->call != NULL) && link->answers < NET__EARLY) {
        link->target->alone_until_ms = net_loop_now_ms(client->loop) + NET__ALONE_MS;
    }
    if (link->target->gathering == link) {
        link->target->gathering = NULL;
    }
    if (link->state != NET__LINK_IDLE && link->transport.ssl != NULL) {
        /* a goodbye could carry the rest of a request with it */
        SSL_set_quiet_shutdown(link->transport.ssl, 1);
    }
    link->state = NET__LINK_CLOSED;
    leave_idle(link);
    net_timer_stop(client->loop, &link->timer);
    net_watch_remove(client->loop, &link->watch);
    net__transport_close(&link->transport);
    *link->previous = link->next;
    if (link->next != NULL) {
        link->next->previous = link->previous;
    }
    client->counts.connections--;
    net_loop_defer(client->loop, &link->end);
    net__link_end_others(link, unsent);
}

/* The link is of no use any more to its request. */
static void fail(net__link *link, int error, const char *detail) {
    int stale = link->used && link->message.seen == 0 && link->in.len == 0 && link->interim == 0 &&
                error == NET_ECLOSED;
    net__call_fail(link->call, error, net__link_has_sent(link->call), stale, detail);
}

static int tls_error(const net__link *link) {
    return link->transport.unwelcome ? NET_ECERTIFICATE : NET_ETLS;
}

/* The connection has ended before the answer did. */
static void lose(net__link *link) {
    net__call *call = link->call;
    net__target *target = link->target;
    if (!net__link_has_sent(call) && link->used && call->tries < NET__TRIES_MAX) {
        net__link_leave(link, call);
        net__link_close(link);
        net__target_queue(target, call, 1);
        net__target_pump(target);
        return;
    }
    int tls = link->transport.ssl != NULL && link->transport.reason != NULL;
    fail(link, tls ? tls_error(link) : NET_ECLOSED,
         tls ? link->transport.reason : "the connection ended before the answer's end");
}

/* ---- sending and reading */

static void ask_loop(net__link *link) {
    int writing = link->state == NET__LINK_BUSY && link->sending != NULL && !link->write_failed;
    unsigned events = net__transport_events(&link->transport, 1, writing);
    if (net_watch_set(link->target->client->loop, &link->watch, events) != 0) {
        lose(link);
    }
}

static void send_requests(net__link *link) {
    while (link->sending != NULL && !link->write_failed) {
        struct iovec pieces[PIECES_MAX];
        int most = link->transport.ssl != NULL ? 1 : PIECES_MAX;
        int count = 0;
        for (net__call *call = link->sending; call != NULL && count < most; call = call->next) {
            pieces[count++] =
                (struct iovec){call->out.bytes + call->sent, call->out.len - call->sent};
        }
        ssize_t taken = net__transport_write(&link->transport, pieces, count, NULL);
        if (taken == NET__AGAIN) {
            return;
        }
        if (taken == NET__BROKEN) {
            link->write_failed = 1; /* an answer may be here all the same */
            return;
        }
        net__link_count_sent(link, (size_t)taken);
    }
}

static void rest(net__link *link) {
    net__target *target = link->target;
    net_client *client = target->client;
    link->state = NET__LINK_IDLE;
    link->used = 1;
    net__buffer_clear(&link->in, IN_KEEP);
    link->idle_next = target->idle;
    link->idle_previous = &target->idle;
    if (target->idle != NULL) {
        target->idle->idle_previous = &link->idle_next;
    }
    target->idle = link;
    client->counts.kept++;
    net_timer_start(client->loop, &link->timer, client->options.idle_ms);
    if (net_watch_set(client->loop, &link->watch, NET_READABLE) != 0) {
        net__link_close(link);
    }
}

/* Begins to read the answer to the first request. */
static void begin_answer(net__link *link) {
    const net__call *call = link->call;
    link->told = 0;
    link->interim = 0;
    link->limits.body_bytes_max = call->answer_bytes_max;
    net__message_begin(&link->message, 1, call->head);
}

/* The answer is whole; `extra` bytes came behind it. 1: the next one is to be read on the link. */
static int complete(net__link *link, const char *bytes, size_t extra, int ended) {
    net__target *target = link->target;
    net__call *call = link->call;
    int kept = link->message.keep_alive && !ended && link->sending != call;
    int rests = kept && !net__link_is_old(link) && call->next == NULL && extra == 0 &&
                !link->write_failed && !net__transport_pending(&link->transport);
    int goes_on = kept && call->next != NULL && net__link_has_sent(call->next);
    link->answers++;
    /* where the end is the answer's, one to what is behind it could be in its body */
    link->said_last = !link->message.keep_alive && !net__message_ends(&link->message);
    net__call_answer(call, bytes);
    if (link->state == NET__LINK_CLOSED) {
        return 0; /* the callback has freed the client */
    }
    if (goes_on) {
        begin_answer(link);
        return 1;
    }
    if (rests) {
        rest(link);
    } else {
        net__link_close(link);
    }
    net__target_pump(target);
    return 0;
}

static void refuse(net__link *link) {
    int status = link->message.guard.status;
    int large = status == 413 || status == 431;
    fail(link, large ? NET_ETOOBIG : NET_EPROTOCOL, link->message.guard.reason);
}

/* Whether an answer that is not the last may be skipped. */
static int is_interim(net__link *link) {
    unsigned status = link->message.parser.status_code;
    return status < 200 && status != 101 && ++link->interim <= NET__INTERIM_MAX;
}

/* Tells what is new of the body. 0: the callback has freed the client. */
static int tell_piece(net__link *link, const char *bytes) {
    net__call *call = link->call;
    size_t told = link->told;
    if (call->piece == NULL || call->ended || link->message.body_len == told) {
        return 1;
    }
    link->told = link->message.body_len;
    net_timer_start(call->client->loop, &call->timer, call->timeout_ms);
    call->piece(call->id, (int)link->message.parser.status_code,
                (net_text){bytes + link->message.head_len + told, link->told - told}, call->user);
    return link->state != NET__LINK_CLOSED;
}

/* Takes the bytes of the answer so far. */
static void take(net__link *link, char *bytes, size_t len) {
    size_t left = len;
    for (;;) {
        net__reading reading = net__message_read(&link->message, &link->limits, bytes, &left);
        if (reading == NET__READING_REFUSED) {
            refuse(link);
            return;
        }
        if (reading == NET__READING_MORE) {
            break;
        }
        size_t used = link->message.used;
        if (link->message.parser.status_code >= 200) {
            if (!tell_piece(link, bytes) || !complete(link, bytes, left - used, 0)) {
                return;
            }
        } else if (is_interim(link)) {
            net__message_begin(&link->message, 1, link->call->head);
        } else {
            fail(link, NET_EPROTOCOL, "an answer before the answer that was not asked for");
            return;
        }
        bytes += used;
        left -= used;
        if (left == 0) {
            link->in.len = 0;
            return;
        }
    }
    if (!tell_piece(link, bytes)) {
        return;
    }
    if (left > 0 && bytes != link->in.bytes) {
        if (link->in.len == 0 && net__buffer_reserve(&link->in, left) != 0) {
            fail(link, NET_ENOMEM, "");
            return;
        }
        memmove(link->in.bytes, bytes, left);
    }
    link->in.len = left;
}

/* Reads once: 1 there may be more. */
static int read_answer(net__link *link) {
    char *bytes = link->target->client->scratch;
    size_t kept = link->in.len;
    size_t room = NET__CALL_SCRATCH;
    if (kept > 0) {
        if (net__buffer_reserve(&link->in, kept < NET__CALL_SCRATCH ? 4096 : NET__CALL_SCRATCH)) {
            fail(link, NET_ENOMEM, "");
            return 0;
        }
        bytes = link->in.bytes;
        room = link->in.size - kept;
    }
    ssize_t count = net__transport_read(&link->transport, bytes + kept, room);
    if (count > 0) {
        take(link, bytes, kept + (size_t)count);
        return link->state == NET__LINK_BUSY && link->call != NULL &&
               (link->write_failed || net__transport_pending(&link->transport));
    }
    /* a reset that sending has heard of is read as an end */
    if (count == NET__EOF && net__message_ends(&link->message) && !link->write_failed) {
        complete(link, bytes, 0, 1);
    } else if (count != NET__AGAIN || link->write_failed) {
        lose(link);
    }
    return 0;
}

static void drive(net__link *link, int readable) {
    send_requests(link);
    int more = readable || link->write_failed || net__transport_pending(&link->transport);
    while (more) {
        more = read_answer(link);
    }
    if (link->state == NET__LINK_BUSY) {
        ask_loop(link);
    }
}

static void flush(net_task *task) {
    net__link *link = (net__link *)(void *)((char *)task - offsetof(net__link, flush));
    net__target *target = link->target;
    link->flushes = 0;
    if (target->gathering == link) {
        target->gathering = NULL;
    }
    if (link->state == NET__LINK_BUSY) {
        drive(link, 0);
    }
}

/* Others of this turn may join its first request: they are sent together. */
static void gather(net__link *link) {
    link->target->gathering = link;
    if (!link->flushes) {
        link->flushes = 1;
        net_loop_defer(link->target->client->loop, &link->flush);
    }
}

void net__link_use(net__link *link, net__call *call) {
    net__target *target = link->target;
    net_client *client = target->client;
    leave_idle(link);
    net_timer_stop(client->loop, &link->timer);
    client->counts.reused += link->used != 0;
    net__link_add(link, call);
    call->tries++;
    link->state = NET__LINK_BUSY;
    link->write_failed = 0;
    link->in.len = 0;
    link->limits = (net__message_limits){
        .guard = {.head_bytes_max = client->options.header_bytes_max,
                  .target_bytes_max = UINT16_MAX,
                  .headers_max = NET__HEADERS_MAX,
                  .chunk_extras_max = client->options.header_bytes_max},
    };
    begin_answer(link);
    if (call->pipeline_max > 1 && net_loop_now_ms(client->loop) >= target->alone_until_ms) {
        gather(link);
    } else {
        drive(link, 0);
    }
}

int net__link_is_old(const net__link *link) {
    return link->era != atomic_load(&link->target->client->era);
}

int net__link_takes(const net__link *link, const net__call *call) {
    if (net__link_is_old(link)) {
        return 0;
    }
    return link->state == NET__LINK_BUSY && link->depth < call->pipeline_max;
}

void net__link_join(net__link *link, net__call *call) {
    link->target->client->counts.reused++;
    call->tries++;
    net__link_add(link, call);
}

/* ---- connecting */

static void set_attempt_timer(net__link *link) {
    net_loop *loop = link->target->client->loop;
    uint64_t now = net_loop_now_ms(loop);
    uint64_t left = link->connect_by > now ? link->connect_by - now : 1;
    uint64_t addresses = (uint64_t)(link->target->address_count - link->address);
    uint64_t share = addresses > 1 ? left / addresses : left;
    net_timer_start(loop, &link->timer,
                    share < ATTEMPT_MIN_MS && left > ATTEMPT_MIN_MS ? ATTEMPT_MIN_MS : share);
}

/* Whether the address may be used, and a connection to it was begun. */
static int begin_attempt(net__link *link, const net_address *address) {
    net__target *target = link->target;
    const net_client_options *options = &target->client->options;
    int fd;
    if (options->vet != NULL && options->vet(&target->url, address, options->user) != 0) {
        link->forbidden = 1;
        return 0;
    }
    if (net__address_connect(address, &fd) != 0) {
        return 0;
    }
    if (net__transport_open(&link->transport, fd, target->tls, target->url.host,
                            target->url.kind == NET_HOST_NAME) != 0) {
        close(fd);
        link->transport.fd = -1;
        return 0;
    }
    link->watch.fd = fd;
    if (net_watch_set(target->client->loop, &link->watch, NET_WRITABLE) != 0) {
        net__transport_close(&link->transport);
        return 0;
    }
    set_attempt_timer(link);
    return 1;
}

static void try_addresses(net__link *link) {
    net__target *target = link->target;
    for (; link->address < target->address_count; link->address++) {
        if (begin_attempt(link, &target->addresses[link->address])) {
            return;
        }
    }
    int forbidden = link->forbidden && target->address_count == 1;
    fail(link, forbidden ? NET_EFORBIDDEN : NET_ECONNECT,
         forbidden ? "the address is not allowed" : "no address of the target can be connected to");
}

static void try_next(net__link *link) {
    net_watch_remove(link->target->client->loop, &link->watch);
    net__transport_close(&link->transport);
    link->address++;
    try_addresses(link);
}

static void shake(net__link *link) {
    int rc = net__transport_shake(&link->transport);
    link->state = NET__LINK_SHAKING;
    if (rc == NET__BROKEN) {
        fail(link, tls_error(link), link->transport.reason);
    } else if (rc == NET__AGAIN) {
        ask_loop(link);
    } else if (net__link_is_old(link)) {
        net__link_close(link); /* its request is sent on another one */
    } else {
        net__call *call = link->call;
        net_timer_stop(link->target->client->loop, &link->timer);
        net__link_leave(link, call);
        net__link_use(link, call);
        net__target_pump(link->target); /* others may go with it */
    }
}

static void connected(net__link *link) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(link->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        try_next(link);
    } else {
        shake(link);
    }
}

static void link_ready(net_watch *watch, unsigned events) {
    net__link *link = (net__link *)(void *)((char *)watch - offsetof(net__link, watch));
    switch (link->state) {
        case NET__LINK_CONNECTING:
            connected(link);
            break;
        case NET__LINK_SHAKING:
            shake(link);
            break;
        case NET__LINK_BUSY:
            drive(link, (events & (NET_READABLE | NET_BROKEN)) != 0);
            break;
        case NET__LINK_IDLE:
            net__link_close(link); /* its end, or bytes that nobody has asked for */
            break;
        case NET__LINK_CLOSED:
            break;
    }
}

static void out_of_time(net_timer *timer) {
    net__link *link = (net__link *)(void *)((char *)timer - offsetof(net__link, timer));
    uint64_t now = net_loop_now_ms(link->target->client->loop);
    if (link->state == NET__LINK_IDLE) {
        net__link_close(link);
    } else if (link->state == NET__LINK_CONNECTING && now < link->connect_by) {
        try_next(link);
    } else {
        fail(link, NET_ETIMEOUT, "no connection came about in time");
    }
}

void net__link_open(net__target *target, net__call *call) {
    net_client *client = target->client;
    net__link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        net__call_fail(call, NET_ENOMEM, 0, 0, "");
        return;
    }
    link->target = target;
    link->era = atomic_load(&client->era);
    link->transport.fd = -1;
    net__link_add(link, call);
    link->watch.ready = link_ready;
    link->timer.fire = out_of_time;
    link->end.run = bury;
    link->flush.run = flush;
    link->next = client->links;
    link->previous = &client->links;
    if (client->links != NULL) {
        client->links->previous = &link->next;
    }
    client->links = link;
    client->holds++;
    client->counts.connections++;
    client->counts.opened++;
    target->links++;
    link->connect_by = net_loop_now_ms(client->loop) + call->connect_ms;
    try_addresses(link);
}
