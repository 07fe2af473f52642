/* The scripted server: a thread that accepts, waits for a request, and says its line. */
#include "script.h"

#include <string.h>
#include <unistd.h>

static void wait_for_head(script *self, int fd) {
    char bytes[4096];
    size_t len = 0;
    while (len < sizeof bytes - 1) {
        ssize_t count = recv(fd, bytes + len, sizeof bytes - 1 - len, 0);
        if (count <= 0) {
            return;
        }
        len += (size_t)count;
        bytes[len] = '\0';
        if (strstr(bytes, "\r\n\r\n") != NULL) {
            atomic_fetch_add(&self->requests, 1);
            return;
        }
    }
}

static void wait_for_end(int fd) {
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, 0) > 0) {
    }
}

static void play_act(script *self, int fd, const act *one) {
    static const struct linger now = {1, 0};
    if (!one->hasty) {
        wait_for_head(self, fd);
    }
    while (one->gated && !atomic_load(&self->go)) {
        usleep(1000);
    }
    send_bytes(fd, one->say, one->len != 0 ? one->len : strlen(one->say));
    switch (one->then) {
        case RESET:
            usleep(20000);
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            break;
        case WAIT:
            wait_for_end(fd);
            break;
        case ENDLESS:
            while (send(fd, "0123456789abcdef", 16, MSG_NOSIGNAL) > 0) {
            }
            break;
        case CLOSE:
        case AGAIN:
            break;
    }
}

static void *play(void *user) {
    script *self = user;
    for (int i = 0; i < self->count;) {
        int fd = accept(self->listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        atomic_fetch_add(&self->connections, 1);
        do {
            play_act(self, fd, &self->acts[i]);
        } while (self->acts[i++].then == AGAIN && i < self->count);
        close(fd);
    }
    return NULL;
}

void script_start(script *self) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(self->listener, 16), 0);
    getsockname(self->listener, (struct sockaddr *)&at, &len);
    self->port = ntohs(at.sin_port);
    pthread_create(&self->thread, NULL, play, self);
}

void script_stop(script *self) {
    shutdown(self->listener, SHUT_RDWR);
    pthread_join(self->thread, NULL);
    close(self->listener);
}
