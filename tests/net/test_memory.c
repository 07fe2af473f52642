/* After the first exchanges, neither side asks for memory: not for one request more. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Counted here: the program is linked with --wrap. */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);

enum { AT_ONCE = 8, WARM = 500, MEASURED = 2000 };

typedef struct counter {
    net_loop *loop;
    net_server *server;
    net_client *client;
    net_url url;
    _Atomic uint64_t blocks;
    uint64_t blocks_when_warm;
    int done;
} counter;

static counter all;

void *__wrap_malloc(size_t size) {
    atomic_fetch_add(&all.blocks, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    atomic_fetch_add(&all.blocks, 1);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size) {
    atomic_fetch_add(&all.blocks, 1);
    return __real_realloc(block, size);
}

static void echo(net_request *request, void *user) {
    net_text body = net_request_body(request);
    const net_answer answer = {
        .size = sizeof answer, .status = 200, .body = body.bytes, .body_len = body.len};
    (void)user;
    assert_int_equal(net_request_answer(request, &answer), 0);
}

static void ask(void);

static void on_done(uint64_t id, const net_result *result, void *user) {
    (void)id;
    (void)user;
    if (all.done == WARM + MEASURED) {
        return; /* the rest, ended by net_client_free */
    }
    assert_int_equal(result->error, 0);
    all.done++;
    if (all.done == WARM) {
        all.blocks_when_warm = atomic_load(&all.blocks);
    }
    if (all.done == WARM + MEASURED) {
        net_loop_stop(all.loop);
    }
    if (all.done < WARM + MEASURED) {
        ask();
    }
}

static void ask(void) {
    const net_fetch fetch = {.size = sizeof fetch,
                             .url = &all.url,
                             .method = "POST",
                             .body = "{\"a\":1}",
                             .body_len = 7,
                             .done = on_done};
    assert_int_equal(net_client_fetch(all.client, &fetch, NULL), 0);
}

static void test_no_allocation(void **state) {
    const net_server_options served = {.size = sizeof served, .handler = echo};
    const net_client_options asked = {.size = sizeof asked, .target_connections_max = AT_ONCE};
    net_address address;
    char host[NET_ADDRESS_TEXT_MAX];
    char text[160];
    (void)state;
    assert_int_equal(net_loop_create(&all.loop), 0);
    assert_int_equal(net_server_create(all.loop, &served, &all.server), 0);
    assert_int_equal(net_server_listen(all.server, "127.0.0.1:0", NULL, 0, &address), 0);
    assert_int_equal(net_client_create(all.loop, &asked, &all.client), 0);
    snprintf(text, sizeof text, "http://%s/x", net_address_text(&address, host, sizeof host));
    assert_int_equal(net_url_parse(text, strlen(text), &all.url, NULL), 0);
    for (int i = 0; i < AT_ONCE; i++) {
        ask();
    }
    assert_int_equal(net_loop_run(all.loop), 0);
    assert_int_equal(all.done, WARM + MEASURED);
    assert_int_equal(atomic_load(&all.blocks) - all.blocks_when_warm, 0);
    assert_true(all.blocks_when_warm > 0);
    net_client_free(all.client);
    net_server_free(all.server);
    net_loop_free(all.loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
