/* Fault loops on logs in stores: each connect, send, receive and wait, and each allocation of the
 * adapter's, fails in turn, once, for good, or again and again, through a life of a log: made, put,
 * read, trimmed, leased, closed, opened again. Whatever fails: an error with a message, or unknown;
 * no leak; and who opens it on a network that is well finds what was acknowledged and nothing that
 * was not written.
 *
 * store_faults SCHEME [STEP [FROM [KIND]]]: every STEP-th place, from FROM on, of each kind or of
 * one of wire_kind_name. The store runs already, as for the conformance suite. */
#include "../conformance/log_adapters.h"
#include "store_life.h"
#include "wire.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A life waits for nothing but a store that answers at once. */
enum { SLOW_MS = 20000, HANG_S = 60, AGAIN_MOST = 24 };
/* Memory is asked for in few places, each unlike the others. */
enum { MEMORY_STEP = 3 };

typedef struct loops {
    const log_adapter *adapter;
    uint64_t step;
    uint64_t from;
    const char *only;           /* a kind, or NULL */
    uint64_t calls[WIRE_KINDS]; /* in a life without a fault */
    uint64_t struck;            /* in the life that was last */
    uint64_t trials;
    uint64_t violations;
} loops;

typedef struct variant {
    wire_kind kind;
    wire_how how;
    int error;
    unsigned whens; /* a bit for each wire_when */
    int beyond_curl;
} variant;

enum { ONCE = 1 << WIRE_ONCE, FOR_GOOD = 1 << WIRE_FOR_GOOD, AGAIN = 1 << WIRE_AGAIN };

/* Who is interrupted for ever tries for ever; who sends byte by byte for good comes to its end.
 * libcurl 7.88 loses its place in a request when less of an HTTP/2 head is taken than it has, and
 * sends rubbish that etcd refuses. */
static const variant variants[] = {
    {WIRE_SOCKET, WIRE_ERROR, EMFILE, ONCE | FOR_GOOD},
    {WIRE_SOCKET, WIRE_ERROR, ENOMEM, ONCE},
    {WIRE_CONNECT, WIRE_ERROR, ECONNREFUSED, ONCE | FOR_GOOD},
    {WIRE_CONNECT, WIRE_ERROR, EHOSTUNREACH, ONCE},
    {WIRE_CONNECT, WIRE_LATER, ETIMEDOUT, ONCE | FOR_GOOD},
    {WIRE_SEND, WIRE_ERROR, EPIPE, ONCE | FOR_GOOD | AGAIN},
    {WIRE_SEND, WIRE_ERROR, ETIMEDOUT, ONCE},
    {WIRE_SEND, WIRE_ERROR, EINTR, ONCE, 1},
    {WIRE_SEND, WIRE_HALF, ECONNRESET, ONCE},
    {WIRE_SEND, WIRE_NONE, ECONNRESET, ONCE | AGAIN},
    {WIRE_SEND, WIRE_NONE, 0, ONCE},
    {WIRE_SEND, WIRE_ALL, ECONNRESET, ONCE | FOR_GOOD},
    {WIRE_SEND, WIRE_ALL, 0, ONCE | AGAIN},
    {WIRE_SEND, WIRE_SHORT, 0, ONCE | FOR_GOOD, 1},
    {WIRE_RECEIVE, WIRE_ERROR, ECONNRESET, ONCE | FOR_GOOD},
    {WIRE_RECEIVE, WIRE_ERROR, ETIMEDOUT, ONCE},
    {WIRE_RECEIVE, WIRE_ERROR, ENOMEM, ONCE},
    {WIRE_RECEIVE, WIRE_ERROR, EINTR, ONCE},
    {WIRE_RECEIVE, WIRE_END, 0, ONCE | FOR_GOOD | AGAIN},
    {WIRE_RECEIVE, WIRE_ALL, 0, ONCE | FOR_GOOD | AGAIN},
    {WIRE_RECEIVE, WIRE_SHORT, 0, ONCE | FOR_GOOD},
    {WIRE_POLL, WIRE_ERROR, ENOMEM, ONCE | FOR_GOOD},
    {WIRE_POLL, WIRE_ERROR, EINTR, ONCE},
    {WIRE_POLL, WIRE_SILENT, 0, ONCE},
    {WIRE_MEMORY, WIRE_ERROR, ENOMEM, ONCE | FOR_GOOD},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

/* Where the build has it: are there blocks that nobody has any more? */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t descriptors(void) {
    uint64_t count = 0;
    DIR *all = opendir("/proc/self/fd");
    while (all && readdir(all))
        count++;
    if (all)
        closedir(all);
    return count;
}

static void live(store_life *life) {
    store_chain *one = &life->chains[0];
    store_chain *other = &life->chains[1];
    store_open(life);
    store_attend(life, 60000);
    store_renew(life);
    store_survey(life);
    store_put(life, one, 1, 60); /* the claim */
    store_put(life, one, 12, 300);
    store_put(life, other, 2, 100);
    store_get(life, one);
    store_trim(life, one, 2);
    store_ask(life);
    store_put(life, one, 1, STORE_BATCH_MAX);
    store_get(life, one);
    store_renew(life);
    store_release(life);
    store_attend(life, 0);
    store_close(life);
    store_open(life);
    store_survey(life);
    store_put(life, one, 2, 200);
    store_put(life, other, 1, 10);
    store_get(life, other);
    store_close(life);
}

/* Whoever comes next finds it so, and goes on. */
static void look(store_life *life) {
    life->failed = 0;
    store_open(life);
    for (int i = 0; i < STORE_CHAINS && !life->wrong[0]; i++) {
        store_chain *chain = &life->chains[i];
        uint64_t next = chain->next;
        store_get(life, chain);
        store_put(life, chain, 2, 30);
        store_get(life, chain);
        if (!life->log || chain->next != next + 2)
            store_wrong(life, "after the faults", "it cannot be used");
    }
    store_close(life);
    if (life->failed)
        store_wrong(life, "a call failed after the faults", life->said);
}

/* What it has left behind. */
static void leaks_judge(store_life *life, uint64_t open_before) {
    if (life->memory.outstanding || life->memory.wrong)
        store_wrong(life, "memory", "a block was not given back, or with another size");
    if (descriptors() != open_before)
        store_wrong(life, "descriptors", "one is left open");
}

static const char *when_name(wire_when when) {
    return when == WIRE_ONCE ? "once" : when == WIRE_FOR_GOOD ? "for good" : "again and again";
}

static const char *what_fails(const wire_fault *fault) {
    static const char *const hows[] = {
        "",        ", all came over", ", half came over", ", nothing came over",
        "the end", ", later",         "silent",           "byte by byte"};
    static char text[160];
    snprintf(text, sizeof text, "%s: %s%s, %s", wire_kind_name(fault->kind),
             fault->error ? strerror(fault->error) : "", hows[fault->how], when_name(fault->when));
    return text;
}

static char hanging[300]; /* what is said then */

static void hang(int signal) {
    (void)signal;
    (void)!write(STDOUT_FILENO, hanging, strlen(hanging));
    _exit(1);
}

static void hang_await(const wire_fault *fault) {
    snprintf(hanging, sizeof hanging, "VIOLATION: it hangs\n  %s number %llu\n", what_fails(fault),
             (unsigned long long)fault->at);
    signal(SIGALRM, hang);
    alarm(HANG_S);
}

static void trial(loops *all, const wire_fault *fault) {
    static store_life life; /* large */
    log_subject subject = {.log = NULL};
    if (all->adapter->name(&subject)) {
        printf("the store's environment is not there\n");
        exit(2);
    }
    store_life_begin(&life, all->adapter->ops(), subject.url);
    uint64_t before = descriptors();
    uint64_t began = now_ms();
    hang_await(fault);
    wire_set(fault);
    live(&life);
    all->struck = wire_struck();
    for (wire_kind kind = WIRE_SOCKET; kind < WIRE_KINDS && !all->trials; kind++)
        all->calls[kind] = wire_count(kind);
    wire_set(NULL);
    if (life.failed && (!all->struck || fault->how == WIRE_SHORT))
        store_wrong(&life, "a call failed and nothing had", life.said);
    leaks_judge(&life, before);
    look(&life);
    if (now_ms() - began > SLOW_MS)
        store_wrong(&life, "time", "it took longer than 20 s");
    alarm(0);
    leaks_judge(&life, before);
    all->trials++;
    if (life.wrong[0]) {
        all->violations++;
        printf("VIOLATION: %s\n  %s number %llu\n", life.wrong, what_fails(fault),
               (unsigned long long)fault->at);
    }
    store_life_end(&life);
}

/* A failure may make a life longer. Where only some places are tried, those of a life without one
 * have to do. */
static int goes_on(const loops *all, const wire_fault *fault) {
    if (!all->struck || all->violations >= 10)
        return 0;
    if (fault->when == WIRE_AGAIN && fault->at > AGAIN_MOST)
        return 0;
    return all->step == 1 || fault->at <= all->calls[fault->kind];
}

/* Each place in turn, until the life is over before it. */
static void loop(loops *all, size_t number, wire_when when) {
    const variant *of = &variants[number];
    wire_fault fault = {.kind = of->kind, .how = of->how, .error = of->error, .when = when};
    uint64_t places = when == WIRE_AGAIN ? AGAIN_MOST : all->calls[of->kind];
    uint64_t step = of->kind == WIRE_MEMORY && all->step > MEMORY_STEP ? MEMORY_STEP : all->step;
    uint64_t first = step < places ? step : places;
    uint64_t tried = 0;
    fault.at = 1 + (first ? (all->from + 7 * number + 3 * when) % first : 0);
    do {
        trial(all, &fault);
        tried++;
        fault.at += step;
    } while (goes_on(all, &fault));
    if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check()) {
        all->violations++;
        printf("VIOLATION: memory leaks\n  %s\n", what_fails(&fault));
    }
    printf("%s: %llu lives, to place %llu\n", what_fails(&fault), (unsigned long long)tried,
           (unsigned long long)(fault.at - step));
}

static int is_wanted(const loops *all, const variant *of) {
    int has_curl = strcmp(all->adapter->scheme, "etcd") == 0;
    return (!all->only || strcmp(all->only, wire_kind_name(of->kind)) == 0) &&
           !(of->beyond_curl && has_curl);
}

static void loops_run(loops *all) {
    for (size_t i = 0; i < VARIANTS; i++)
        for (wire_when when = WIRE_ONCE; when <= WIRE_AGAIN; when++)
            if (variants[i].whens & 1u << when && is_wanted(all, &variants[i]))
                loop(all, i, when);
}

int main(int argc, char **argv) {
    loops all = {.adapter = argc > 1 ? log_adapter_find(argv[1]) : NULL,
                 .step = argc > 2 ? strtoull(argv[2], NULL, 10) : 1,
                 .from = argc > 3 ? strtoull(argv[3], NULL, 10) : 0,
                 .only = argc > 4 ? argv[4] : NULL};
    if (!all.adapter || !all.adapter->ops()->renew || all.step == 0) {
        fprintf(stderr, "usage: store_faults SCHEME [STEP [FROM [KIND]]]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    trial(&all, &(wire_fault){.at = 0}); /* what libraries do once is done */
    loops_run(&all);
    printf("%llu lives, %llu violations\n", (unsigned long long)all.trials,
           (unsigned long long)all.violations);
    return all.violations || all.trials < 2;
}
