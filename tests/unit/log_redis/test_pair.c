/* A primary with a replica: what that promises, which of the two is used, and what a failover
 * loses. Runs beside scripts/with-redis --pair. */
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static redisContext *replica_connect(void) {
    const char *at = getenv("REDIS_REPLICA");
    assert_non_null(at);
    redisContext *replica = redisConnect("127.0.0.1", (int)strtol(strchr(at, ':') + 1, NULL, 10));
    assert_true(replica && !replica->err);
    return replica;
}

static int open_hosts(fixture *f, const char *hosts, log_subject *ret_subject) {
    *ret_subject = f->subject;
    ret_subject->log = NULL;
    snprintf(ret_subject->url, sizeof ret_subject->url,
             "redis://%.200s/0?timeout_ms=1000&prefix=%s", hosts, f->prefix);
    return subject_open(ret_subject, 0);
}

/* Puts until the replica has them all. */
static void put_and_sync(fixture *f, log_chain *chain, int count) {
    for (int i = 0; i < count; i++)
        chain_put_surely(chain);
    redisContext *replica = replica_connect();
    for (int i = 0; i < 6000; i++) {
        redisReply *reply = redisCommand(replica, "HGET {%s}:0 newest", f->prefix);
        uint64_t newest = reply && reply->str ? strtoull(reply->str, NULL, 10) : 0;
        freeReplyObject(reply);
        if (newest + 1 == chain->next)
            break;
        usleep(10000);
    }
    redisFree(replica);
}

static void test_replicas_promise_nothing(void **state) {
    fixture *f = *state;
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(info.grade, ETX_LOCAL);
    assert_non_null(strstr(info.remark, "1 replicas are asynchronous"));
}

static void test_replica_is_passed_over(void **state) {
    fixture *f = *state;
    log_subject other;
    char hosts[200];
    assert_int_equal(open_hosts(f, getenv("REDIS_REPLICA"), &other), ETX_EUNAVAILABLE);
    assert_non_null(strstr(other.message, "name the primary"));
    snprintf(hosts, sizeof hosts, "%s,%s", getenv("REDIS_REPLICA"), getenv("REDIS_PRIMARY"));
    assert_int_equal(open_hosts(f, hosts, &other), 0);
    log_chain chain = chain_make(&other, 7);
    put_and_sync(f, &chain, 10);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 10);
    other.ops->close(other.log, 1);
}

/* The last test: the primary is gone then. What the replica had not received is missed at once. */
static void test_failover(void **state) {
    fixture *f = *state;
    log_subject other;
    char hosts[200];
    etx_put put;
    snprintf(hosts, sizeof hosts, "%s,%s", getenv("REDIS_PRIMARY"), getenv("REDIS_REPLICA"));
    assert_int_equal(open_hosts(f, hosts, &other), 0);
    log_chain chain = chain_make(&other, 7);
    put_and_sync(f, &chain, 20);
    redisContext *replica = replica_connect();
    redisReply *reply = redisCommand(replica, "REPLICAOF NO ONE"); /* and so is cut off */
    freeReplyObject(reply);
    chain_put_surely(&chain);
    assert_int_equal(kill(fixture_server(f), SIGKILL), 0);
    etx_put_result result = ETX_PUT_NOT_WRITTEN;
    for (int i = 0; result != ETX_PUT_PREDECESSOR && i < 6000; i++)
        result = chain_put_next(&chain, &put);
    assert_int_equal(result, ETX_PUT_PREDECESSOR);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 20);
    redisFree(replica);
    other.ops->close(other.log, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_replicas_promise_nothing),
        CASE(test_replica_is_passed_over),
        CASE(test_failover),
    };
    return cmocka_run_group_tests_name("log_redis_pair", tests, NULL, NULL);
}
