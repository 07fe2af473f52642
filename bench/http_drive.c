/* The load: one thread, epoll, and a clock that the users do not slow down. */
#include "http_drive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <http_parser.h>

#include "http_bare.h"

enum { BUFFER = 65536, EVENTS = 256, BODY_MAX = 1024, DRAIN_S = 20, TICK_NS = 250000 };

typedef struct user user;

typedef struct wire {
    http_parser parser;
    int fd;
    int asked, answered;
    user *user;
    uint16_t port;
    size_t body_len;
    char body[BODY_MAX];
} wire;

struct user {
    user *next_free;
    wire *wires;
    int stage, left;
    int status; /* the worst of its answers */
    uint64_t due_ns;
};

typedef struct drive {
    const bench_load *load;
    bench_result *result;
    int epoll;
    user *users, *free;
    int busy;
    char *in;
    size_t in_len;
    uint64_t count_from_ns, end_ns;
    uint64_t due_ns; /* open: when the next is */
    double step_ns;
} drive;

int bench_connect(uint16_t port) {
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        bench_fail("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* ---- asking */

static void open_wire(drive *self, wire *one) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    one->fd = bench_connect(one->port);
    one->answered = 0;
    one->parser.data = one;
    http_parser_init(&one->parser, HTTP_RESPONSE);
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, one->fd, &event) != 0) {
        bench_fail("epoll_ctl");
    }
}

static void open_again(drive *self, wire *one) {
    close(one->fd);
    self->result->reopened++;
    open_wire(self, one);
}

static void ask(wire *one, const bench_request *request) {
    one->asked = 1;
    one->body_len = 0;
    /* Requests are small and wait for their answers, so there is room for all of one. */
    if (send(one->fd, request->bytes, request->len, MSG_NOSIGNAL) != (ssize_t)request->len &&
        errno != EPIPE && errno != ECONNRESET) {
        bench_fail("send");
    }
}

static void begin_stage(const drive *self, user *one) {
    const bench_plan *plan = self->load->plan;
    one->left = plan->width;
    for (int i = 0; i < plan->width; i++) {
        ask(&one->wires[i], &plan->request[one->stage * plan->width + i]);
    }
}

/* A connection that rested may have been closed meanwhile, and a request on it would be lost: as
 * pools do, it is looked at before it is used. */
static void renew(drive *self, const user *one) {
    for (int i = 0; i < self->load->plan->width; i++) {
        wire *each = &one->wires[i];
        char byte;
        if (recv(each->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
            open_again(self, each);
        }
    }
}

static void begin(drive *self, user *one, uint64_t due_ns) {
    one->due_ns = due_ns;
    one->stage = 0;
    one->status = 0;
    self->busy++;
    begin_stage(self, one);
}

/* ---- judging */

static void keep_gid(const drive *self, const wire *one) {
    const char *at = memmem(one->body, one->body_len, "\"gid\":\"", 7);
    const char *end =
        at != NULL ? memchr(at + 7, '"', one->body_len - (size_t)(at + 7 - one->body)) : NULL;
    if (end != NULL && self->load->gids != NULL) {
        fwrite(at + 7, 1, (size_t)(end - at - 7), self->load->gids);
        fputc('\n', self->load->gids);
    }
}

static void note_unfit(bench_result *result, const wire *one) {
    result->unfit++;
    snprintf(result->unfit_text, sizeof result->unfit_text, "%u %.*s",
             (unsigned)one->parser.status_code, (int)one->body_len, one->body);
}

/* An answer is there: 200 and good, a refusal, or neither. */
static void judge(drive *self, const wire *one) {
    int status = (int)one->parser.status_code;
    int counts = one->user->due_ns >= self->count_from_ns;
    if (status == 429 || status == 503) {
        self->result->refused += (uint64_t)counts;
        self->result->bare +=
            (uint64_t)(counts && memmem(self->in, self->in_len, "Retry-After:", 12) == NULL);
        one->user->status = status;
    } else if (status != 200 || (self->load->plan->judged &&
                                 memmem(one->body, one->body_len, "\"COMMITTED\"", 11) == NULL)) {
        note_unfit(self->result, one);
        one->user->status = -1;
    } else if (self->load->plan->judged) {
        keep_gid(self, one);
    }
}

static void end_plan(drive *self, user *one) {
    uint64_t now = bench_now_ns();
    self->busy--;
    if (one->due_ns >= self->count_from_ns) {
        if (one->status == 0) {
            bench_histogram_add(&self->result->latency, now - one->due_ns);
            self->result->done += now <= self->end_ns;
        } else if (one->status > 0) {
            bench_histogram_add(&self->result->refusal, now - one->due_ns);
        }
    }
    if (self->load->rate > 0) {
        one->next_free = self->free;
        self->free = one;
    } else if (now < self->end_ns) {
        begin(self, one, now);
    }
}

static void end_request(drive *self, wire *one) {
    user *of = one->user;
    one->asked = 0;
    if (--of->left > 0) {
        return;
    }
    if (of->status == 0 && ++of->stage < self->load->plan->stages) {
        begin_stage(self, of);
    } else {
        end_plan(self, of);
    }
}

/* ---- reading */

static int on_body(http_parser *parser, const char *at, size_t len) {
    wire *one = parser->data;
    size_t room = BODY_MAX - one->body_len;
    len = len < room ? len : room;
    memcpy(one->body + one->body_len, at, len);
    one->body_len += len;
    return 0;
}

static int on_complete(http_parser *parser) {
    ((wire *)parser->data)->answered = 1;
    return 0;
}

static void reopen(drive *self, wire *one) {
    if (!one->asked) {
        open_again(self, one);
        return;
    }
    close(one->fd);
    open_wire(self, one);
    self->result->broken++;
    one->user->status = -1;
    end_request(self, one);
}

static void take(drive *self, wire *one) {
    static const http_parser_settings settings = {.on_body = on_body,
                                                  .on_message_complete = on_complete};
    ssize_t len = recv(one->fd, self->in, BUFFER, 0);
    if (len <= 0) {
        reopen(self, one);
        return;
    }
    self->in_len = (size_t)len;
    one->answered = 0;
    if (http_parser_execute(&one->parser, &settings, self->in, (size_t)len) != (size_t)len) {
        one->body_len = 0;
        note_unfit(self->result, one);
        reopen(self, one);
        return;
    }
    if (!one->answered) {
        return;
    }
    judge(self, one);
    if (!http_should_keep_alive(&one->parser)) {
        open_again(self, one);
    }
    end_request(self, one);
}

/* ---- the clock */

static void begin_due(drive *self) {
    uint64_t now = bench_now_ns();
    while (self->due_ns <= now && self->due_ns < self->end_ns && self->free != NULL) {
        user *one = self->free;
        self->free = one->next_free;
        renew(self, one);
        begin(self, one, self->due_ns);
        self->due_ns += (uint64_t)self->step_ns;
    }
}

/* How long nothing is to be done but to read answers. */
static struct timespec left(const drive *self, uint64_t until_ns) {
    uint64_t now = bench_now_ns();
    uint64_t wake = self->load->rate > 0 && self->free != NULL && self->due_ns < until_ns
                        ? self->due_ns
                        : until_ns;
    uint64_t ns = wake > now ? wake - now : 0;
    return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

/* At a high rate all that came in a tick is taken together: being woken for each answer would cost
 * the machine that is measured more than the answers do. It adds a tick at most to a latency. */
static void wait_tick(const drive *self, struct timespec *wait) {
    static const struct timespec tick = {0, TICK_NS};
    if (self->load->rate * TICK_NS > 1e9) {
        nanosleep(&tick, NULL);
        *wait = (struct timespec){0, 0};
    }
}

static void turn(drive *self, uint64_t until_ns) {
    struct epoll_event events[EVENTS];
    struct timespec wait = left(self, until_ns);
    int count;
    wait_tick(self, &wait);
    do {
        count = epoll_pwait2(self->epoll, events, EVENTS, &wait, NULL);
        for (int i = 0; i < count; i++) {
            take(self, events[i].data.ptr);
        }
    } while (count == EVENTS);
    if (self->load->rate > 0) {
        begin_due(self);
    }
}

/* ---- all of it */

static void make_users(drive *self) {
    const bench_plan *plan = self->load->plan;
    self->users = calloc((size_t)self->load->users, sizeof *self->users);
    for (int i = 0; i < self->load->users; i++) {
        user *one = &self->users[i];
        one->wires = calloc((size_t)plan->width, sizeof *one->wires);
        for (int j = 0; j < plan->width; j++) {
            one->wires[j].user = one;
            one->wires[j].port = plan->request[j].port;
            open_wire(self, &one->wires[j]);
        }
        one->next_free = self->free;
        self->free = one;
    }
}

static void free_users(drive *self) {
    for (int i = 0; i < self->load->users; i++) {
        for (int j = 0; j < self->load->plan->width; j++) {
            close(self->users[i].wires[j].fd);
        }
        free(self->users[i].wires);
    }
    free(self->users);
}

static void run(drive *self) {
    uint64_t start = bench_now_ns();
    uint64_t drained;
    self->count_from_ns = start + (uint64_t)(self->load->warmup_s * 1e9);
    self->end_ns = self->count_from_ns + (uint64_t)(self->load->seconds * 1e9);
    self->due_ns = start;
    if (self->load->rate > 0) {
        self->step_ns = 1e9 / self->load->rate;
    }
    for (int i = 0; i < self->load->users && self->load->rate <= 0; i++) {
        begin(self, &self->users[i], bench_now_ns());
    }
    while (bench_now_ns() < self->end_ns) {
        turn(self, self->end_ns);
    }
    self->result->seconds = self->load->seconds;
    if (self->load->rate > 0 && self->due_ns < self->end_ns) {
        self->result->unbegun = (uint64_t)((double)(self->end_ns - self->due_ns) / self->step_ns);
    }
    self->due_ns = self->end_ns;
    drained = self->end_ns + (uint64_t)DRAIN_S * 1000000000;
    while (self->busy > 0 && bench_now_ns() < drained) {
        turn(self, drained);
    }
    self->result->broken += (uint64_t)self->busy;
}

void bench_drive(const bench_load *load, bench_result *ret_result) {
    drive self = {.load = load, .result = ret_result, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct timespec cpu;
    self.in = malloc(BUFFER);
    if (self.epoll < 0 || self.in == NULL) {
        bench_fail("load");
    }
    memset(ret_result, 0, sizeof *ret_result);
    prctl(PR_SET_TIMERSLACK, 1UL);
    make_users(&self);
    run(&self);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    ret_result->cpu_s = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    free_users(&self);
    free(self.in);
    close(self.epoll);
}
