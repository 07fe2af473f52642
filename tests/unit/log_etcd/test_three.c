/* Three members: what they promise, and what is there when some hang or are lost. Runs beside
 * scripts/with-etcd --three. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static void test_replicated(void **state) {
    fixture *f = *state;
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(info.grade, ETX_REPLICATED);
    assert_null(info.remark);
}

static int leader(fixture *f) {
    return (int)strtol(
        fixture_do(f,
                   "unset ETCDCTL_ENDPOINTS; for i in 0 1 2; do kill -0 $(cat "
                   "$ETX_ETCD_DIR/$i/pid) 2>&- &&"
                   " e=$(echo $ETX_ETCD | cut -d, -f$((i+1))) && etcdctl --endpoints=$e"
                   " endpoint status | grep -q ', true, false' && echo $i; done; true"),
        NULL, 10);
}

/* Whichever member hangs, the others are found, and writes go on. */
static void test_each_hangs(void **state) {
    fixture *f = *state;
    log_writer writer;
    writer_begin(&writer, &f->subject);
    writer_await(&writer, 20);
    for (int member = 0; member < 3; member++) {
        fixture_stop(f, member);
        writer_await(&writer, 20);
        fixture_go_on(member);
        writer_await(&writer, 20);
    }
    writer_end(&writer);
}

/* The last test: the leader is lost, and then the majority. */
static void test_lost(void **state) {
    fixture *f = *state;
    log_writer writer;
    log_chain chain;
    etx_put put;
    writer_begin(&writer, &f->subject);
    writer_await(&writer, 20);
    int first = leader(f);
    assert_int_equal(kill(fixture_pid(first), SIGKILL), 0);
    writer_await(&writer, 50);
    writer_end(&writer);
    chain = writer.chain;
    int second = (first + 1) % 3;
    assert_int_equal(kill(fixture_pid(second), SIGKILL), 0);
    int unknown = 0;
    for (int i = 0; i < 5; i++) {
        etx_put_result result = chain_put_next(&chain, &put);
        assert_true(result == ETX_PUT_UNKNOWN || result == ETX_PUT_NOT_WRITTEN);
        assert_int_equal(put.error, ETX_EUNAVAILABLE);
        unknown |= result == ETX_PUT_UNKNOWN;
    }
    assert_int_equal(unknown, 1); /* the one that is left takes it, and gets no majority */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_replicated),
        CASE(test_each_hangs),
        CASE(test_lost),
    };
    return cmocka_run_group_tests_name("log_etcd_three", tests, NULL, NULL);
}
