/* What an HTTP exchange costs: net/ beside bare epoll and http_parser, in one run.
 *
 *   http-echo [CONNECTIONS [SECONDS [ROUNDS [PIPELINED]]]]
 *
 * Servers answer a request of 109 bytes of JSON with its own body. Each figure is the processor
 * time of one side's thread per exchange; only ratios of one run count. The bare server checks
 * nothing and has no limits or deadlines: it is the floor. */
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <http_parser.h>

#include "../net/client.h"
#include "../net/server.h"
#include "http_bare.h"

enum { BODY_LEN = 109, ROUNDS_MAX = 99, CONNECTIONS_MAX = 10000 };

static const char request_head[] =
    "POST /v1/echo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Content-Type: application/json\r\nContent-Length: 109\r\n\r\n";

static double thread_us(pthread_t thread) {
    struct timespec spent;
    clockid_t clock;
    pthread_getcpuclockid(thread, &clock);
    clock_gettime(clock, &spent);
    return (double)spent.tv_sec * 1e6 + (double)spent.tv_nsec / 1e3;
}

static void fill_body(char *body) {
    memset(body, 'x', BODY_LEN);
    memcpy(body, "{\"text\":\"", 9);
    memcpy(body + BODY_LEN - 2, "\"}", 2);
}

/* ---- the server of net/ */

static void echo(net_request *request, void *user) {
    net_text body = net_request_body(request);
    const net_answer answer = {.size = sizeof answer,
                               .status = 200,
                               .content_type = "application/json",
                               .body = body.bytes,
                               .body_len = body.len};
    (void)user;
    (void)net_request_answer(request, &answer);
}

static void *net_run(void *user) {
    net_loop_run(user);
    return NULL;
}

/* ---- the bare client */

typedef struct load {
    net_address target;
    int connections;
    int pipelined;
    double seconds;
    uint64_t exchanges;
} load;

static double now_s(void) {
    return (double)bench_now_ns() / 1e9;
}

static int load_connect(const load *self) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0 || connect(fd, &self->target.at.any, self->target.len) != 0) {
        bench_fail("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

typedef struct load_conn {
    http_parser parser;
    int fd;
    int answers;
} load_conn;

static int load_complete(http_parser *parser) {
    ((load_conn *)parser->data)->answers++;
    return 0;
}

static void load_send(const load_conn *conn, const char *request, size_t len) {
    if (send(conn->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len) {
        bench_fail("send");
    }
}

static void load_read(load *self, load_conn *conn, const char *request, size_t request_len) {
    static const http_parser_settings settings = {.on_message_complete = load_complete};
    char in[16384];
    ssize_t len = recv(conn->fd, in, sizeof in, 0);
    if (len <= 0) {
        bench_fail("recv");
    }
    if (http_parser_execute(&conn->parser, &settings, in, (size_t)len) != (size_t)len) {
        bench_fail("answer");
    }
    if (conn->answers >= self->pipelined) {
        self->exchanges += (uint64_t)conn->answers;
        conn->answers = 0;
        load_send(conn, request, request_len);
    }
}

static void load_run(load *self) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    load_conn *conns = calloc((size_t)self->connections, sizeof *conns);
    struct epoll_event events[256];
    size_t each = sizeof request_head - 1 + BODY_LEN;
    size_t request_len = each * (size_t)self->pipelined;
    char *request = malloc(request_len);
    for (int i = 0; i < self->pipelined; i++) {
        memcpy(request + each * (size_t)i, request_head, sizeof request_head - 1);
        fill_body(request + each * (size_t)i + sizeof request_head - 1);
    }
    for (int i = 0; i < self->connections; i++) {
        conns[i].fd = load_connect(self);
        conns[i].parser.data = &conns[i];
        http_parser_init(&conns[i].parser, HTTP_RESPONSE);
        epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd,
                  &(struct epoll_event){.events = EPOLLIN, .data.ptr = &conns[i]});
        load_send(&conns[i], request, request_len);
    }
    double end = now_s() + self->seconds;
    self->exchanges = 0;
    while (now_s() < end) {
        int count = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < count; i++) {
            load_read(self, events[i].data.ptr, request, request_len);
        }
    }
    for (int i = 0; i < self->connections; i++) {
        close(conns[i].fd);
    }
    free(request);
    free(conns);
    close(epoll);
}

/* ---- the client of net/ */

typedef struct calls {
    load *load;
    net_loop *loop;
    net_client *client;
    net_url url;
    char body[BODY_LEN];
    double end;
    int ending;
} calls;

static void call_done(uint64_t id, const net_result *result, void *user);

static void call_again(calls *self) {
    static const net_header type = {"Content-Type", "application/json"};
    const net_fetch fetch = {.size = sizeof fetch,
                             .url = &self->url,
                             .method = "POST",
                             .headers = &type,
                             .header_count = 1,
                             .body = self->body,
                             .body_len = BODY_LEN,
                             .done = call_done,
                             .user = self};
    if (net_client_fetch(self->client, &fetch, NULL) != 0) {
        bench_fail("fetch");
    }
}

static void call_done(uint64_t id, const net_result *result, void *user) {
    calls *self = user;
    (void)id;
    if (self->ending) {
        return;
    }
    if (result->error != 0) {
        fprintf(stderr, "%s: %s\n", net_strerror(result->error), result->detail);
        exit(1);
    }
    if (++self->load->exchanges % 64 == 0 && now_s() > self->end) {
        net_loop_stop(self->loop);
    }
    call_again(self);
}

static void calls_run(load *self) {
    calls all = {.load = self};
    char url[128];
    char address[NET_ADDRESS_TEXT_MAX];
    const net_client_options options = {.size = sizeof options,
                                        .target_connections_max = (uint32_t)self->connections,
                                        .connections_max = (uint32_t)self->connections};
    snprintf(url, sizeof url, "http://%s/v1/echo",
             net_address_text(&self->target, address, sizeof address));
    fill_body(all.body);
    if (net_url_parse(url, strlen(url), &all.url, NULL) != 0 || net_loop_create(&all.loop) != 0 ||
        net_client_create(all.loop, &options, &all.client) != 0) {
        bench_fail("client");
    }
    self->exchanges = 0;
    for (int i = 0; i < self->connections; i++) {
        call_again(&all);
    }
    all.end = now_s() + self->seconds;
    net_loop_run(all.loop);
    all.ending = 1;
    net_client_free(all.client);
    net_loop_free(all.loop);
}

/* ---- a run */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

static void report(const char *name, double *bare, double *own, int rounds) {
    double floor_us = median(bare, rounds);
    double own_us = median(own, rounds);
    printf("%-8s bare %6.2f us   net %6.2f us   ratio %.2f\n", name, floor_us, own_us,
           own_us / floor_us);
}

static double server_us(load *self, pthread_t server) {
    double before = thread_us(server);
    load_run(self);
    return (thread_us(server) - before) / (double)self->exchanges;
}

static double client_us(load *self, void (*run)(load *self)) {
    double before = thread_us(pthread_self());
    run(self);
    return (thread_us(pthread_self()) - before) / (double)self->exchanges;
}

static int number_at(int argc, char **argv, int index, int otherwise, int max) {
    long number = index < argc ? strtol(argv[index], NULL, 10) : otherwise;
    return number < 1 ? 1 : number > max ? max : (int)number;
}

int main(int argc, char **argv) {
    load one = {.connections = number_at(argc, argv, 1, 64, CONNECTIONS_MAX),
                .seconds = number_at(argc, argv, 2, 1, 3600),
                .pipelined = number_at(argc, argv, 4, 1, 64)};
    int rounds = number_at(argc, argv, 3, 3, ROUNDS_MAX);
    double us[4][ROUNDS_MAX];
    pthread_t bare;
    pthread_t own;
    bench_bare bare_server = {.echo = 1, .ports = 1};
    net_loop *loop;
    net_server *server;
    net_address own_address;
    const net_server_options options = {
        .size = sizeof options, .handler = echo, .pipelined_max = 64};
    if (net_loop_create(&loop) != 0 || net_server_create(loop, &options, &server) != 0 ||
        net_server_listen(server, "127.0.0.1:0", NULL, 0, &own_address) != 0) {
        bench_fail("server");
    }
    bench_bare_listen(&bare_server);
    pthread_create(&bare, NULL, bench_bare_run, &bare_server);
    pthread_create(&own, NULL, net_run, loop);
    for (int i = 0; i < rounds; i++) {
        one.target = bench_bare_address(&bare_server, 0);
        us[0][i] = server_us(&one, bare);
        one.target = own_address;
        us[1][i] = server_us(&one, own);
        one.target = bench_bare_address(&bare_server, 0);
        us[2][i] = client_us(&one, load_run);
        us[3][i] = client_us(&one, calls_run);
    }
    printf("processor time per exchange, %d connections, %d pipelined (client of net/: 1)\n",
           one.connections, one.pipelined);
    report("server", us[0], us[1], rounds);
    report("client", us[2], us[3], rounds);
    net_loop_stop(loop);
    pthread_join(own, NULL);
    net_server_free(server);
    net_loop_free(loop);
    return 0;
}
