/* Opening an etcd log: what its URL may say, what is refused and in which words, what it promises;
 * nodes and their leases. Runs beside scripts/with-etcd. */
#include "../../conformance/log_leases.h"
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>

static void test_urls(void **state) {
    fixture *f = *state;
    fixture_refuse(f, "etcd://", 0, ETX_EINVALID, "names no host");
    fixture_refuse(f, "etcd://h:0/x", 0, ETX_EINVALID, "HOST:PORT");
    fixture_refuse(f, "etcd://h/x?partitions=257", 0, ETX_EINVALID, "partitions is 1 to 256");
    fixture_refuse(f, "etcd://h/x?timeout_ms=99", 0, ETX_EINVALID, "timeout_ms is 100 to");
    fixture_refuse(f, "etcd://h/x?compact=0", 0, ETX_EINVALID, "compact is 1 to 86400");
    fixture_refuse(f, "etcd://h/x?tls=yes", 0, ETX_EINVALID, "tls is on or off");
    fixture_refuse(f, "etcd://h/x?tls_ca=/x", 0, ETX_EINVALID, "need tls=on");
    fixture_refuse(f, "etcd://h/x?tls=on&tls_cert=/x", 0, ETX_EINVALID, "go together");
    fixture_refuse(f, "etcd://h/x?tls=on&tls_key=", 0, ETX_EINVALID, "name a file");
    fixture_refuse(f, "etcd://h/a b", 0, ETX_EINVALID, "the prefix");
    fixture_refuse(f, "etcd://h/x/", 0, ETX_EINVALID, "the prefix");
    fixture_refuse(f, "etcd://u@h/x", 0, ETX_EINVALID, "password_file=");
    fixture_refuse(f, "etcd://h/x?password=secret", 0, ETX_EINVALID, "password_file");
    fixture_refuse(f, "etcd://u:secret@h/x?colour=red", 0, ETX_EINVALID,
                   "a log in etcd has no option 'colour'");
    fixture_refuse(f, "etc://h/x", 0, ETX_EINVALID, "etcd://");
}

static void test_unreachable(void **state) {
    fixture *f = *state;
    fixture_refuse(f, "etcd://u:secret@127.0.0.1:1/x", 0, ETX_EUNAVAILABLE, "127.0.0.1:1");
    fixture_refuse(f, "etcd://127.0.0.1:1,127.0.0.1:2/x", 0, ETX_EUNAVAILABLE, "127.0.0.1:2");
    /* "SSL", or that it was reset: who is faster? */
    fixture_refuse(f, fixture_url(f, "", "/x?tls=on"), 0, ETX_EUNAVAILABLE, "127.0.0.1:");
    fixture_refuse(f, fixture_url(f, "u:secret@", "/x"), 0, ETX_EINVALID, "leave out the URL's");
    /* the first does not answer, the second does */
    char url[300];
    snprintf(url, sizeof url, "etcd://127.0.0.1:1,%s/%s", getenv("ETX_ETCD"), f->prefix);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, ETX_LOG_NO_CREATE), 0);
    log_chain chain = chain_make(&other, 7);
    chain_put_surely(&chain);
    other.ops->close(other.log, 1);
}

static void test_not_ours(void **state) {
    fixture *f = *state;
    fixture_do(f, "etcdctl put %s/log 'etx-log version=2 format=new'", f->prefix);
    fixture_refuse(f, f->subject.url, 0, ETX_EVERSION, "version 2");
    fixture_do(f, "etcdctl put %s/log 'etx-log version=1 id=s partitions=0'", f->prefix);
    fixture_refuse(f, f->subject.url, 0, ETX_ECORRUPT, "/log is not as ETX made it");
    fixture_do(f, "etcdctl put %s/log 'a list of trees'", f->prefix);
    fixture_refuse(f, f->subject.url, 0, ETX_EINVALID, "another prefix");
    fixture_do(f, "etcdctl del --prefix %s/", f->prefix);
    fixture_refuse(f, f->subject.url, ETX_LOG_NO_CREATE, ETX_ENOTFOUND, f->prefix);
    etx_put put;
    log_chain chain = chain_make(&f->subject, 7);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_ECORRUPT);
}

/* Slots whose log is not named any more are nobody's to write over; marks that one has left who
 * did not end making a log are. */
static void test_left_behind(void **state) {
    fixture *f = *state;
    fixture_do(f, "etcdctl del %s/log", f->prefix);
    fixture_do(f, "etcdctl put %s/p/002/s/0000000000000007 slot", f->prefix);
    fixture_refuse(f, f->subject.url, 0, ETX_EINVALID, "another prefix");
    fixture_do(f, "etcdctl del --prefix %s/p/002/s/", f->prefix);
    log_subject other = f->subject;
    assert_int_equal(subject_open(&other, 0), 0);
    other.ops->close(other.log, 1);
}

/* As many as a transaction has no room for. */
static void test_many_partitions(void **state) {
    fixture *f = *state;
    char url[200];
    etx_log_info info = {.size = sizeof info};
    log_subject other = f->subject;
    snprintf(url, sizeof url, "/%s_many?partitions=256", f->prefix);
    snprintf(other.url, sizeof other.url, "%s", fixture_url(f, "", url));
    assert_int_equal(subject_open(&other, 0), 0);
    assert_int_equal(other.ops->info(other.log, &info), 0);
    assert_int_equal(info.partitions, 256);
    log_chain chain = {.subject = &other, .partition = 255, .nonce = 7};
    chain_put_surely(&chain);
    other.ops->close(other.log, 1);
}

static void test_grade(void **state) {
    fixture *f = *state;
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(info.grade, ETX_LOCAL);
    assert_non_null(strstr(info.remark, "one member"));
    fixture_do(f, "etcdctl member add new --learner --peer-urls=http://127.0.0.1:1");
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(info.grade, ETX_LOCAL); /* a learner has no vote */
    fixture_do(f, "etcdctl member remove $(etcdctl member list | grep ', true' | cut -d, -f1)");
}

/* ---- users */

static void write_secret(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
}

static void let_in(fixture *f) {
    fixture_do(f,
               "(etcdctl user add root:admin && etcdctl user grant-role root root;"
               " etcdctl user add poor:secret-1 && etcdctl role add narrow"
               " && etcdctl user grant-role poor narrow && etcdctl auth enable) >&2");
}

static void let_all_in(fixture *f) {
    fixture_do(f,
               "(ETCDCTL_USER=root:admin etcdctl auth disable && etcdctl user delete poor"
               " && etcdctl role delete narrow && etcdctl user delete root) >&2");
}

static void check_users(fixture *f, const char *url, const char *file) {
    char nobody[300];
    snprintf(nobody, sizeof nobody, "/%s", f->prefix);
    fixture_refuse(f, fixture_url(f, "", nobody), 0, ETX_EINVALID, "asks for a user");
    write_secret(file, "secret-2\n");
    fixture_refuse(f, url, 0, ETX_EINVALID, "check user and password");
    write_secret(file, "secret-1\n");
    fixture_refuse(f, url, 0, ETX_EINVALID, "grant-permission ROLE readwrite --prefix=true t_");
    fixture_do(f,
               "ETCDCTL_USER=root:admin etcdctl role grant-permission narrow readwrite"
               " --prefix=true %s/ >&2",
               f->prefix);
}

static void test_users(void **state) {
    fixture *f = *state;
    char dir[] = "/tmp/etx-log-etcd-XXXXXX";
    char file[64];
    char behind[200];
    char url[400];
    etx_put put;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/password", dir);
    snprintf(behind, sizeof behind, "/%s?timeout_ms=1000&password_file=%s", f->prefix, file);
    snprintf(url, sizeof url, "%s", fixture_url(f, "poor@", behind));
    let_in(f);
    check_users(f, url, file);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, 0), 0);
    log_chain chain = chain_make(&other, 7);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    assert_int_equal(other.ops->trim(other.log, 0, 1), 0);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 1);
    /* a new password, as a change of users does, ends what was said before */
    fixture_do(f,
               "echo poor-2 | ETCDCTL_USER=root:admin etcdctl user passwd poor"
               " --interactive=false >&2");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    write_secret(file, "poor-2\n");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    /* a change of users ends what was said before; a new login goes on */
    fixture_do(f, "ETCDCTL_USER=root:admin etcdctl user add another:x >&2");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    fixture_do(f, "ETCDCTL_USER=root:admin etcdctl user delete another >&2");
    fixture_do(f,
               "ETCDCTL_USER=root:admin etcdctl role revoke-permission narrow --prefix=true"
               " %s/ >&2",
               f->prefix);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EINVALID);
    assert_non_null(strstr(put.message, "grant-permission"));
    let_all_in(f);
    other.ops->close(other.log, 1);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- reading */

static int take_any(const etx_slot *slot, void *user) {
    (void)slot;
    ++*(int *)user;
    return 0;
}

static void test_damaged(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    char message[300] = "";
    uint64_t mark;
    int count = 0;
    for (int i = 0; i < 4; i++)
        chain_put_surely(&chain);
    fixture_do(f,
               "etcdctl get --print-value-only %s/p/000/s/0000000000000001 | head -c 400 |"
               " etcdctl put %s/p/000/s/0000000000000002",
               f->prefix, f->prefix);
    assert_int_equal(
        f->subject.ops->get(f->subject.log, 0, 0, take_any, &count, &mark, message, sizeof message),
        ETX_ECORRUPT);
    assert_int_equal(count, 2);
    assert_non_null(strstr(message, "slot 2 of partition 0"));
    fixture_do(f, "etcdctl del %s/p/000/s/0000000000000002", f->prefix);
    assert_int_equal(
        f->subject.ops->get(f->subject.log, 0, 0, take_any, &count, &mark, message, sizeof message),
        ETX_ECORRUPT);
    assert_non_null(strstr(message, "slot 3 of partition 0"));
}

typedef struct slow_reader {
    fixture *f;
    uint64_t count;
    uint64_t trim_to; /* 0: not at all */
} slow_reader;

/* While a page is read, the history that the next is of goes. */
static int compact_meanwhile(const etx_slot *slot, void *user) {
    slow_reader *reader = user;
    fixture *f = reader->f;
    assert_int_equal(slot->slot, reader->count++);
    if (reader->count == 5 && reader->trim_to)
        assert_int_equal(f->subject.ops->trim(f->subject.log, 0, reader->trim_to), 0);
    if (reader->count == 5)
        fixture_do(f,
                   "etcdctl put %s/x y >&2; etcdctl compact $(etcdctl endpoint status -w json |"
                   " grep -o '\"revision\":[0-9]*' | cut -d: -f2)",
                   f->prefix);
    return 0;
}

static void test_compacted_while_read(void **state) {
    fixture *f = *state;
    log_subject other;
    log_chain chain = chain_make(&f->subject, 7);
    slow_reader reader = {.f = f};
    uint64_t mark;
    for (int i = 0; i < 40; i++)
        chain_put_surely(&chain);
    assert_int_equal(fixture_open(f, &other, "", ETX_LOG_READ_ONLY), 0);
    assert_int_equal(other.ops->get(other.log, 0, 0, compact_meanwhile, &reader, &mark, NULL, 0),
                     0);
    assert_int_equal(reader.count, 40);
    reader = (slow_reader){.f = f, .trim_to = 30};
    assert_int_equal(other.ops->get(other.log, 0, 0, compact_meanwhile, &reader, &mark, NULL, 0),
                     ETX_EUNAVAILABLE);
    assert_true(reader.count < 30);
    other.ops->close(other.log, 1);
}

/* ---- nodes */

static void test_nodes(void **state) {
    fixture *f = *state;
    gone_check(&f->subject);
    nodes_check(&f->subject);
}

static void test_leases(void **state) {
    fixture *f = *state;
    leases_check(&f->subject);
}

/* A node that is started anew goes on with what it has; its etcd lease is another. */
static void test_lease_of_a_node_started_anew(void **state) {
    fixture *f = *state;
    log_subject a;
    log_subject again;
    log_subject b;
    const etx_log_ops *ops = f->subject.ops;
    assert_int_equal(fixture_open_as(f, &a, "a"), 0);
    assert_int_equal(ops->renew(a.log, 1, 60000), 1);
    ops->close(a.log, 0);
    assert_int_equal(fixture_open_as(f, &again, "a"), 0);
    assert_int_equal(ops->renew(again.log, 1, 60000), 0);
    assert_int_equal(ops->renew(again.log, 1, 60000), 0);
    assert_int_equal(fixture_open_as(f, &b, "b"), 0);
    assert_int_equal(ops->renew(b.log, 1, 60000), ETX_EBUSY);
    ops->close(again.log, 0);
    ops->close(b.log, 0);
}

/* What an administrator has taken away is asked for anew. */
static void test_lease_revoked(void **state) {
    fixture *f = *state;
    log_subject a;
    const etx_log_ops *ops = f->subject.ops;
    assert_int_equal(fixture_open_as(f, &a, "a"), 0);
    assert_int_equal(ops->attend(a.log, "", 1500, NULL, 0), 0);
    assert_int_equal(ops->renew(a.log, 0, 1500), 1);
    /* of the other tests', one may have run out meanwhile */
    fixture_do(f,
               "for l in $(etcdctl lease list | tail -n +2); do etcdctl lease revoke $l || true; "
               "done");
    usleep(200000); /* its lease was kept alive a while ago */
    assert_int_equal(ops->renew(a.log, 0, 1500), 1);
    assert_int_equal(ops->attend(a.log, "", 1500, NULL, 0), 0);
    assert_int_equal(ops->renew(a.log, 0, 1500), 0);
    ops->close(a.log, 1);
}

static uint64_t now_ms(void) {
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void take_left(const etx_log_node *node, void *user) {
    *(uint64_t *)user = node->left_ms;
}

static void leave_out(const etx_log_lease *lease, void *user) {
    (void)lease;
    (void)user;
}

/* etcd tells whole seconds, rounded down: a node that has just said that it is there for two does
 * not have one alone. What is told is right to half a second. */
static void test_left(void **state) {
    fixture *f = *state;
    const uint64_t ttl_ms = 2000;
    uint64_t left = 0;
    etx_log_survey survey = {sizeof survey, take_left, leave_out, &left, NULL};
    uint64_t before = now_ms();
    assert_int_equal(f->subject.ops->attend(f->subject.log, "", (uint32_t)ttl_ms, NULL, 0), 0);
    assert_int_equal(f->subject.ops->survey(f->subject.log, &survey, NULL, 0), 0);
    assert_true(left <= ttl_ms);
    assert_true(left + 500 + (now_ms() - before) + 2 >= ttl_ms);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_urls),
        CASE(test_unreachable),
        CASE(test_not_ours),
        CASE(test_left_behind),
        CASE(test_left),
        CASE(test_many_partitions),
        CASE(test_grade),
        CASE(test_users),
        CASE(test_damaged),
        CASE(test_compacted_while_read),
        CASE(test_nodes),
        CASE(test_leases),
        CASE(test_lease_of_a_node_started_anew),
        CASE(test_lease_revoked),
    };
    return cmocka_run_group_tests_name("log_etcd_open", tests, NULL, NULL);
}
