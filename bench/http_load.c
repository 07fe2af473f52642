/* Load on an HTTP server, and what stands behind it: `bench/http` runs this.
 *
 *   http-load serve [--ports N] [--delay-us N] [--echo]
 *   http-load run --plan NAME --port N [--participants N,N,N] [--users N] [--rate N]
 *                 [--warmup S] [--seconds S] [--gids FILE]
 *   http-load hold --port N --count N
 *
 * serve: the bare server as a participant that does nothing; prints its ports, ends when its input
 * does. run: users who do a plan (see http_plan.h), each again and again, or together at a rate a
 * second; prints one JSON object. hold: opens connections, asks once over each, then holds them
 * until its input ends. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_bare.h"
#include "http_drive.h"

typedef struct options {
    const char *plan, *gids;
    uint16_t port, participants[BENCH_BRANCHES];
    int users, count;
    double rate, warmup_s, seconds;
    bench_bare bare;
} options;

static int complain(const char *what) {
    fprintf(stderr, "http-load: %s\n", what);
    return 2;
}

/* One port for all branches, or one for each. */
static void read_participants(const char *text, uint16_t *ports) {
    char *end = NULL;
    for (int i = 0; i < BENCH_BRANCHES; i++) {
        ports[i] = *text != '\0' ? (uint16_t)strtoul(text, &end, 10) : ports[0];
        text = *text == '\0' || *end == '\0' ? "" : end + 1;
    }
}

static int read_options(int argc, char **argv, options *ret) {
    static const struct option names[] = {
        {"ports", 1, NULL, 'n'},   {"delay-us", 1, NULL, 'd'}, {"echo", 0, NULL, 'e'},
        {"plan", 1, NULL, 'p'},    {"port", 1, NULL, 'P'},     {"participants", 1, NULL, 'a'},
        {"users", 1, NULL, 'u'},   {"rate", 1, NULL, 'r'},     {"warmup", 1, NULL, 'w'},
        {"seconds", 1, NULL, 's'}, {"gids", 1, NULL, 'g'},     {"count", 1, NULL, 'c'},
        {NULL, 0, NULL, 0}};
    int name;
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        double number = optarg != NULL ? strtod(optarg, NULL) : 0;
        ret->bare.ports = name == 'n' ? (int)number : ret->bare.ports;
        ret->bare.delay_ns = name == 'd' ? (uint64_t)(number * 1000) : ret->bare.delay_ns;
        ret->bare.echo |= name == 'e';
        ret->plan = name == 'p' ? optarg : ret->plan;
        ret->port = name == 'P' ? (uint16_t)number : ret->port;
        ret->users = name == 'u' ? (int)number : ret->users;
        ret->rate = name == 'r' ? number : ret->rate;
        ret->warmup_s = name == 'w' ? number : ret->warmup_s;
        ret->seconds = name == 's' ? number : ret->seconds;
        ret->gids = name == 'g' ? optarg : ret->gids;
        ret->count = name == 'c' ? (int)number : ret->count;
        if (name == 'a') {
            read_participants(optarg, ret->participants);
        } else if (name == '?') {
            return -1;
        }
    }
    return ret->bare.ports < 1 || ret->bare.ports > BENCH_BARE_PORTS_MAX || ret->users < 1 ? -1 : 0;
}

static int serve(options *self) {
    self->bare.until_eof = 1;
    bench_bare_listen(&self->bare);
    printf("{\"ports\": [");
    for (int i = 0; i < self->bare.ports; i++) {
        net_address address = bench_bare_address(&self->bare, i);
        printf("%s%u", i > 0 ? ", " : "", ntohs(address.at.ip4.sin_port));
    }
    printf("]}\n");
    fflush(stdout);
    (void)bench_bare_run(&self->bare);
    return 0;
}

static void print_result(const bench_result *result) {
    printf(
        "{\"seconds\": %.3f, \"done\": %llu, \"per_s\": %.1f, \"refused\": %llu, "
        "\"refused_without_retry_after\": %llu, \"unfit\": %llu, \"broken\": %llu, "
        "\"unbegun\": %llu, \"reopened\": %llu, \"cpu_s\": %.3f",
        result->seconds, (unsigned long long)result->done, (double)result->done / result->seconds,
        (unsigned long long)result->refused, (unsigned long long)result->bare,
        (unsigned long long)result->unfit, (unsigned long long)result->broken,
        (unsigned long long)result->unbegun, (unsigned long long)result->reopened, result->cpu_s);
    printf(
        ", \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
        "\"max_us\": %.1f, \"refusal_p99_us\": %.1f}\n",
        bench_histogram_us(&result->latency, 0.5), bench_histogram_us(&result->latency, 0.9),
        bench_histogram_us(&result->latency, 0.99), bench_histogram_us(&result->latency, 0.999),
        (double)result->latency.max_ns / 1e3, bench_histogram_us(&result->refusal, 0.99));
    if (result->unfit > 0) {
        fprintf(stderr, "http-load: an answer that was not wanted: %s\n", result->unfit_text);
    }
}

static int run(const options *self) {
    bench_plan plan;
    bench_load load = {.plan = &plan,
                       .users = self->users,
                       .rate = self->rate,
                       .warmup_s = self->warmup_s,
                       .seconds = self->seconds,
                       .gids = self->gids != NULL ? fopen(self->gids, "w") : NULL};
    bench_result *result = malloc(sizeof *result);
    if (result == NULL || (self->gids != NULL && load.gids == NULL)) {
        bench_fail("http-load");
    }
    if (self->plan == NULL ||
        bench_plan_make(self->plan, self->port, self->participants, &plan) != 0) {
        free(result);
        return complain("--plan is tcc, saga, direct-tcc, direct-saga or echo");
    }
    bench_drive(&load, result);
    print_result(result);
    if (load.gids != NULL) {
        fclose(load.gids);
    }
    bench_plan_free(&plan);
    free(result);
    return 0;
}

static int hold(const options *self) {
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    char answer[4096];
    for (int i = 0; i < self->count; i++) {
        int fd = bench_connect(self->port);
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0 ||
            recv(fd, answer, sizeof answer, 0) <= 0) {
            bench_fail("hold");
        }
    }
    printf("{\"held\": %d}\n", self->count);
    fflush(stdout);
    return read(STDIN_FILENO, answer, 1) > 0;
}

/* A process may have more descriptors than it begins with. */
static void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv) {
    options self = {.users = 1, .seconds = 5, .bare.ports = 1};
    const char *what = argc > 1 ? argv[1] : "";
    if (argc < 2 || read_options(argc - 1, argv + 1, &self) != 0) {
        return complain(
            "usage: http-load serve|run|hold OPTIONS; the head of http_load.c has them");
    }
    raise_limit();
    if (strcmp(what, "serve") == 0) {
        return serve(&self);
    }
    return strcmp(what, "run") == 0    ? run(&self)
           : strcmp(what, "hold") == 0 ? hold(&self)
                                       : complain("it does serve, run or hold");
}
