/* The rig: a handler with something for each test, and a thread that runs its loop. */
#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLOOD_BYTES = 8 << 20, PIECE_BYTES = 10000 };

static void answer_text(net_request *request, const char *text) {
    const net_answer answer = {.size = sizeof answer,
                               .status = 200,
                               .content_type = "text/plain",
                               .body = text,
                               .body_len = strlen(text)};
    (void)net_request_answer(request, &answer);
}

typedef struct later {
    rig *self;
    net_request *request;
    int alone;
} later;

static void *answer_later(void *user) {
    later one = *(later *)user;
    free(user);
    usleep(2000);
    atomic_fetch_sub(&one.self->alone, one.alone);
    answer_text(one.request, "later");
    atomic_fetch_sub(&one.self->later, 1);
    return NULL;
}

static void start_later(rig *self, net_request *request, int alone) {
    pthread_t thread;
    later *one = malloc(sizeof *one);
    *one = (later){self, request, alone};
    atomic_fetch_add(&self->later, 1);
    atomic_fetch_add(&self->alone, alone);
    pthread_create(&thread, NULL, answer_later, one);
    pthread_detach(thread);
}

static void on_gone(net_request *request, void *user) {
    rig *self = user;
    atomic_fetch_add(&self->gone, 1);
    answer_text(request, "nobody reads this");
}

static void on_stream_gone(net_request *request, void *user) {
    rig *self = user;
    atomic_fetch_add(&self->gone, 1);
    assert_int_equal(net_stream_write(request, "x", 1), NET_ECLOSED);
    net_stream_end(request);
}

static const net_answer stream_answer = {.size = sizeof stream_answer,
                                         .status = 200,
                                         .content_type = "text/event-stream"};

static void stream_three(net_request *request) {
    assert_int_equal(net_stream_begin(request, &stream_answer, NULL, NULL), 0);
    assert_int_equal(net_stream_write(request, "one ", 4), 0);
    assert_int_equal(net_stream_write(request, "", 0), 0);
    assert_int_equal(net_stream_write(request, "two ", 4), 0);
    assert_int_equal(net_stream_write(request, "three", 5), 0);
    net_stream_end(request);
}

typedef struct flood {
    rig *self;
    size_t left;
} flood;

static void pour(net_request *request, void *user) {
    static const char piece[PIECE_BYTES] = {'x'};
    flood *one = user;
    int rc = 0;
    while (one->left > 0 && rc == 0) {
        size_t len = one->left < PIECE_BYTES ? one->left : PIECE_BYTES;
        rc = net_stream_write(request, piece, len);
        one->left -= rc == 0 ? len : 0;
    }
    if (rc == NET_EBUSY) {
        atomic_fetch_add(&one->self->refused_writes, 1);
        return;
    }
    free(one);
    net_stream_end(request);
}

static void flood_gone(net_request *request, void *user) {
    (void)user;
    net_stream_end(request);
}

static void start_flood(rig *self, net_request *request) {
    flood *one = malloc(sizeof *one);
    *one = (flood){self, FLOOD_BYTES};
    net_request_on_gone(request, flood_gone, NULL);
    assert_int_equal(net_stream_begin(request, &stream_answer, pour, one), 0);
    pour(request, one);
}

static void answer_bad(net_request *request) {
    const net_header split = {"X-A", "b\r\nSet-Cookie: c"};
    const net_answer answer = {
        .size = sizeof answer, .status = 200, .headers = &split, .header_count = 1};
    assert_int_equal(net_request_answer(request, &answer), NET_EINVALID);
}

static void answer_big(net_request *request) {
    size_t len = 4 << 20;
    char *body = malloc(len);
    memset(body, 'b', len);
    const net_answer answer = {.size = sizeof answer, .status = 200, .body = body, .body_len = len};
    assert_int_equal(net_request_answer(request, &answer), 0);
    free(body);
}

static void answer_echo(net_request *request) {
    net_text path = net_request_path(request);
    net_text query = net_request_query(request);
    net_text host = net_request_host(request);
    net_text body = net_request_body(request);
    size_t size = path.len + query.len + host.len + body.len + 32;
    char *text = malloc(size);
    snprintf(text, size, "%s %.*s?%.*s %.*s %.*s", net_request_method(request), (int)path.len,
             path.bytes, (int)query.len, query.len ? query.bytes : "", (int)host.len,
             host.len ? host.bytes : "", (int)body.len, body.len ? body.bytes : "");
    answer_text(request, text);
    free(text);
}

static void handle(net_request *request, void *user) {
    rig *self = user;
    char subject[NET_TLS_SUBJECT_MAX];
    net_text path = net_request_path(request);
    char word[32] = "";
    memcpy(word, path.bytes, path.len < 31 ? path.len : 31);
    atomic_fetch_add(&self->overtaking, atomic_load(&self->alone) > 0);
    atomic_fetch_add(&self->handled, 1);
    if (strcmp(word, "/later") == 0) {
        start_later(self, request, 0);
    } else if (strcmp(word, "/alone") == 0) {
        net_request_alone(request);
        start_later(self, request, 1);
    } else if (strcmp(word, "/hold") == 0) {
        net_request_on_gone(request, on_gone, self);
    } else if (strcmp(word, "/needed") == 0) {
        net_request_on_gone(request, on_gone, self);
        net_request_needs_client(request);
    } else if (strcmp(word, "/stream") == 0) {
        stream_three(request);
    } else if (strcmp(word, "/flood") == 0) {
        start_flood(self, request);
    } else if (strcmp(word, "/forever") == 0) {
        net_request_on_gone(request, on_stream_gone, self);
        assert_int_equal(net_stream_begin(request, &stream_answer, NULL, NULL), 0);
        self->stream = request;
    } else if (strcmp(word, "/big") == 0) {
        answer_big(request);
    } else if (strcmp(word, "/bad") == 0) {
        answer_bad(request);
    } else if (strcmp(word, "/who") == 0) {
        answer_text(request, net_request_subject(request, subject));
    } else {
        atomic_fetch_add(&self->smuggled, strcmp(word, "/smuggled") == 0);
        answer_echo(request);
    }
}

/* ---- the thread */

static void *run_loop(void *user) {
    rig *self = user;
    net_loop_run(self->loop);
    return NULL;
}

void rig_start(rig *self) {
    char text[NET_ADDRESS_TEXT_MAX];
    self->options.size = sizeof self->options;
    self->options.handler = handle;
    self->options.user = self;
    assert_int_equal(net_loop_create(&self->loop), 0);
    assert_int_equal(net_server_create(self->loop, &self->options, &self->server), 0);
    assert_int_equal(
        net_server_listen(self->server, self->listen != NULL ? self->listen : "127.0.0.1:0",
                          self->tls, 0, &self->address),
        0);
    snprintf(self->url, sizeof self->url, "%s://%s", self->tls != NULL ? "https" : "http",
             net_address_text(&self->address, text, sizeof text));
    assert_int_equal(pthread_create(&self->thread, NULL, run_loop, self), 0);
}

void rig_stop(rig *self) {
    net_loop_stop(self->loop);
    pthread_join(self->thread, NULL);
    net_loop_turn(self->loop, 0); /* from now on it is this thread's */
    net_server_free(self->server);
    while (atomic_load(&self->later) > 0) { /* answers on their way from other threads */
        usleep(500);
    }
    net_loop_free(self->loop);
}

typedef struct errand {
    net_task task;
    rig *self;
    void (*run)(rig *self);
    _Atomic int done;
} errand;

static void run_errand(net_task *task) {
    errand *one = (errand *)task;
    one->run(one->self);
    atomic_store(&one->done, 1);
}

void rig_do(rig *self, void (*run)(rig *self)) {
    errand one = {.task.run = run_errand, .self = self, .run = run};
    net_loop_post(self->loop, &one.task);
    while (!atomic_load(&one.done)) {
        usleep(500);
    }
}

/* ---- raw bytes */

int rig_connect(const rig *self) {
    int fd = socket(self->address.at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &self->address.at.any, self->address.len), 0);
    return fd;
}

void send_bytes(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the peer has closed: what it said will tell */
        }
        bytes += sent;
        len -= (size_t)sent;
    }
}

void send_text(int fd, const char *text) {
    send_bytes(fd, text, strlen(text));
}

char *read_reply(int fd, int ms, int *ret_closed) {
    char *reply = malloc(16 * REPLY_MAX);
    size_t len = 0;
    int closed = 0;
    for (;;) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        if (poll(&one, 1, ms) <= 0) {
            break;
        }
        ssize_t count = recv(fd, reply + len, 16 * REPLY_MAX - 1 - len, 0);
        if (count <= 0) {
            closed = count == 0 ? 1 : 2;
            break;
        }
        len += (size_t)count;
    }
    reply[len] = '\0';
    if (ret_closed != NULL) {
        *ret_closed = closed;
    }
    return reply;
}

char *rig_talk(const rig *self, const char *bytes, size_t len, int *ret_closed) {
    int fd = rig_connect(self);
    send_bytes(fd, bytes, len);
    char *reply = read_reply(fd, 5000, ret_closed);
    close(fd);
    return reply;
}

int count_of(const char *text, const char *word) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) {
        count++;
    }
    return count;
}
