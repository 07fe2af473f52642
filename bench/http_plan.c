/* The texts of the requests of each plan. */
#include "http_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096 };

static const char payload[] =
    "{\"order\": 12345, \"sku\": \"a-part\", \"count\": 2, \"note\": \"as usual\"}";
/* 109 bytes, as in the comparison of servers. */
static const char echoed[] =
    "{\"text\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxx\"}";

static void add_request(bench_plan *plan,
                        int place,
                        uint16_t port,
                        const char *path,
                        const char *body) {
    char text[TEXT_MAX];
    int len = snprintf(text, sizeof text,
                       "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       path, port, strlen(body), body);
    plan->request[place] =
        (bench_request){.port = port, .bytes = strndup(text, (size_t)len), .len = (size_t)len};
}

/* ---- a transaction, as the server is told it */

static int write_operation(char *to, size_t size, const char *name, uint16_t port, int branch) {
    return snprintf(to, size, "\"%s\":\"http://127.0.0.1:%u/branch-%d/%s\",", name, port, branch,
                    name);
}

static void submit(bench_plan *plan,
                   const char *kind,
                   const char *const *operations,
                   uint16_t port,
                   const uint16_t *participants) {
    char text[TEXT_MAX];
    size_t at = (size_t)snprintf(text, sizeof text, "{\"branches\":[");
    for (int i = 0; i < BENCH_BRANCHES; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s{\"kind\":\"%s\",", i ? "," : "",
                               kind);
        for (int j = 0; operations[j] != NULL; j++) {
            at += (size_t)write_operation(text + at, sizeof text - at, operations[j],
                                          participants[i], i);
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "\"payload\":%s}", payload);
    }
    snprintf(text + at, sizeof text - at, "],\"wait\":\"ended\"}");
    plan->stages = plan->width = plan->judged = 1;
    add_request(plan, 0, port, "/v1/transactions", text);
}

/* ---- the same without a coordinator */

static void call_all(bench_plan *plan, const uint16_t *participants) {
    static const char *const words[] = {"try", "confirm"};
    char path[64];
    plan->stages = 2;
    plan->width = BENCH_BRANCHES;
    for (int i = 0; i < plan->stages * plan->width; i++) {
        snprintf(path, sizeof path, "/branch-%d/%s", i % BENCH_BRANCHES, words[i / BENCH_BRANCHES]);
        add_request(plan, i, participants[i % BENCH_BRANCHES], path, payload);
    }
}

/* One after another over one connection: so all are at one port. */
static void call_each(bench_plan *plan, const uint16_t *participants) {
    char path[64];
    plan->stages = BENCH_BRANCHES;
    plan->width = 1;
    for (int i = 0; i < BENCH_BRANCHES; i++) {
        snprintf(path, sizeof path, "/branch-%d/action", i);
        add_request(plan, i, participants[0], path, payload);
    }
}

int bench_plan_make(const char *name,
                    uint16_t port,
                    const uint16_t *participants,
                    bench_plan *ret_plan) {
    static const char *const tcc[] = {"try", "confirm", "cancel", NULL};
    static const char *const saga[] = {"action", "compensate", NULL};
    bench_plan plan = {.stages = 1, .width = 1};
    if (strcmp(name, "tcc") == 0) {
        submit(&plan, "tcc", tcc, port, participants);
    } else if (strcmp(name, "saga") == 0) {
        submit(&plan, "saga", saga, port, participants);
    } else if (strcmp(name, "direct-tcc") == 0) {
        call_all(&plan, participants);
    } else if (strcmp(name, "direct-saga") == 0) {
        call_each(&plan, participants);
    } else if (strcmp(name, "echo") == 0) {
        add_request(&plan, 0, port, "/echo", echoed);
    } else {
        return -1;
    }
    *ret_plan = plan;
    return 0;
}

void bench_plan_free(bench_plan *plan) {
    for (int i = 0; i < plan->stages * plan->width; i++) {
        free(plan->request[i].bytes);
    }
}
