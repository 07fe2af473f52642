/* An etcd whose database has a small quota: space that is used again, and what is said when it is
 * full. Runs beside scripts/with-etcd --small. */
#include "../../conformance/log_copier.h"
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

enum { LEN = 200000 };

static etx_put_result put_large(log_chain *chain, etx_put *ret_put) {
    uint8_t *bytes = malloc(LEN);
    assert_non_null(bytes);
    batch_fill(chain->next, bytes, LEN);
    *ret_put = put_make(chain, chain->next, bytes, LEN);
    etx_put_result result = chain->subject->ops->put(chain->subject->log, ret_put);
    if (result == ETX_PUT_WRITTEN) {
        chain->next++;
        chain->checksum = ret_put->checksum;
    }
    free(bytes);
    ret_put->batch = (etx_bytes){0};
    return result;
}

/* The keeper's rounds. */
static void attend(log_subject *subject) {
    assert_int_equal(subject->ops->attend(subject->log, "", 60000, NULL, 0), 0);
}

/* More than twice what the database may have is put, and it never says that it is full. */
static void test_space_is_used_again(void **state) {
    fixture *f = *state;
    log_subject other;
    etx_put put;
    assert_int_equal(fixture_open(f, &other, "&compact=1", 0), 0);
    log_chain chain = chain_make(&other, 7);
    for (int round = 0; round < 14; round++) {
        for (int i = 0; i < 20; i++)
            assert_int_equal(put_large(&chain, &put), ETX_PUT_WRITTEN);
        assert_int_equal(other.ops->trim(other.log, 0, chain.next - 2), 0);
        for (int i = 0; i < 2; i++) { /* each after more than the second that compact= says */
            usleep(1050000);
            attend(&other);
        }
    }
    assert_int_equal(chain_check(&other, 0, 0, NULL), 2);
    other.ops->close(other.log, 1);
}

/* What was deleted and overwritten is given back, and what was refused is taken again. */
static void make_room(fixture *f) {
    fixture_do(f,
               "etcdctl compact --physical $(etcdctl endpoint status -w json | grep -o"
               " '\"revision\":[0-9]*' | cut -d: -f2) >&2; etcdctl defrag >&2;"
               " etcdctl alarm disarm >&2");
}

/* A copy ends before it takes etcd to its quota, which would be the end for all others. */
static void test_copy_leaves_room(void **state) {
    fixture *f = *state;
    char behind[100];
    etx_slot slot = {.partition = 1, .batch = {calloc(4, LEN), 4 * LEN}};
    etx_put put;
    int rc = 0;
    assert_non_null(slot.batch.data);
    snprintf(behind, sizeof behind, "/%s_c", f->prefix);
    log_copier copier = copier_of(&f->subject, fixture_url(f, "", behind));
    assert_int_equal(copier_begin(&copier), 0);
    for (; rc == 0 && slot.slot < 50; slot.slot++) {
        rc = copier_slot(&copier, &slot);
        usleep(120000); /* etcd's size is that of ten times a second */
    }
    assert_int_equal(rc, ETX_EFULL);
    assert_non_null(strstr(copier.dest.message, "raise --quota-backend-bytes"));
    assert_int_equal(copier_end(&copier, 0), 0);
    assert_int_equal(copier_begin(&copier), ETX_EFULL);
    log_chain chain = chain_make(&f->subject, 7);
    assert_int_equal(put_large(&chain, &put), ETX_PUT_WRITTEN);
    fixture_do(f, "etcdctl del --prefix %s_c/ >&2", f->prefix);
    make_room(f);
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_end(&copier, 0), 0);
    free((void *)slot.batch.data);
}

/* Before etcd is at its quota it is told, while there is room for ends. */
static void test_full(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_log_info info = {.size = sizeof info};
    etx_log_space space = {.size = sizeof space};
    etx_put put;
    etx_put_result result;
    for (int i = 0; i < 200 && !space.full; i++) {
        assert_int_equal(put_large(&chain, &put), ETX_PUT_WRITTEN);
        assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
        assert_int_equal(f->subject.ops->space(f->subject.log, 0, &space), 0);
    }
    assert_int_equal(space.full, 1);
    assert_non_null(strstr(info.remark, "takes no more writes at 24 MiB"));
    /* the one that takes it there may be written, though etcd says that it is full */
    while ((result = put_large(&chain, &put)) == ETX_PUT_WRITTEN)
        assert_true(chain.next < 400);
    assert_int_equal(result, ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EFULL);
    assert_non_null(strstr(put.message, "etcdctl defrag"));
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_non_null(strstr(info.remark, "NOSPACE"));
    uint64_t count = chain_check(&f->subject, 0, 0, NULL);
    assert_int_equal(count, chain.next);
    /* what the message says, and it goes on */
    fixture_do(f, "etcdctl del %s/p/000/s/0000000000000000 %s/p/000/s/0000000000000040 >&2",
               f->prefix, f->prefix);
    make_room(f);
    assert_int_equal(put_large(&chain, &put), ETX_PUT_WRITTEN);
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(f->subject.ops->space(f->subject.log, 0, &space), 0);
    assert_int_equal(space.full, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_copy_leaves_room),
        CASE(test_space_is_used_again),
        CASE(test_full),
    };
    return cmocka_run_group_tests_name("log_etcd_small", tests, NULL, NULL);
}
