/* The bare server: one thread, one buffer to read into, one to answer from. */
#include "http_bare.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <http_parser.h>

enum { BUFFER = 65536, EVENTS = 256, BODY_MAX = 1024, HEAD_MAX = 160 };

typedef struct conn {
    struct server *server;
    http_parser parser;
    int fd;
    unsigned waiting; /* answers that are due later */
    int gone;
    char body[BODY_MAX];
    size_t body_len;
} conn;

typedef struct answer {
    conn *to;
    uint64_t due_ns;
    size_t body_len;
    char body[BODY_MAX];
} answer;

typedef struct server {
    const bench_bare *bare;
    int epoll;
    char *in, *out;
    size_t out_len;
    answer *answers; /* a ring: all are as late, so the first to come is the first to go */
    size_t room, first, count;
} server;

void bench_fail(const char *what) {
    perror(what);
    exit(1);
}

uint64_t bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_bare_listen(bench_bare *self) {
    const struct sockaddr_in at = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < self->ports; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 ||
            listen(fd, 4096) != 0) {
            bench_fail("listen");
        }
        self->listener[i] = fd;
    }
}

net_address bench_bare_address(const bench_bare *self, int place) {
    net_address address = {.len = sizeof address.at};
    if (getsockname(self->listener[place], &address.at.any, &address.len) != 0) {
        bench_fail("getsockname");
    }
    return address;
}

/* ---- answering */

static void put(server *self, const char *bytes, size_t len) {
    memcpy(self->out + self->out_len, bytes, len);
    self->out_len += len;
}

static void put_number(server *self, size_t number) {
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(self, digits + at, sizeof digits - at);
}

static void write_answer(server *self, const char *body, size_t len) {
    static const char head[] =
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Content-Type: application/json\r\nContent-Length: ";
    put(self, head, sizeof head - 1);
    put_number(self, len);
    put(self, "\r\n\r\n", 4);
    put(self, body, len);
}

static void send_answers(server *self, conn *to) {
    if (self->out_len > 0 && send(to->fd, self->out, self->out_len, MSG_NOSIGNAL) < 0) {
        shutdown(to->fd, SHUT_RDWR);
    }
    self->out_len = 0;
}

static void grow(server *self) {
    size_t room = self->room * 2 + 64;
    answer *answers = malloc(room * sizeof *answers);
    if (answers == NULL) {
        bench_fail("malloc");
    }
    for (size_t i = 0; i < self->count; i++) {
        answers[i] = self->answers[(self->first + i) % self->room];
    }
    free(self->answers);
    self->answers = answers;
    self->first = 0;
    self->room = room;
}

static void put_off(server *self, conn *to) {
    if (self->count == self->room) {
        grow(self);
    }
    answer *one = &self->answers[(self->first + self->count++) % self->room];
    one->to = to;
    one->due_ns = bench_now_ns() + self->bare->delay_ns;
    one->body_len = to->body_len;
    memcpy(one->body, to->body, to->body_len);
    to->waiting++;
}

static void free_gone(conn *one) {
    if (one->gone && one->waiting == 0) {
        free(one);
    }
}

static void answer_due(server *self) {
    uint64_t now = self->count > 0 ? bench_now_ns() : 0;
    while (self->count > 0 && self->answers[self->first].due_ns <= now) {
        answer *one = &self->answers[self->first];
        conn *to = one->to;
        self->first = (self->first + 1) % self->room;
        self->count--;
        to->waiting--;
        if (!to->gone) {
            write_answer(self, one->body, one->body_len);
            send_answers(self, to);
        }
        free_gone(to);
    }
}

/* ---- reading */

static int on_body(http_parser *parser, const char *at, size_t len) {
    conn *one = parser->data;
    if (one->server->bare->echo && one->body_len + len <= BODY_MAX) {
        memcpy(one->body + one->body_len, at, len);
        one->body_len += len;
    }
    return 0;
}

static int on_complete(http_parser *parser) {
    conn *one = parser->data;
    server *self = one->server;
    if (self->bare->delay_ns > 0) {
        put_off(self, one);
    } else {
        write_answer(self, one->body, one->body_len);
    }
    one->body_len = 0;
    return 0;
}

static void read_conn(server *self, conn *one) {
    static const http_parser_settings settings = {.on_body = on_body,
                                                  .on_message_complete = on_complete};
    ssize_t len = recv(one->fd, self->in, BUFFER, 0);
    if (len <= 0) {
        epoll_ctl(self->epoll, EPOLL_CTL_DEL, one->fd, &(struct epoll_event){0});
        close(one->fd);
        one->gone = 1;
        free_gone(one);
        return;
    }
    http_parser_execute(&one->parser, &settings, self->in, (size_t)len);
    send_answers(self, one);
}

static void watch(const server *self, int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    /* Standard input may be a file, which is never waited for. */
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno != EPERM) {
        bench_fail("epoll_ctl");
    }
}

static void accept_all(server *self, int listener) {
    int one = 1;
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        conn *new = calloc(1, sizeof *new);
        if (new == NULL) {
            bench_fail("calloc");
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        new->server = self;
        new->fd = fd;
        new->parser.data = new;
        http_parser_init(&new->parser, HTTP_REQUEST);
        watch(self, fd, new);
    }
}

/* ---- all of it */

static int wait_events(server *self, struct epoll_event *events) {
    struct timespec left = {0, 0};
    if (self->count == 0) {
        return epoll_wait(self->epoll, events, EVENTS, -1);
    }
    uint64_t now = bench_now_ns();
    uint64_t due = self->answers[self->first].due_ns;
    left.tv_nsec = due > now ? (long)((due - now) % 1000000000) : 0;
    left.tv_sec = due > now ? (time_t)((due - now) / 1000000000) : 0;
    return epoll_pwait2(self->epoll, events, EVENTS, &left, NULL);
}

static int is_ended(const server *self) {
    char byte;
    return self->bare->until_eof && read(STDIN_FILENO, &byte, 1) <= 0;
}

/* Which of the listeners an event is of; -1: none. */
static int place_of(const server *self, const void *what) {
    for (int i = 0; i < self->bare->ports; i++) {
        if (what == &self->bare->listener[i]) {
            return i;
        }
    }
    return -1;
}

static int take_event(server *self, void *what) {
    int place = place_of(self, what);
    if (what == NULL) {
        return is_ended(self);
    }
    if (place >= 0) {
        accept_all(self, self->bare->listener[place]);
    } else {
        read_conn(self, what);
    }
    return 0;
}

void *bench_bare_run(void *user) {
    bench_bare *bare = user;
    server self = {.bare = bare, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event events[EVENTS];
    int ended = 0;
    self.in = malloc(BUFFER);
    self.out = malloc((BUFFER / 16) * (size_t)HEAD_MAX);
    if (self.epoll < 0 || self.in == NULL || self.out == NULL) {
        bench_fail("server");
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    for (int i = 0; i < bare->ports; i++) {
        watch(&self, bare->listener[i], &bare->listener[i]);
    }
    if (bare->until_eof) {
        watch(&self, STDIN_FILENO, NULL);
    }
    while (!ended) {
        int count = wait_events(&self, events);
        for (int i = 0; i < count && !ended; i++) {
            ended = take_event(&self, events[i].data.ptr);
        }
        answer_due(&self);
    }
    free(self.in);
    free(self.out);
    free(self.answers);
    close(self.epoll);
    return NULL;
}
