/* One thread that passes bytes between pairs of connections, and looks for puts among the frames of
 * HTTP/2 (RFC 9113) that the client sends: requests with some hundred bytes. */
#include "relay.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GREETING = 24, FRAME_HEAD = 9, FRAME_DATA = 0, FRAME_HEADERS = 1, PUT_LEAST = 500 };
enum { END_STREAM = 1, END_HEADERS = 4 };

static int open_socket(struct sockaddr_in *address, uint16_t port) {
    *address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void pair_close(relay_pair *pair) {
    close(pair->client);
    close(pair->server);
    pair->client = -1;
}

static void pair_open(relay *r) {
    struct sockaddr_in address;
    int client = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    atomic_fetch_add(&r->connections, 1);
    int server = open_socket(&address, r->target);
    for (int i = 0; i < RELAY_PAIRS; i++) {
        relay_pair *pair = &r->pair[i];
        if (pair->client < 0 && connect(server, (struct sockaddr *)&address, sizeof address) == 0) {
            *pair = (relay_pair){.client = client, .server = server};
            return;
        }
    }
    close(client);
    close(server);
}

static int send_all(int fd, const void *bytes, size_t len) {
    return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

/* The end of a put's request, and the frame it stands in. */
static int take_put(relay *r, relay_pair *pair, const uint8_t *frame, size_t len) {
    int mode = atomic_exchange(&r->mode, RELAY_PASS);
    atomic_fetch_add(&r->puts, 1);
    if (mode == RELAY_RESET)
        setsockopt(pair->client, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
                   sizeof(struct linger));
    if (mode == RELAY_CUT || mode == RELAY_RESET)
        return -1;
    pair->awaiting = mode == RELAY_DROP || mode == RELAY_LIE ? mode : 0;
    if (mode == RELAY_ANSWER || mode == RELAY_LIE)
        memcpy(r->answer + 5, frame + 5, 4); /* its stream */
    return mode == RELAY_ANSWER ? send_all(pair->client, r->answer, r->answer_len)
                                : send_all(pair->server, frame, len);
}

static int take_frame(relay *r, relay_pair *pair, const uint8_t *frame, size_t len) {
    if (frame[3] == FRAME_HEADERS)
        pair->sent = 0;
    if (frame[3] == FRAME_DATA)
        pair->sent += len - FRAME_HEAD;
    return frame[3] == FRAME_DATA && frame[4] & END_STREAM && pair->sent >= r->put_least
               ? take_put(r, pair, frame, len)
               : send_all(pair->server, frame, len);
}

static int pass_request(relay *r, relay_pair *pair) {
    ssize_t got = recv(pair->client, pair->bytes + pair->len, RELAY_BYTES - pair->len, 0);
    size_t at = 0;
    int rc = got > 0 ? 0 : -1;
    if (pair->silent)
        return rc;
    pair->len += got > 0 ? (size_t)got : 0;
    if (rc == 0 && !pair->greeted && pair->len >= GREETING) {
        rc = send_all(pair->server, pair->bytes, GREETING);
        pair->greeted = 1;
        at = GREETING;
    }
    while (rc == 0 && pair->greeted && pair->len - at >= FRAME_HEAD) {
        const uint8_t *frame = pair->bytes + at;
        size_t len = ((size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2]) + FRAME_HEAD;
        if (pair->len - at < len)
            break;
        rc = take_frame(r, pair, frame, len);
        at += len;
    }
    memmove(pair->bytes, pair->bytes + at, pair->len - at);
    pair->len -= at;
    return rc;
}

/* The end of the connection comes with it, so that nobody finds one without the other. */
static int tell_lie(const relay *r, relay_pair *pair) {
    pair->silent = 1;
    return send(pair->client, r->answer, r->answer_len, MSG_NOSIGNAL | MSG_MORE) > 0
               ? shutdown(pair->client, SHUT_WR)
               : -1;
}

/* etcd has answered when a frame of headers comes; small others come at any time. */
static int pass_answer(const relay *r, relay_pair *pair) {
    uint8_t bytes[4096];
    ssize_t len = recv(pair->server, bytes, sizeof bytes, 0);
    if (len <= 0)
        return -1;
    if (pair->silent)
        return 0;
    if (pair->awaiting && (len >= 40 || bytes[3] == FRAME_HEADERS))
        return pair->awaiting == RELAY_LIE ? tell_lie(r, pair) : -1;
    return send_all(pair->client, bytes, (size_t)len);
}

static void serve(relay *r, const struct pollfd *fds) {
    for (int i = 0; i < RELAY_PAIRS; i++) {
        relay_pair *pair = &r->pair[i];
        if (pair->client >= 0 && fds[1 + 2 * i].revents && pass_request(r, pair) != 0)
            pair_close(pair);
        if (pair->client >= 0 && fds[2 + 2 * i].revents && pass_answer(r, pair) != 0)
            pair_close(pair);
    }
    if (fds[0].revents)
        pair_open(r);
}

static void *relay_run(void *user) {
    relay *r = user;
    while (!r->stop) {
        struct pollfd fds[1 + 2 * RELAY_PAIRS] = {{.fd = r->listener, .events = POLLIN}};
        for (int i = 0; i < RELAY_PAIRS; i++) {
            int open = r->pair[i].client >= 0;
            fds[1 + 2 * i] = (struct pollfd){open ? r->pair[i].client : -1, POLLIN, 0};
            fds[2 + 2 * i] = (struct pollfd){open ? r->pair[i].server : -1, POLLIN, 0};
        }
        if (poll(fds, 1 + 2 * RELAY_PAIRS, 20) > 0)
            serve(r, fds);
    }
    return NULL;
}

relay *relay_start(uint16_t target) {
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    relay *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->target = target;
    r->put_least = PUT_LEAST;
    r->listener = open_socket(&address, 0);
    for (int i = 0; i < RELAY_PAIRS; i++)
        r->pair[i].client = -1;
    if (bind(r->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(r->listener, RELAY_PAIRS) != 0 ||
        getsockname(r->listener, (struct sockaddr *)&address, &len) != 0 ||
        pthread_create(&r->thread, NULL, relay_run, r) != 0) {
        close(r->listener);
        free(r);
        return NULL;
    }
    r->port = ntohs(address.sin_port);
    return r;
}

void relay_stop(relay *r) {
    r->stop = 1;
    pthread_join(r->thread, NULL);
    for (int i = 0; i < RELAY_PAIRS; i++)
        if (r->pair[i].client >= 0)
            pair_close(&r->pair[i]);
    close(r->listener);
    free(r);
}

static void add_word(relay *r, const char *word) {
    size_t len = strlen(word);
    r->answer[r->answer_len++] = (uint8_t)len;
    memcpy(r->answer + r->answer_len, word, len);
    r->answer_len += len;
}

/* RFC 7541, 6.2.2: a literal field without indexing, with a new name. */
static void add_field(relay *r, const char *name, const char *value) {
    r->answer[r->answer_len++] = 0;
    add_word(r, name);
    add_word(r, value);
}

void relay_answer(relay *r, const char *http, const char *status, const char *message) {
    memset(r->answer, 0, FRAME_HEAD);
    r->answer_len = FRAME_HEAD;
    add_field(r, ":status", http);
    add_field(r, "content-type", status ? "application/grpc" : "text/html");
    if (status) {
        add_field(r, "grpc-status", status);
        add_field(r, "grpc-message", message);
    }
    r->answer[2] = (uint8_t)(r->answer_len - FRAME_HEAD);
    r->answer[3] = FRAME_HEADERS;
    r->answer[4] = END_STREAM | END_HEADERS;
    r->mode = RELAY_ANSWER;
}
