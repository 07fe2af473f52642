/* The contract of <etx/log.h>, judged: one suite for every log adapter. "test_log memory",
 * "test_log file"; the argument names the adapter. */
#include "log_adapters.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int setup(void **state) {
    const log_adapter *adapter = *state;
    log_subject *subject = calloc(1, sizeof *subject);
    if (!subject)
        return -1;
    subject->ops = adapter->ops();
    subject->persistent = adapter->persistent;
    *state = subject;
    int rc = adapter->name(subject);
    rc = rc ? rc : subject_open(subject, 0);
    if (rc)
        print_message("%s\n", subject->message);
    return rc;
}

static int teardown(void **state) {
    log_subject *subject = *state;
    char command[400];
    int rc = 0;
    if (subject->log)
        subject->ops->close(subject->log, 1);
    if (subject->dir[0]) {
        snprintf(command, sizeof command, "rm -rf '%s'", subject->dir);
        rc = system(command);
    }
    free(subject);
    return rc;
}

static void test_info(void **state) {
    log_subject *subject = *state;
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(subject->ops->info(subject->log, &info), 0);
    assert_int_equal(strlen(info.id), ETX_HOME_ID_LEN);
    assert_int_equal(info.id[0] == 'v', info.grade == ETX_VOLATILE && !subject->persistent);
    assert_int_equal(strspn(info.id + 1, "0123456789abcdefghjkmnpqrstvwxyz"), 6);
    assert_int_equal(info.partitions, SUBJECT_PARTITIONS);
    assert_true(info.batch_max >= 64 * 1024);
    assert_true(info.grade >= ETX_VOLATILE && info.grade <= ETX_REPLICATED);
    assert_int_equal(subject->ops->version, ETX_LOG_VERSION);
}

static void test_empty(void **state) {
    log_subject *subject = *state;
    uint64_t mark = 9;
    assert_int_equal(chain_check(subject, 0, 0, &mark), 0);
    assert_int_equal(mark, 0);
    assert_int_equal(chain_check(subject, 2, 1000, &mark), 0);
    assert_int_equal(subject->ops->trim(subject->log, 0, 10), 0);
    assert_int_equal(chain_check(subject, 0, 0, &mark), 0);
    assert_int_equal(mark, 0);
}

static void test_write_and_read(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 1);
    for (size_t len = 1; len < 20000; len = len * 2 + 1)
        puts_many(&chain, 2, len);
    assert_int_equal(chain_check(subject, 1, 0, NULL), chain.next);
    assert_int_equal(chain_check(subject, 1, 5, NULL), chain.next - 5);
    assert_int_equal(chain_check(subject, 1, chain.next - 1, NULL), 1);
    assert_int_equal(chain_check(subject, 1, chain.next, NULL), 0);
    assert_int_equal(chain_check(subject, 1, chain.next + 100, NULL), 0);
    assert_int_equal(chain_check(subject, 0, 0, NULL), 0);
}

static void test_occupied(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    puts_many(&chain, 5, 100);
    for (uint64_t slot = 0; slot < 5; slot++) {
        log_chain other = {.subject = subject, .nonce = 99};
        etx_put put = put_make(&other, slot, "mine", 4);
        etx_put first = put_make(&other, slot, "mine", 4);
        /* filled comes before the predecessor, which is wrong here */
        assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_OCCUPIED);
        assert_int_equal(put.found_nonce, 77);
        assert_int_equal(put.found_trimmed, 0);
        assert_int_not_equal(put.found_checksum, first.checksum);
    }
    assert_int_equal(chain_check(subject, 0, 0, NULL), 5);
}

static void test_same_put_again(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    puts_many(&chain, 1, 100);
    etx_put put = put_make(&chain, 1, "again", 5);
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_WRITTEN);
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_OCCUPIED);
    assert_int_equal(put.found_nonce, put.nonce);
    assert_int_equal(put.found_checksum, put.checksum);
    /* also where it is not the last any more */
    etx_put behind = put_make(&chain, 2, "behind", 6);
    behind.predecessor = put.checksum;
    behind.checksum = etx_slot_checksum(behind.partition, behind.slot, behind.nonce,
                                        behind.predecessor, behind.batch);
    assert_int_equal(subject->ops->put(subject->log, &behind), ETX_PUT_WRITTEN);
    put.found_checksum = 0;
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_OCCUPIED);
    assert_int_equal(put.found_nonce, put.nonce);
    assert_int_equal(put.found_checksum, put.checksum);
}

static void test_predecessor(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    etx_put gap = put_make(&chain, 1, "gap", 3);
    assert_int_equal(subject->ops->put(subject->log, &gap), ETX_PUT_PREDECESSOR);
    puts_many(&chain, 3, 100);
    log_chain wrong = chain;
    wrong.checksum ^= 1;
    etx_put put = put_make(&wrong, 3, "x", 1);
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_PREDECESSOR);
    put = put_make(&chain, 4, "x", 1);
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_PREDECESSOR);
    puts_many(&chain, 1, 10);
    assert_int_equal(chain_check(subject, 0, 0, NULL), 4);
}

static void test_not_written(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(subject->ops->info(subject->log, &info), 0);
    uint8_t *bytes = malloc(info.batch_max + 1);
    assert_non_null(bytes);
    batch_fill(0, bytes, info.batch_max + 1);
    etx_put put = put_make(&chain, 0, bytes, info.batch_max + 1);
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EINVALID);
    put = put_make(&chain, 0, bytes, 0);
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_NOT_WRITTEN);
    chain.partition = info.partitions;
    put = put_make(&chain, 0, bytes, 10);
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_NOT_WRITTEN);
    chain.partition = 0;
    put = put_make(&chain, 0, bytes, 10);
    put.checksum ^= 1;
    assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_NOT_WRITTEN);
    assert_true(put.message[0] != 0);
    assert_int_equal(chain_check(subject, 0, 0, NULL), 0);
    free(bytes);
}

static void test_batch_max(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(subject->ops->info(subject->log, &info), 0);
    puts_many(&chain, 1, 100);
    puts_many(&chain, 3, info.batch_max);
    puts_many(&chain, 2, 100);
    assert_int_equal(chain_check(subject, 0, 0, NULL), 6);
    if (subject->persistent) {
        subject_reopen(subject, 0);
        assert_int_equal(chain_check(subject, 0, 0, NULL), 6);
    }
}

static int stop_at_three(const etx_slot *slot, void *user) {
    ++*(int *)user;
    return slot->slot == 3 ? -1234 : 0;
}

static void test_get_stops(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    uint64_t mark;
    int count = 0;
    puts_many(&chain, 10, 100);
    assert_int_equal(subject->ops->get(subject->log, 0, 0, stop_at_three, &count, &mark, NULL, 0),
                     -1234);
    assert_int_equal(count, 4);
}

static void test_trim(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    uint64_t mark;
    puts_many(&chain, 400, 10000);
    assert_int_equal(subject->ops->trim(subject->log, 0, 300), 0);
    assert_int_equal(chain_check(subject, 0, 0, &mark), 100);
    assert_int_equal(mark, 300);
    assert_int_equal(subject->ops->trim(subject->log, 0, 200), 0); /* only rises */
    assert_int_equal(chain_check(subject, 0, 350, &mark), 50);
    assert_int_equal(mark, 300);
    for (uint64_t slot = 0; slot < 300; slot += 299) {
        etx_put put = put_make(&chain, slot, "late", 4);
        assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_OCCUPIED);
        assert_int_equal(put.found_trimmed, 1);
    }
    puts_many(&chain, 10, 10000);
    assert_int_equal(chain_check(subject, 0, 0, NULL), 110);
    assert_int_equal(subject->ops->trim(subject->log, 0, UINT64_MAX), 0);
    assert_int_equal(chain_check(subject, 0, 0, &mark), 1); /* never the newest */
    assert_int_equal(mark, 409);
    puts_many(&chain, 1, 10);
    assert_int_equal(chain_check(subject, 0, 0, NULL), 2);
}

/* What is held for so many bytes of batches: twice as much for what is kept beside them, and what
 * is waiting until it can go at once. */
static uint64_t space_allowed(uint64_t bytes, uint64_t units, const etx_log_space *space) {
    return 2 * bytes + units * space->trim_unit;
}

static void test_trim_gives_space(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 2);
    etx_log_space before = {.size = sizeof before};
    etx_log_space after = {.size = sizeof after};
    puts_many(&chain, 600, 10000);
    assert_int_equal(subject->ops->space(subject->log, 2, &before), 0);
    assert_true(before.bytes_used >= 600 * 10000);
    assert_true(before.bytes_total >= before.bytes_used);
    assert_int_equal(before.full, 0);
    assert_int_equal(subject->ops->trim(subject->log, 2, 599), 0);
    assert_int_equal(subject->ops->space(subject->log, 2, &after), 0);
    assert_true(after.bytes_used <= space_allowed(10000, 1, &after));
    assert_int_equal(chain_check(subject, 2, 0, NULL), 1);
}

static void test_many_rounds(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    for (int round = 0; round < 12; round++) {
        puts_many(&chain, 60, 30000);
        assert_int_equal(subject->ops->trim(subject->log, 0, chain.next - 20), 0);
        if (subject->persistent && round % 3 == 2)
            subject_reopen(subject, round % 2);
        assert_int_equal(chain_check(subject, 0, 0, NULL), 20);
    }
    etx_log_space space = {.size = sizeof space};
    assert_int_equal(subject->ops->space(subject->log, 0, &space), 0);
    assert_true(space.bytes_total <= space_allowed(20 * 30000, 8, &space));
}

static void test_persists(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 1);
    etx_log_info before = {.size = sizeof before};
    etx_log_info after = {.size = sizeof after};
    uint64_t mark;
    if (!subject->persistent) {
        print_message("skipped: %s does not persist\n", subject->ops->scheme);
        skip();
    }
    subject->ops->info(subject->log, &before);
    for (int clean = 0; clean < 2; clean++) {
        puts_many(&chain, 200, 9000);
        subject_reopen(subject, clean);
        assert_int_equal(chain_check(subject, 1, 0, NULL), chain.next);
        log_chain other = {.subject = subject, .partition = 1, .nonce = 5};
        etx_put put = put_make(&other, chain.next - 1, "x", 1);
        assert_int_equal(subject->ops->put(subject->log, &put), ETX_PUT_OCCUPIED);
        assert_int_equal(put.found_nonce, 77);
        assert_int_equal(put.found_checksum, chain.checksum);
    }
    assert_int_equal(subject->ops->trim(subject->log, 1, 333), 0);
    subject_reopen(subject, 0);
    assert_int_equal(chain_check(subject, 1, 0, &mark), chain.next - 333);
    assert_int_equal(mark, 333);
    subject->ops->info(subject->log, &after);
    assert_string_equal(before.id, after.id);
    assert_int_equal(before.partitions, after.partitions);
}

static void test_read_only(void **state) {
    log_subject *subject = *state;
    log_subject reader = *subject;
    log_chain chain = chain_of(subject, 0);
    if (!subject->persistent) {
        print_message("skipped: %s does not persist\n", subject->ops->scheme);
        skip();
    }
    puts_many(&chain, 10, 5000);
    assert_int_equal(subject_open(&reader, ETX_LOG_READ_ONLY), 0); /* beside the writer */
    assert_int_equal(chain_check(&reader, 0, 0, NULL), 10);
    puts_many(&chain, 300, 5000);
    assert_int_equal(chain_check(&reader, 0, 0, NULL), 310);
    etx_put put = put_make(&chain, chain.next, "x", 1);
    assert_int_equal(reader.ops->put(reader.log, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(reader.ops->trim(reader.log, 0, 5), ETX_EINVALID);
    reader.ops->close(reader.log, 1);
    puts_many(&chain, 1, 10);
}

static void test_no_create(void **state) {
    log_subject *subject = *state;
    log_subject absent = *subject;
    memcpy(absent.url, subject->absent, sizeof absent.url);
    assert_int_equal(subject_open(&absent, ETX_LOG_NO_CREATE), ETX_ENOTFOUND);
    assert_true(absent.message[0] != 0);
    assert_int_equal(subject_open(&absent, ETX_LOG_READ_ONLY), ETX_ENOTFOUND);
}

static void test_bad_options(void **state) {
    log_subject *subject = *state;
    log_subject bad = *subject;
    size_t len = strcspn(subject->url, "?");
    snprintf(bad.url, sizeof bad.url, "%.*s?colour=red", (int)len, subject->url);
    assert_int_equal(subject_open(&bad, 0), ETX_EINVALID);
    assert_non_null(strstr(bad.message, "colour"));
    snprintf(bad.url, sizeof bad.url, "%.*s?partitions=x", (int)len, subject->url);
    assert_int_equal(subject_open(&bad, 0), ETX_EINVALID);
    snprintf(bad.url, sizeof bad.url, "nonsense");
    assert_int_equal(subject_open(&bad, 0), ETX_EINVALID);
}

static void *put_in_thread(void *user) {
    log_chain *chain = user;
    uint8_t bytes[3000];
    for (int i = 0; i < 500; i++) {
        batch_fill(chain->next, bytes, sizeof bytes);
        if (chain_put(chain, bytes, sizeof bytes) != ETX_PUT_WRITTEN)
            return chain;
        if (i % 100 == 99)
            chain->subject->ops->trim(chain->subject->log, chain->partition, chain->next - 50);
    }
    return NULL;
}

static void test_partitions_at_once(void **state) {
    log_subject *subject = *state;
    pthread_t threads[3];
    log_chain chains[3];
    for (uint32_t i = 0; i < 3; i++) {
        chains[i] = chain_of(subject, i);
        assert_int_equal(pthread_create(&threads[i], NULL, put_in_thread, &chains[i]), 0);
    }
    for (uint32_t i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        assert_int_equal(chain_check(subject, i, 0, NULL), 50);
    }
}

static void test_reopen_partition(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 0);
    if (!subject->ops->reopen) {
        print_message("skipped: %s has nothing to reopen\n", subject->ops->scheme);
        skip();
    }
    for (int i = 0; i < 3; i++) {
        puts_many(&chain, 100, 5000);
        assert_int_equal(
            subject->ops->reopen(subject->log, 0, subject->message, sizeof subject->message), 0);
        assert_int_equal(chain_check(subject, 0, 0, NULL), chain.next);
    }
}

/* Tests put into all of them: with fewer an adapter that trusts their numbers would crash. */
static int has_partitions(const log_adapter *adapter) {
    void *state = (void *)(uintptr_t)adapter;
    etx_log_info info = {.size = sizeof info};
    if (setup(&state))
        return 0;
    const log_subject *subject = state;
    int rc = subject->ops->info(subject->log, &info);
    if (rc == 0 && info.partitions != SUBJECT_PARTITIONS)
        fprintf(stderr,
                "%s: the subject has %u partition%s, the suite needs %d: say it in the URL that "
                "log_adapters.c names (?partitions=%d), and let the adapter heed it\n",
                subject->url, info.partitions, info.partitions == 1 ? "" : "s", SUBJECT_PARTITIONS,
                SUBJECT_PARTITIONS);
    return teardown(&state) == 0 && rc == 0 && info.partitions == SUBJECT_PARTITIONS;
}

#define CASE(function) \
    { #function, function, setup, teardown, NULL }

int main(int argc, char **argv) {
    struct CMUnitTest tests[] = {
        CASE(test_info),
        CASE(test_empty),
        CASE(test_write_and_read),
        CASE(test_occupied),
        CASE(test_same_put_again),
        CASE(test_predecessor),
        CASE(test_not_written),
        CASE(test_batch_max),
        CASE(test_get_stops),
        CASE(test_trim),
        CASE(test_trim_gives_space),
        CASE(test_many_rounds),
        CASE(test_persists),
        CASE(test_read_only),
        CASE(test_copy),
        CASE(test_retire),
        CASE(test_no_create),
        CASE(test_bad_options),
        CASE(test_partitions_at_once),
        CASE(test_reopen_partition),
    };
    const log_adapter *adapter = argc == 2 ? log_adapter_find(argv[1]) : NULL;
    if (!adapter) {
        fprintf(stderr, "usage: test_log SCHEME\n");
        return 2;
    }
    if (!has_partitions(adapter))
        return 1;
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tests[i].initial_state = (void *)(uintptr_t)adapter;
    return cmocka_run_group_tests_name(adapter->scheme, tests, NULL, NULL);
}
