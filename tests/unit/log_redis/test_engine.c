/* An engine on a Redis log, which it finds as a module beside its library. Runs beside
 * scripts/with-redis --durable. */
#include "../../guest/store_story.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the administrator is answered, as a text for the caller to free. */
static char *ask(const char *format, const char *argument) {
    redisContext *admin = redisConnectUnix(getenv("REDIS_SOCKET"));
    redisReply *reply = admin && !admin->err ? redisCommand(admin, format, argument) : NULL;
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply ? reply->str : "no server");
    char *text = reply->str ? strdup(reply->str) : NULL;
    freeReplyObject(reply);
    redisFree(admin);
    return text;
}

static void say(const char *format, const char *argument) {
    free(ask(format, argument));
}

static const char *url_of(char *to, size_t size, const char *options) {
    snprintf(to, size, "redis:///?socket=%s&%s", getenv("REDIS_SOCKET"), options);
    return to;
}

static void test_found_again(void **state) {
    char url[300];
    (void)state;
    story_found_again(url_of(url, sizeof url, "prefix=found_again&partitions=4"));
}

static void test_nodes_share(void **state) {
    char url[300];
    (void)state;
    story_nodes_share(url_of(url, sizeof url, "prefix=shared&partitions=6"));
}

static void signal_server(int number) {
    static pid_t server;
    if (number == SIGSTOP) {
        char *info = ask("INFO server", NULL);
        const char *at = strstr(info, "process_id:");
        assert_non_null(at);
        server = (pid_t)strtol(at + strlen("process_id:"), NULL, 10);
        free(info);
    }
    assert_true(server > 1);
    assert_int_equal(kill(server, number), 0);
}

static void hang(void) {
    signal_server(SIGSTOP);
}

static void answer(void) {
    signal_server(SIGCONT);
}

static void test_store_hangs(void **state) {
    char url[300];
    (void)state;
    story_go_and_come_back(url_of(url, sizeof url, "timeout_ms=1000&partitions=4&prefix=hangs"),
                           hang, answer);
}

static void refuse_writes(void) {
    say("CONFIG SET min-replicas-to-write %s", "1");
}

static void take_writes(void) {
    say("CONFIG SET min-replicas-to-write %s", "0");
}

static void test_store_refuses(void **state) {
    char url[300];
    (void)state;
    story_go_and_come_back(url_of(url, sizeof url, "timeout_ms=1000&partitions=4&prefix=refuses"),
                           refuse_writes, take_writes);
}

/* As in a dump from when slot 2 was the newest. */
static void lose(void) {
    static const char script[] =
        "local key, two = '{restored}:0', '0000000000000000002'\n"
        "local head = string.sub(redis.call('HGET', key, two), 13, 16)\n"
        "head = string.format('%02x%02x%02x%02x', string.byte(string.reverse(head), 1, 4))\n"
        "for _, field in ipairs(redis.call('HKEYS', key)) do\n"
        "  if tonumber(field) and field > two then redis.call('HDEL', key, field) end\n"
        "end\n"
        "redis.call('HSET', key, 'newest', two, 'head', head)";
    say("EVAL %s 0", script);
}

static void test_store_restored(void **state) {
    char url[300];
    (void)state;
    story_restored(url_of(url, sizeof url, "prefix=restored&partitions=1"), lose);
}

/* Both schemes are of one module, which knows what is wrong here. */
static void test_tls_is_of_this_module(void **state) {
    etx_options options = host_options();
    etx_engine *engine = NULL;
    char message[512];
    (void)state;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    assert_int_equal(etx_engine_home(engine, "rediss:///?socket=/nowhere"), 0);
    assert_int_equal(etx_engine_start(engine), ETX_EINVALID);
    etx_engine_message(engine, message, sizeof message);
    assert_non_null(strstr(message, "no TLS on a Unix socket"));
    etx_engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_is_of_this_module), cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_nodes_share),           cmocka_unit_test(test_store_restored),
        cmocka_unit_test(test_store_hangs),           cmocka_unit_test(test_store_refuses),
    };
    return cmocka_run_group_tests_name("log_redis_engine", tests, NULL, NULL);
}
