/* Opening a Redis log: what its URL may say, what is refused and in which words, what it promises;
 * nodes and leases. Runs beside scripts/with-redis --durable. */
#include "../../conformance/log_leases.h"
#include "fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Opening that URL fails like this, with these words. */
static void refuse(fixture *f, const char *url, uint32_t flags, int wanted, const char *words) {
    log_subject other = f->subject;
    other.log = NULL;
    snprintf(other.url, sizeof other.url, "%s", url);
    int rc = subject_open(&other, flags);
    if (rc != wanted || !strstr(other.message, words))
        print_message("%s: %d %s\n", url, rc, other.message);
    assert_int_equal(rc, wanted);
    assert_non_null(strstr(other.message, words));
    assert_null(strstr(other.message, "secret"));
}

static void refuse_more(fixture *f, const char *more, int wanted, const char *words) {
    char url[512];
    snprintf(url, sizeof url, "%s%s", f->subject.url, more);
    refuse(f, url, 0, wanted, words);
}

static void test_urls(void **state) {
    fixture *f = *state;
    refuse_more(f, "&partitions=0", ETX_EINVALID, "partitions is 1 to 256");
    refuse_more(f, "&partitions=257", ETX_EINVALID, "partitions is 1 to 256");
    refuse_more(f, "&timeout_ms=99", ETX_EINVALID, "timeout_ms is 100 to");
    refuse_more(f, "&prefix=a{b", ETX_EINVALID, "prefix is a name");
    refuse_more(f, "&prefix=", ETX_EINVALID, "prefix is a name");
    refuse_more(f, "&socket=here", ETX_EINVALID, "absolute path");
    refuse_more(f, "&password=secret", ETX_EINVALID, "password_file");
    refuse_more(f, "&schema=x", ETX_EINVALID, "prefix, socket");
    refuse(f, "redis://", 0, ETX_EINVALID, "one host or more, or socket=PATH");
    refuse(f, "redis://h?socket=/s", 0, ETX_EINVALID, "and not both");
    refuse(f, "redis://h/shop", 0, ETX_EINVALID, "number of a database");
    refuse(f, "redis://u:secret@h:x", 0, ETX_EINVALID, "host that is none");
    refuse(f, "redis:h", 0, ETX_EINVALID, "redis://USER@HOST");
    refuse(f, "redis://h?ca_file=/x", 0, ETX_EINVALID, "for TLS");
    refuse(f, "rediss://?socket=/s", 0, ETX_EINVALID, "no TLS on a Unix socket");
    refuse(f, "rediss://h?cert_file=/x", 0, ETX_EINVALID, "go together");
    refuse(f, "rediss://h?ca_file=", 0, ETX_EINVALID, "name files");
    refuse(f, "rediss://u:secret@h?ca_file=/nowhere/x", 0, ETX_EINVALID,
           "cannot read /nowhere/x: No such file or directory");
    refuse(f, "rediss://u:secret@h?cert_file=/nowhere/c&key_file=/nowhere/k", 0, ETX_EINVALID,
           "cannot read /nowhere/c: No such file or directory");
}

static void test_unreachable(void **state) {
    fixture *f = *state;
    refuse(f, "redis:///?socket=/nowhere/s", 0, ETX_EUNAVAILABLE, "/nowhere/s");
    refuse(f, "redis://u:secret@127.0.0.1:1", 0, ETX_EUNAVAILABLE, "127.0.0.1:1");
    refuse(f, "redis://127.0.0.1:1,127.0.0.1:2", 0, ETX_EUNAVAILABLE, "127.0.0.1:2");
    refuse(f, "redis://no.such.host.invalid", 0, ETX_EUNAVAILABLE, "no.such.host.invalid:6379");
    char url[300];
    snprintf(url, sizeof url, "redis:///999?socket=%s", getenv("REDIS_SOCKET"));
    refuse(f, url, 0, ETX_EINVALID, "DBNUMBER");
}

/* Each database has its own. */
static void test_databases(void **state) {
    fixture *f = *state;
    char url[300];
    snprintf(url, sizeof url, "redis:///3?socket=%s&prefix=%s", getenv("REDIS_SOCKET"), f->prefix);
    refuse(f, url, ETX_LOG_NO_CREATE, ETX_ENOTFOUND, f->prefix);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, 0), 0);
    log_chain chain = chain_make(&other, 7);
    chain_put_surely(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 0);
    other.ops->close(other.log, 1);
}

static void test_not_ours(void **state) {
    fixture *f = *state;
    const char *p = f->prefix;
    fixture_ask(f, "HSET {%s}:log version 2", p);
    refuse(f, f->subject.url, 0, ETX_EVERSION, "version 2");
    fixture_ask(f, "HSET {%s}:log version 1 partitions 0", p);
    refuse(f, f->subject.url, 0, ETX_ECORRUPT, ":log is not as ETX made it");
    fixture_ask(f, "HSET {%s}:log partitions 3", p);
    fixture_ask(f, "DEL {%s}:2", p);
    refuse(f, f->subject.url, 0, ETX_ECORRUPT, ":2 is not there");
    fixture_ask(f, "HDEL {%s}:log version", p);
    refuse(f, f->subject.url, 0, ETX_EINVALID, "another prefix=");
    fixture_ask(f, "DEL {%s}:log", p);
    fixture_ask(f, "HSET {%s}:log colour red", p);
    refuse(f, f->subject.url, 0, ETX_EINVALID, "another prefix=");
    fixture_ask(f, "SET {%s}:log red", p);
    refuse(f, f->subject.url, 0, ETX_EINVALID, "another prefix=");
    fixture_ask(f, "DEL {%s}:log", p);
    refuse(f, f->subject.url, 0, ETX_EINVALID, ":0 is there already");
    refuse(f, f->subject.url, ETX_LOG_READ_ONLY, ETX_ENOTFOUND, p);
    assert_string_equal(fixture_ask(f, "EXISTS {%s}:log", p), "0");
}

static int copy_begin(const fixture *f, etx_log **ret_copy, char *message, size_t size) {
    char url[300];
    const etx_log_info info = {.size = sizeof info, .id = "s123456", .partitions = 3};
    snprintf(url, sizeof url, "redis:///?socket=%s&prefix=%s_c", getenv("REDIS_SOCKET"), f->prefix);
    etx_log_config config = {
        .size = sizeof config, .url = url, .message = message, .message_size = size};
    return f->subject.ops->copy_begin(&config, &info, ret_copy);
}

/* Nobody opens a copy that is not whole, and who was overtaken adds nothing to another's. */
static void test_copies(void **state) {
    fixture *f = *state;
    const etx_log_ops *ops = f->subject.ops;
    etx_log *one;
    etx_log *two;
    char message[300];
    char url[300];
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put = put_make(&chain, 0, "x", 1);
    const etx_slot slot = {
        .slot = 0, .nonce = put.nonce, .checksum = put.checksum, .batch = put.batch};
    assert_int_equal(copy_begin(f, &one, message, sizeof message), 0);
    assert_int_equal(ops->copy_slot(one, &slot, message, sizeof message), 0);
    snprintf(url, sizeof url, "redis:///?socket=%s&prefix=%s_c", getenv("REDIS_SOCKET"), f->prefix);
    refuse(f, url, 0, ETX_EBUSY, "etx log copy");
    assert_int_equal(copy_begin(f, &two, message, sizeof message), 0);
    assert_int_equal(ops->copy_slot(one, &slot, message, sizeof message), ETX_EBUSY);
    assert_int_equal(ops->copy_end(one, 1, message, sizeof message), ETX_EBUSY);
    assert_int_equal(ops->copy_end(two, 1, message, sizeof message), 0);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, ETX_LOG_NO_CREATE), 0);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 0);
    other.ops->close(other.log, 1);
    assert_int_equal(copy_begin(f, &two, message, sizeof message), ETX_EBUSY);
}

enum { MAKERS = 6 };

static void *make_one(void *user) {
    return (void *)(intptr_t)subject_open(user, 0);
}

/* Those who make a log at the same time have the same one. */
static void test_made_once(void **state) {
    fixture *f = *state;
    log_subject makers[MAKERS];
    pthread_t threads[MAKERS];
    etx_log_info first = {.size = sizeof first};
    for (int i = 0; i < MAKERS; i++) {
        makers[i] = f->subject;
        makers[i].log = NULL;
        snprintf(makers[i].url, sizeof makers[i].url, "redis:///?socket=%s&prefix=%s_2",
                 getenv("REDIS_SOCKET"), f->prefix);
        assert_int_equal(pthread_create(&threads[i], NULL, make_one, &makers[i]), 0);
    }
    for (int i = 0; i < MAKERS; i++) {
        void *rc;
        etx_log_info info = {.size = sizeof info};
        pthread_join(threads[i], &rc);
        assert_null(rc);
        assert_int_equal(makers[i].ops->info(makers[i].log, i ? &info : &first), 0);
        if (i)
            assert_string_equal(info.id, first.id);
    }
    for (int i = 0; i < MAKERS; i++)
        makers[i].ops->close(makers[i].log, 1);
}

/* ---- grades */

static void expect_grade(const fixture *f, etx_durability grade, const char *words) {
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    if (info.grade != grade || !info.remark || !strstr(info.remark, words))
        fail_msg("grade %d, %s", (int)info.grade, info.remark ? info.remark : "");
}

/* With this setting it is volatile, and says these words. */
static void expect_weak(fixture *f, const char *name, const char *value, const char *words) {
    char was[64];
    snprintf(was, sizeof was, "%.63s", fixture_ask(f, "CONFIG GET %s", name));
    fixture_set(f, name, value);
    expect_grade(f, ETX_VOLATILE, words);
    fixture_set(f, name, was);
}

/* As it is beside --durable. */
static void keep_on_disk(fixture *f) {
    fixture_set(f, "appendonly", "yes");
    fixture_set(f, "appendfsync", "always");
    for (int i = 0; i < 6000; i++) {
        if (strstr(fixture_ask(f, "INFO persistence"), "aof_rewrite_in_progress:0"))
            return;
        usleep(10000);
    }
    fail_msg("its first file is never complete");
}

static void test_grades(void **state) {
    fixture *f = *state;
    keep_on_disk(f);
    expect_grade(f, ETX_LOCAL, "one disk");
    expect_weak(f, "appendfsync", "everysec", "appendfsync always");
    expect_weak(f, "appendfsync", "no", "appendfsync always");
    expect_weak(f, "no-appendfsync-on-rewrite", "yes", "no-appendfsync-on-rewrite");
    fixture_set(f, "maxmemory", "1000000000");
    expect_weak(f, "maxmemory-policy", "allkeys-lru", "maxmemory-policy noeviction");
    expect_grade(f, ETX_LOCAL, "one disk");
    fixture_set(f, "maxmemory-policy", "volatile-lru"); /* the log's keys are not volatile */
    expect_grade(f, ETX_LOCAL, "one disk");
    fixture_set(f, "maxmemory-policy", "noeviction");
    fixture_set(f, "maxmemory", "1000000");
    expect_grade(f, ETX_LOCAL, "memory is full");
    fixture_set(f, "maxmemory", "0");
}

/* ---- users and rights */

static void write_secret(const char *path, const char *text, mode_t mode) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

/* A partition has a connection of its own, made for its first put. */
static void check_rotation(fixture *f, log_subject *open, const char *path) {
    log_chain chain = chain_make(open, 7);
    etx_put put;
    fixture_ask(f, "ACL SETUSER keyed resetpass >secret-1b");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    write_secret(path, "secret-1b\n", 0600);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
}

static void test_passwords(void **state) {
    fixture *f = *state;
    char dir[] = "/tmp/etx-log-redis-XXXXXX";
    char path[64];
    char bare[300];
    char url[400];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/password", dir);
    snprintf(bare, sizeof bare, "redis://keyed@/0?prefix=%s&socket=%s", f->prefix,
             getenv("REDIS_SOCKET"));
    snprintf(url, sizeof url, "%s&password_file=%s", bare, path);
    fixture_ask(f, "ACL SETUSER keyed on >secret-1 ~* +@all");
    refuse(f, bare, 0, ETX_EINVALID, "check user and password");
    write_secret(path, "secret-2\n", 0600);
    refuse(f, url, 0, ETX_EINVALID, "check user and password");
    write_secret(path, "\n", 0600);
    refuse(f, url, 0, ETX_EINVALID, "no password in its first line");
    write_secret(path, "secret-1\n", 0644);
    refuse(f, url, 0, ETX_EINVALID, "chmod 600");
    write_secret(path, "secret-1\n", 0600);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, ETX_LOG_NO_CREATE), 0);
    check_rotation(f, &other, path);
    other.ops->close(other.log, 1);
    write_secret(path, "secret-1\n", 0600);
    fixture_ask(f, "ACL SETUSER keyed resetpass >secret-1");
    snprintf(other.url, sizeof other.url, "redis://keyed:secret-1@/0?prefix=%s&socket=%s",
             f->prefix, getenv("REDIS_SOCKET"));
    assert_int_equal(subject_open(&other, ETX_LOG_NO_CREATE), 0);
    other.ops->close(other.log, 1);
    /* that of the file goes before that of the URL */
    snprintf(other.url, sizeof other.url,
             "redis://keyed:secret-3@/0?prefix=%s&socket=%s&password_file=%s", f->prefix,
             getenv("REDIS_SOCKET"), path);
    assert_int_equal(subject_open(&other, ETX_LOG_NO_CREATE), 0);
    other.ops->close(other.log, 1);
    fixture_set(f, "requirepass", "secret-1");
    refuse(f, f->subject.url, 0, ETX_EINVALID, "password_file=");
    fixture_set(f, "requirepass", "");
    fixture_ask(f, "ACL DELUSER keyed");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_rights(void **state) {
    fixture *f = *state;
    char url[300];
    etx_log_info info = {.size = sizeof info};
    snprintf(url, sizeof url, "redis://poor@/0?prefix=%s&socket=%s", f->prefix,
             getenv("REDIS_SOCKET"));
    fixture_ask(f, "ACL SETUSER poor on nopass -@all");
    refuse(f, url, 0, ETX_EINVALID, "ACL SETUSER in docs/redis-log.md");
    fixture_ask(f, "ACL SETUSER poor +@hash");
    refuse(f, url, 0, ETX_EINVALID, "ACL SETUSER in docs/redis-log.md");
    fixture_ask(f, "ACL SETUSER poor ~{%s}:* +exists +eval +evalsha +time", f->prefix);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, 0), 0);
    assert_int_equal(other.ops->info(other.log, &info), 0);
    assert_int_equal(info.grade, ETX_VOLATILE);
    assert_non_null(strstr(info.remark, "+info +config|get"));
    log_chain chain = chain_make(&other, 7);
    chain_put_surely(&chain);
    chain_put_surely(&chain);
    assert_int_equal(other.ops->trim(other.log, 0, 1), 0);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 1);
    assert_int_equal(other.ops->attend(other.log, "", 1000, NULL, 0), 0);
    fixture_ask(f, "ACL SETUSER poor +info +config|get");
    assert_int_equal(other.ops->info(other.log, &info), 0);
    assert_int_equal(info.grade, ETX_LOCAL);
    other.ops->close(other.log, 1);
    fixture_ask(f, "ACL DELUSER poor");
}

/* ---- reading */

static int take_any(const etx_slot *slot, void *user) {
    (void)slot;
    ++*(int *)user;
    return 0;
}

static void expect_damage(fixture *f, int wanted, const char *words) {
    char message[300] = "";
    uint64_t mark;
    int count = 0;
    assert_int_equal(
        f->subject.ops->get(f->subject.log, 0, 0, take_any, &count, &mark, message, sizeof message),
        ETX_ECORRUPT);
    assert_int_equal(count, wanted);
    assert_non_null(strstr(message, words));
}

static void test_damaged(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    for (int i = 0; i < 4; i++)
        chain_put_surely(&chain);
    fixture_ask(f, "HSET {%s}:0 0000000000000000002 0123456789abcdefxyz", f->prefix);
    expect_damage(f, 2, "slot 2 of partition 0");
    fixture_ask(f, "HDEL {%s}:0 0000000000000000001", f->prefix);
    expect_damage(f, 1, "slot 1 of partition 0 is missing");
    chain.next = 1; /* nobody fills the hole */
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_ECORRUPT);
}

/* ---- nodes and leases */

static void test_nodes(void **state) {
    fixture *f = *state;
    gone_check(&f->subject);
    nodes_check(&f->subject);
}

static void test_leases(void **state) {
    fixture *f = *state;
    leases_check(&f->subject);
}

/* What is deleted leaves the server's memory, and its file when that is rewritten. */
static void test_space_is_used_again(void **state) {
    enum { LEN = 200000, ROUNDS = 40, EACH = 20 };
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_log_space space = {.size = sizeof space};
    uint8_t *bytes = malloc(LEN);
    assert_non_null(bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++) {
            batch_fill(chain.next, bytes, LEN);
            assert_int_equal(chain_put(&chain, bytes, LEN), ETX_PUT_WRITTEN);
        }
        assert_int_equal(f->subject.ops->trim(f->subject.log, 0, chain.next - 2), 0);
        assert_int_equal(f->subject.ops->space(f->subject.log, 0, &space), 0);
        assert_int_equal(space.bytes_used, 2 * (LEN + 64));
    }
    free(bytes);
    uint64_t size = strtoull(fixture_ask(f, "MEMORY USAGE {%s}:0 SAMPLES 0", f->prefix), NULL, 10);
    print_message("%d MB were put, %llu KB are used\n", LEN / 1000 * ROUNDS * EACH / 1000,
                  (unsigned long long)size / 1000);
    assert_true(size < 1000000);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_urls),
        CASE(test_unreachable),
        CASE(test_databases),
        CASE(test_not_ours),
        CASE(test_made_once),
        CASE(test_copies),
        CASE(test_grades),
        CASE(test_passwords),
        CASE(test_rights),
        CASE(test_damaged),
        CASE(test_nodes),
        CASE(test_leases),
        CASE(test_space_is_used_again),
    };
    return cmocka_run_group_tests_name("log_redis_open", tests, NULL, NULL);
}
