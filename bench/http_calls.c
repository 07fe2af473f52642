/* What a call of a participant over HTTP costs, beside a raw exchange of net/'s client, in one run.
 *
 *   http-calls [CONNECTIONS [CALLS [ROUNDS]]]
 *
 * The server answers `{}` and runs on a thread of its own. Each figure is processor time per call:
 * of the thread of the loop that makes the calls, and of the engine's threads (TCC transactions of
 * three branches in a volatile home, so six calls each). Only ratios of one run count. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <etx/participant_http.h>

#include "../net/client.h"
#include "../net/server.h"

enum { BRANCHES = 3, CALLS_EACH = BRANCHES * 2, ROUNDS_MAX = 99 };

static const char body[] =
    "{\"order\": 12345, \"sku\": \"a-part\", \"count\": 2, \"note\": \"as usual\"}";

typedef struct side {
    net_loop *loop;
    pthread_t thread;
} side;

typedef struct bench {
    side server;
    side client;
    net_server *listener;
    char url[64];
    net_url parsed;
    net_client *raw;
    etx_http *http;
    etx_engine *engine;
    unsigned width;
    long left; /* to be begun; raw: on the loop's thread */
    _Atomic long more, open;
    sem_t done;
    void *envelope;
    size_t envelope_len;
} bench;

static void must(int rc, const char *what) {
    if (rc != 0) {
        fprintf(stderr, "http-calls: %s: %d\n", what, rc);
        exit(1);
    }
}

static double clock_us(clockid_t clock) {
    struct timespec spent;
    clock_gettime(clock, &spent);
    return (double)spent.tv_sec * 1e6 + (double)spent.tv_nsec / 1e3;
}

static double thread_us(pthread_t thread) {
    clockid_t clock;
    pthread_getcpuclockid(thread, &clock);
    return clock_us(clock);
}

static void *run(void *user) {
    const side *self = user;
    (void)net_loop_run(self->loop);
    return NULL;
}

static void serve(net_request *request, void *user) {
    const net_answer answer = {.size = sizeof answer,
                               .status = 200,
                               .content_type = "application/json",
                               .body = "{}",
                               .body_len = 2};
    (void)user;
    (void)net_request_answer(request, &answer);
}

/* ---- raw exchanges */

static void raw_done(uint64_t id, const net_result *result, void *user);

static void raw_next(bench *self) {
    const net_header headers[] = {{"Content-Type", "application/json"}};
    const net_fetch fetch = {.size = sizeof fetch,
                             .url = &self->parsed,
                             .method = "POST",
                             .headers = headers,
                             .header_count = 1,
                             .body = body,
                             .body_len = sizeof body - 1,
                             .done = raw_done,
                             .user = self};
    self->left--;
    must(net_client_fetch(self->raw, &fetch, NULL), "fetch");
}

static void raw_done(uint64_t id, const net_result *result, void *user) {
    bench *self = user;
    (void)id;
    must(result->error != 0 || result->status != 200, "answer");
    if (self->left > 0) {
        raw_next(self);
    } else if (atomic_fetch_sub(&self->open, 1) == 1) {
        sem_post(&self->done);
    }
}

typedef struct begin {
    net_task task;
    bench *self;
} begin;

static void raw_begin(net_task *task) {
    bench *self = ((begin *)(void *)task)->self;
    for (unsigned i = 0; i < self->width; i++) {
        raw_next(self);
    }
}

static double run_raw(bench *self, long calls) {
    begin first = {{.run = raw_begin}, self};
    self->left = calls;
    atomic_store(&self->open, self->width);
    double before = thread_us(self->client.thread);
    net_loop_post(self->client.loop, &first.task);
    sem_wait(&self->done);
    return (thread_us(self->client.thread) - before) / (double)calls;
}

/* ---- calls of the engine */

static void tx_done(int rc, const etx_outcome *outcome, void *user);

static void tx_next(bench *self) {
    etx_tx *tx;
    must(etx_tx_new(self->engine, NULL, &tx), "new");
    for (unsigned i = 0; i < BRANCHES; i++) {
        must(etx_tx_add(tx, "http-tcc", self->envelope, self->envelope_len), "add");
    }
    must(etx_tx_submit(tx, tx_done, self), "submit");
}

static void tx_done(int rc, const etx_outcome *outcome, void *user) {
    bench *self = user;
    must(rc != 0 || outcome->state != ETX_COMMITTED, "transaction");
    if (atomic_fetch_sub(&self->more, 1) > 0) {
        tx_next(self);
    } else if (atomic_fetch_sub(&self->open, 1) == 1) {
        sem_post(&self->done);
    }
}

/* `*ret_engine`: of all other threads but the server's. */
static double run_calls(bench *self, long calls, double *ret_engine) {
    unsigned width = self->width / BRANCHES > 0 ? self->width / BRANCHES : 1;
    long count = calls / CALLS_EACH;
    atomic_store(&self->more, count - width);
    atomic_store(&self->open, width);
    double before = thread_us(self->client.thread);
    double others = clock_us(CLOCK_PROCESS_CPUTIME_ID) - thread_us(self->server.thread) - before;
    for (unsigned i = 0; i < width; i++) {
        tx_next(self);
    }
    sem_wait(&self->done);
    double after = thread_us(self->client.thread);
    double made = (double)(count * CALLS_EACH);
    others = clock_us(CLOCK_PROCESS_CPUTIME_ID) - thread_us(self->server.thread) - after - others;
    *ret_engine = others / made;
    return (after - before) / made;
}

/* ---- all of it */

static void set_up(bench *self, etx_http_options *options) {
    const net_server_options serving = {.size = sizeof serving, .handler = serve};
    const net_client_options calling = {.size = sizeof calling, .target_connections_max = 4096};
    etx_options engine = ETX_OPTIONS_INIT;
    net_address address;
    char why[256];
    must(net_loop_create(&self->server.loop), "loop");
    must(net_loop_create(&self->client.loop), "loop");
    must(net_server_create(self->server.loop, &serving, &self->listener), "server");
    must(net_server_listen(self->listener, "127.0.0.1:0", NULL, 0, &address), "listen");
    char text[NET_ADDRESS_TEXT_MAX];
    snprintf(self->url, sizeof self->url, "http://%s/call",
             net_address_text(&address, text, sizeof text));
    must(net_url_parse(self->url, strlen(self->url), &self->parsed, NULL), "url");
    must(net_client_create(self->client.loop, &calling, &self->raw), "client");
    options->loop = self->client.loop;
    must(etx_http_create(options, &self->http, why, sizeof why), "http");
    engine.flags = ETX_ALLOW_VOLATILE;
    engine.durability = ETX_VOLATILE;
    engine.shards = 1;
    engine.history_max = 10000;
    must(etx_engine_create(&engine, &self->engine), "engine");
    must(etx_engine_home(self->engine, "memory:"), "home");
    must(etx_http_register(self->http, self->engine), "register");
    must(etx_engine_start(self->engine), "start");
    const etx_http_branch said = {.size = sizeof said,
                                  .forward_url = self->url,
                                  .commit_url = self->url,
                                  .undo_url = self->url,
                                  .payload = {body, sizeof body - 1}};
    must(etx_http_branch_write(&said, &self->envelope, &self->envelope_len, why, sizeof why), why);
    sem_init(&self->done, 0, 0);
    must(pthread_create(&self->server.thread, NULL, run, &self->server), "thread");
    must(pthread_create(&self->client.thread, NULL, run, &self->client), "thread");
    pthread_setname_np(self->server.thread, "serves");
    pthread_setname_np(self->client.thread, "calls");
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *value, unsigned count) {
    qsort(value, count, sizeof *value, by_value);
    return value[count / 2];
}

int main(int argc, char **argv) {
    static const char *const allow[] = {"http://127.0.0.1:*"};
    etx_http_options options = {.size = sizeof options, .allow = allow, .allow_count = 1};
    etx_http_options sign = {.size = sizeof sign, .allow = allow, .allow_count = 1};
    bench self = {.width = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 64};
    long calls = argc > 2 ? strtol(argv[2], NULL, 10) : 60000;
    unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 5;
    double raw[ROUNDS_MAX];
    double plain[ROUNDS_MAX];
    double with[ROUNDS_MAX];
    double engine[ROUNDS_MAX];
    double ignored;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    sign.sign_key_id = "bench";
    sign.sign_key = "0123456789abcdef";
    sign.sign_key_len = 16;
    set_up(&self, &options);
    (void)run_raw(&self, calls / 4);
    (void)run_calls(&self, calls / 4, &ignored);
    for (unsigned i = 0; i < rounds; i++) {
        raw[i] = run_raw(&self, calls);
        plain[i] = run_calls(&self, calls, &engine[i]);
        must(etx_http_reload(self.http, &sign, NULL, 0), "reload");
        with[i] = run_calls(&self, calls, &ignored);
        must(etx_http_reload(self.http, &options, NULL, 0), "reload");
    }
    double one = median(raw, rounds);
    double two = median(plain, rounds);
    double three = median(with, rounds);
    printf("c=%u, median of %u rounds, us of processor time per call\n", self.width, rounds);
    printf("raw exchange of net/'s client        %6.2f\n", one);
    printf("call of a participant, loop's thread %6.2f  x %.2f\n", two, two / one);
    printf("  signed                             %6.2f  x %.2f\n", three, three / one);
    printf("  engine's threads beside it         %6.2f\n", median(engine, rounds));
    etx_engine_close(self.engine, ETX_CLOSE_FINISH, 5000);
    net_loop_stop(self.client.loop);
    net_loop_stop(self.server.loop);
    pthread_join(self.client.thread, NULL);
    pthread_join(self.server.thread, NULL);
    etx_http_free(self.http);
    etx_engine_free(self.engine);
    net_client_free(self.raw);
    net_server_free(self.listener);
    net_loop_free(self.client.loop);
    net_loop_free(self.server.loop);
    free(self.envelope);
    return 0;
}
