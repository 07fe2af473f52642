/* Carries bytes between a log and its server, on a thread of its own. */
#include "relay.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { STEP_MS = 10, STEPS = 6000 };

static struct sockaddr_un address_of(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static void pair_begin(relay *r) {
    struct sockaddr_un address = address_of(getenv("REDIS_SOCKET"));
    int client = accept(r->listener, NULL, NULL);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < RELAY_PAIRS; i++) {
        if (r->pair[i].server < 0 &&
            connect(server, (const struct sockaddr *)&address, sizeof address) == 0) {
            r->pair[i] = (relay_pair){.client = client, .server = server};
            return;
        }
    }
    close(client);
    close(server);
}

static void client_end(relay_pair *pair) {
    if (pair->client >= 0)
        close(pair->client);
    pair->client = -1;
}

static void pair_end(relay_pair *pair) {
    client_end(pair);
    if (pair->server >= 0)
        close(pair->server);
    pair->server = -1;
}

static void take_request(relay_pair *pair) {
    ssize_t len =
        recv(pair->client, pair->held + pair->held_len, sizeof pair->held - pair->held_len, 0);
    if (len > 0)
        pair->held_len += (size_t)len;
    else
        client_end(pair);
}

static void take_answer(relay *r, relay_pair *pair) {
    char bytes[RELAY_HELD];
    ssize_t len = recv(pair->server, bytes, sizeof bytes, 0);
    const char *instead = r->instead;
    if (len <= 0) {
        pair_end(pair);
    } else if (instead && pair->client >= 0) {
        (void)send(pair->client, instead, strlen(instead), MSG_NOSIGNAL);
    } else if (r->swallow || pair->client < 0) {
        snprintf(r->answer, sizeof r->answer, "%.*s", (int)len, bytes);
        r->answered++;
    } else {
        (void)send(pair->client, bytes, (size_t)len, MSG_NOSIGNAL);
    }
}

static void go_on(relay *r, relay_pair *pair) {
    if (!r->hold && pair->held_len > 0) {
        (void)send(pair->server, pair->held, pair->held_len, MSG_NOSIGNAL);
        pair->held_len = 0;
    }
}

static void *run(void *user) {
    relay *r = user;
    while (!r->stop) {
        struct pollfd fds[1 + 2 * RELAY_PAIRS] = {{.fd = r->listener, .events = POLLIN}};
        for (int i = 0; i < RELAY_PAIRS; i++) {
            fds[1 + 2 * i] = (struct pollfd){.fd = r->pair[i].client, .events = POLLIN};
            fds[2 + 2 * i] = (struct pollfd){.fd = r->pair[i].server, .events = POLLIN};
        }
        (void)poll(fds, 1 + 2 * RELAY_PAIRS, STEP_MS);
        for (int i = 0; i < RELAY_PAIRS; i++) {
            if (fds[1 + 2 * i].revents)
                take_request(&r->pair[i]);
            if (fds[2 + 2 * i].revents)
                take_answer(r, &r->pair[i]);
            if (r->pair[i].server >= 0)
                go_on(r, &r->pair[i]);
        }
        if (fds[0].revents)
            pair_begin(r);
    }
    return NULL;
}

void relay_start(relay *r) {
    *r = (relay){.dir = "/tmp/etx-relay-XXXXXX"};
    for (int i = 0; i < RELAY_PAIRS; i++)
        r->pair[i] = (relay_pair){.client = -1, .server = -1};
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->path, sizeof r->path, "%s/socket", r->dir);
    struct sockaddr_un address = address_of(r->path);
    r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(r->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(r->listener, RELAY_PAIRS), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, run, r), 0);
}

void relay_end(relay *r) {
    r->stop = 1;
    pthread_join(r->thread, NULL);
    for (int i = 0; i < RELAY_PAIRS; i++)
        pair_end(&r->pair[i]);
    close(r->listener);
    unlink(r->path);
    rmdir(r->dir);
}

void relay_await_answer(relay *r) {
    for (int i = 0; i < STEPS && !r->answered; i++)
        usleep(STEP_MS * 1000);
    assert_true(r->answered > 0);
}
