/* One thread that passes bytes between pairs of connections, and looks for transactions in them. */
#include "relay.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char transaction[] = "POST /v3/kv/txn ";

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
    int server = open_socket(&address, r->target);
    for (int i = 0; i < RELAY_PAIRS; i++) {
        relay_pair *pair = &r->pair[i];
        if (pair->client < 0 && connect(server, (struct sockaddr *)&address, sizeof address) == 0) {
            pair->client = client;
            pair->server = server;
            pair->dropping = 0;
            pair->len = 0;
            return;
        }
    }
    close(client);
    close(server);
}

static int send_all(int fd, const void *bytes, size_t len) {
    return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

/* Has the request that is kept come to its end? */
static int is_whole(const relay_pair *pair) {
    const char *text = (const char *)pair->bytes;
    const char *body = memmem(text, pair->len, "\r\n\r\n", 4);
    const char *length = memmem(text, pair->len, "Content-Length: ", 16);
    return body && length &&
           pair->len >= (size_t)(body + 4 - text) + strtoul(length + 16, NULL, 10);
}

static int take_transaction(relay *r, relay_pair *pair) {
    int mode = atomic_exchange(&r->mode, RELAY_PASS);
    atomic_fetch_add(&r->transactions, 1);
    if (mode == RELAY_CUT)
        return -1;
    pair->dropping = mode == RELAY_DROP;
    return mode == RELAY_ANSWER ? send_all(pair->client, r->answer, strlen(r->answer))
                                : send_all(pair->server, pair->bytes, pair->len);
}

static int pass_request(relay *r, relay_pair *pair) {
    ssize_t len = recv(pair->client, pair->bytes + pair->len, RELAY_BYTES - 1 - pair->len, 0);
    if (len <= 0)
        return -1;
    pair->len += (size_t)len;
    pair->bytes[pair->len] = 0;
    int ours = strncmp((const char *)pair->bytes, transaction, sizeof transaction - 1) == 0;
    if (ours && !is_whole(pair))
        return 0;
    int rc = ours ? take_transaction(r, pair) : send_all(pair->server, pair->bytes, pair->len);
    pair->len = 0;
    return rc;
}

static int pass_answer(relay_pair *pair) {
    char bytes[4096];
    ssize_t len = recv(pair->server, bytes, sizeof bytes, 0);
    return len <= 0 || pair->dropping ? -1 : send_all(pair->client, bytes, (size_t)len);
}

static void serve(relay *r, const struct pollfd *fds) {
    for (int i = 0; i < RELAY_PAIRS; i++) {
        relay_pair *pair = &r->pair[i];
        if (pair->client >= 0 && fds[1 + 2 * i].revents && pass_request(r, pair) != 0)
            pair_close(pair);
        if (pair->client >= 0 && fds[2 + 2 * i].revents && pass_answer(pair) != 0)
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

void relay_answer(relay *r, int status, const char *body) {
    snprintf(r->answer, sizeof r->answer,
             "HTTP/1.1 %d Whatever\r\nContent-Type: application/json\r\nContent-Length: "
             "%zu\r\n\r\n%s",
             status, strlen(body), body);
    r->mode = RELAY_ANSWER;
}
