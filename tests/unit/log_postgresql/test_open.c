/* Opening a PostgreSQL log: what its URL may say, what is refused and in which words, what it
 * promises. Runs beside scripts/with-postgres --durable. */
#include "../../conformance/log_leases.h"
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *with_schema(fixture *f, const char *format) {
    const char *at = strstr(format, "%s");
    snprintf(f->text, sizeof f->text, "%.*s%s%s", (int)(at - format), format, f->schema, at + 2);
    return f->text;
}

static void test_urls(void **state) {
    fixture *f = *state;
    subject_refused(&f->subject, "postgresql://?partitions=0", 0, ETX_EINVALID,
                    "partitions is 1 to 256");
    subject_refused(&f->subject, "postgresql://?partitions=257", 0, ETX_EINVALID,
                    "partitions is 1 to 256");
    subject_refused(&f->subject, "postgresql://?timeout_ms=99", 0, ETX_EINVALID,
                    "timeout_ms is 100 to");
    subject_refused(&f->subject, "postgresql://?schema=Shop", 0, ETX_EINVALID, "schema is a name");
    subject_refused(&f->subject, "postgresql://?schema=a;b", 0, ETX_EINVALID, "schema is a name");
    subject_refused(&f->subject, "postgresql://?schema=pg_shop", 0, ETX_EINVALID,
                    "schema is a name");
    subject_refused(&f->subject, "postgresql://?password=secret", 0, ETX_EINVALID, "password_file");
    subject_refused(&f->subject, "postgresql://?sslpassword=secret", 0, ETX_EINVALID,
                    "password_file");
    subject_refused(&f->subject, "postgresql://u:secret@h:x%zz/d", 0, ETX_EINVALID, "URL");
    subject_refused(&f->subject, "postgresql://u:secret@[::1/d", 0, ETX_EINVALID, "URL");
    subject_refused(&f->subject, "postgresql://?password_file=", 0, ETX_EINVALID, "names a file");
    subject_refused(&f->subject, "postgresql://?password_file=/nowhere/x", 0, ETX_EINVALID,
                    "/nowhere/x");
    subject_refused(&f->subject, "postgresql://?sslmode=bogus", 0, ETX_EINVALID, "bogus");
    subject_refused(&f->subject, "postgres://?schema=etx", 0, ETX_EINVALID, "postgresql://");
}

static void test_unreachable(void **state) {
    fixture *f = *state;
    subject_refused(&f->subject, "postgresql://u:secret@/d?host=/nowhere", 0, ETX_EUNAVAILABLE,
                    "/nowhere");
    subject_refused(&f->subject, "postgresql://u:secret@127.0.0.1:1/d", 0, ETX_EUNAVAILABLE,
                    "127.0.0.1");
    subject_refused(&f->subject, "postgresql:///nodb", 0, ETX_EINVALID, "nodb");
    subject_refused(&f->subject, "postgresql://nobody_here@", 0, ETX_EINVALID, "nobody_here");
}

static void test_not_ours(void **state) {
    fixture *f = *state;
    fixture_say(f, "UPDATE %s.etx_log_meta SET version = 2");
    subject_refused(&f->subject, f->subject.url, 0, ETX_EVERSION, "version 2");
    fixture_say(f, "UPDATE %s.etx_log_meta SET version = 1, partitions = 0");
    subject_refused(&f->subject, f->subject.url, 0, ETX_ECORRUPT, "etx_log_meta");
    fixture_say(f, "ALTER TABLE %s.etx_log_meta DROP COLUMN log");
    subject_refused(&f->subject, f->subject.url, 0, ETX_EINVALID, "another schema=");
    fixture_say(f, "DROP SCHEMA %s CASCADE");
    subject_refused(&f->subject, f->subject.url, ETX_LOG_NO_CREATE, ETX_ENOTFOUND, f->schema);
}

/* Without one of the rights that serving takes no log is opened for writing, and one is for
 * reading; the user has all of them before and afterwards. */
static void lack_each_right(fixture *f, const char *url) {
    static const char *const rights[][2] = {
        {"partition", "SELECT"}, {"partition", "UPDATE"}, {"slot", "INSERT"},  {"slot", "DELETE"},
        {"lease", "SELECT"},     {"lease", "INSERT"},     {"lease", "UPDATE"}, {"lease", "DELETE"},
        {"node", "SELECT"},      {"node", "INSERT"},      {"node", "UPDATE"},  {"node", "DELETE"}};
    log_subject other = f->subject;
    char sql[128];
    char words[128];
    snprintf(other.url, sizeof other.url, "%s", url);
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        snprintf(sql, sizeof sql, "REVOKE %s ON %%s.etx_log_%s FROM poor", rights[i][1],
                 rights[i][0]);
        fixture_say(f, sql);
        snprintf(words, sizeof words,
                 "lacks %s ON etx_log_%s: GRANT SELECT, INSERT, UPDATE, DELETE", rights[i][1],
                 rights[i][0]);
        subject_refused(&f->subject, url, 0, ETX_EINVALID, words);
        assert_int_equal(subject_open(&other, ETX_LOG_READ_ONLY), 0);
        other.ops->close(other.log, 1);
        snprintf(sql, sizeof sql, "GRANT %s ON %%s.etx_log_%s TO poor", rights[i][1], rights[i][0]);
        fixture_say(f, sql);
    }
}

static void test_rights(void **state) {
    fixture *f = *state;
    char url[256];
    fixture_say(f, "DROP ROLE IF EXISTS poor");
    fixture_say(f, "CREATE ROLE poor LOGIN");
    subject_refused(&f->subject, "postgresql://poor@?schema=of_the_poor", 0, ETX_EINVALID,
                    "GRANT CREATE");
    snprintf(url, sizeof url, "%s", with_schema(f, "postgresql://poor@?schema=%s"));
    subject_refused(&f->subject, url, 0, ETX_EINVALID, "GRANT USAGE");
    fixture_say(f, "GRANT USAGE ON SCHEMA %s TO poor");
    subject_refused(&f->subject, url, 0, ETX_EINVALID, "GRANT");
    fixture_say(f, "GRANT SELECT ON ALL TABLES IN SCHEMA %s TO poor");
    subject_refused(&f->subject, url, 0, ETX_EINVALID,
                    "INSERT ON etx_log_lease, UPDATE ON etx_log_lease and 6 more: GRANT");
    fixture_say(f, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO poor");
    lack_each_right(f, url);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, 0), 0);
    log_chain chain = chain_make(&other, 7);
    chain_put_surely(&chain);
    chain_put_surely(&chain);
    assert_int_equal(other.ops->trim(other.log, 0, 1), 0);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 1);
    fixture_say(f, "REVOKE USAGE ON SCHEMA %s FROM poor"); /* while it serves */
    etx_put put;
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_non_null(strstr(put.message, "does not exist (42P01)"));
    assert_non_null(strstr(put.message, "GRANT USAGE ON SCHEMA"));
    other.ops->close(other.log, 1);
}

/* ---- grades */

static void await_grade(fixture *f, etx_durability grade, const char *words) {
    etx_log_info info = {.size = sizeof info};
    for (int i = 0; i < 6000; i++) {
        assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
        if (info.grade == grade && info.remark && strstr(info.remark, words))
            return;
        usleep(10000);
    }
    fail_msg("grade %d, %s", (int)info.grade, info.remark ? info.remark : "");
}

static void test_grades(void **state) {
    fixture *f = *state;
    await_grade(f, ETX_LOCAL, "synchronous standby");
    fixture_set(f, "fsync", "off");
    await_grade(f, ETX_VOLATILE, "fsync = on");
    fixture_set(f, "fsync", "");
    fixture_set(f, "full_page_writes", "off");
    await_grade(f, ETX_VOLATILE, "full_page_writes = on");
    fixture_set(f, "full_page_writes", "");
    fixture_set(f, "synchronous_standby_names", "nobody");
    await_grade(f, ETX_REPLICATED, "no synchronous standby is connected");
    fixture_set(f, "synchronous_standby_names", "");
    await_grade(f, ETX_LOCAL, "synchronous_standby_names");
    fixture_say(f, "ALTER TABLE %s.etx_log_slot SET UNLOGGED");
    await_grade(f, ETX_VOLATILE, "UNLOGGED");
}

/* ---- passwords */

static void let_in(fixture *f, const char *lines) {
    char sql[400];
    snprintf(sql, sizeof sql,
             "DO $do$ BEGIN EXECUTE format('COPY (SELECT unnest(ARRAY[%s])) TO %%L',"
             " current_setting('hba_file')); END $do$",
             lines);
    fixture_say(f, sql);
    fixture_say(f, "SELECT pg_reload_conf()");
}

static void write_secret(const char *path, const char *text, mode_t mode) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void await_refusal(fixture *f, const char *url) {
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    for (int i = 0; i < 6000; i++) {
        if (subject_open(&other, ETX_LOG_NO_CREATE) == ETX_EINVALID)
            return;
        other.ops->close(other.log, 1);
        usleep(10000);
    }
    fail_msg("a password is not asked for");
}

/* A partition has a connection of its own, made for its first put. */
static void check_rotation(fixture *f, log_subject *open, const char *path) {
    log_chain chain = chain_make(open, 7);
    etx_put put;
    fixture_say(f, "ALTER ROLE keyed PASSWORD 'secret-1b'");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    write_secret(path, "secret-1b\n", 0600);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
}

static void test_passwords(void **state) {
    fixture *f = *state;
    char dir[] = "/tmp/etx-log-postgresql-XXXXXX";
    char path[64];
    char url[300];
    char bare[256];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/password", dir);
    snprintf(bare, sizeof bare, "%s", with_schema(f, "postgresql://keyed@?schema=%s"));
    snprintf(url, sizeof url, "%.120s&password_file=%s", bare, path);
    fixture_say(f, "DROP ROLE IF EXISTS keyed");
    fixture_say(f, "CREATE ROLE keyed LOGIN SUPERUSER PASSWORD 'secret-1'");
    let_in(f, "''local all keyed scram-sha-256'', ''local all all trust''");
    await_refusal(f, bare);
    subject_refused(&f->subject, bare, 0, ETX_EINVALID, "password_file=");
    write_secret(path, "secret-2\n", 0600);
    subject_refused(&f->subject, url, 0, ETX_EINVALID, "check user, database and password");
    write_secret(path, "\n", 0600);
    subject_refused(&f->subject, url, 0, ETX_EINVALID, "no password in its first line");
    write_secret(path, "secret-1\n", 0644);
    subject_refused(&f->subject, url, 0, ETX_EINVALID, "chmod 600");
    write_secret(path, "secret-1\n", 0600);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, ETX_LOG_NO_CREATE), 0);
    check_rotation(f, &other, path);
    other.ops->close(other.log, 1);
    fixture_say(f, "ALTER ROLE keyed PASSWORD 'secret-1'");
    write_secret(path, "*:*:*:keyed:secret-1\n", 0600);
    snprintf(other.url, sizeof other.url, "%.120s&passfile=%s", bare, path);
    assert_int_equal(subject_open(&other, ETX_LOG_NO_CREATE), 0);
    other.ops->close(other.log, 1);
    let_in(f, "''local all all trust''");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- reading, leases */

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
    fixture_say(f, "UPDATE %s.etx_log_slot SET batch = set_byte(batch, 3, 1) WHERE slot = 2");
    assert_int_equal(
        f->subject.ops->get(f->subject.log, 0, 0, take_any, &count, &mark, message, sizeof message),
        ETX_ECORRUPT);
    assert_int_equal(count, 2);
    assert_non_null(strstr(message, "slot 2 of partition 0"));
    fixture_say(f, "DELETE FROM %s.etx_log_slot WHERE slot = 2");
    assert_int_equal(
        f->subject.ops->get(f->subject.log, 0, 0, take_any, &count, &mark, message, sizeof message),
        ETX_ECORRUPT);
    assert_non_null(strstr(message, "slot 3 of partition 0"));
}

static void test_nodes(void **state) {
    fixture *f = *state;
    gone_check(&f->subject);
    nodes_check(&f->subject);
}

static void test_leases(void **state) {
    fixture *f = *state;
    leases_check(&f->subject);
}

/* Which server's data it is; an engine of before does not ask, and has no room for it. */
static void test_identity(void **state) {
    fixture *f = *state;
    const etx_log_ops *ops = f->subject.ops;
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(ops->info(f->subject.log, &info), 0);
    assert_non_null(info.identity);
    assert_non_null(
        strstr(info.identity, fixture_ask(f, "SELECT system_identifier FROM pg_control_system()")));
    assert_non_null(strstr(info.identity, ", timeline 1"));
    info = (etx_log_info){.size = offsetof(etx_log_info, identity)};
    assert_int_equal(ops->info(f->subject.log, &info), 0);
    assert_null(info.identity);
}

/* What is deleted is used again, while puts go on: the table does not grow with what was put. */
static void test_space_is_used_again(void **state) {
    enum { LEN = 200000, ROUNDS = 40, EACH = 20 };
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    uint8_t *bytes = malloc(LEN);
    assert_non_null(bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++) {
            batch_fill(chain.next, bytes, LEN);
            assert_int_equal(chain_put(&chain, bytes, LEN), ETX_PUT_WRITTEN);
        }
        assert_int_equal(f->subject.ops->trim(f->subject.log, 0, chain.next - 2), 0);
        fixture_await(f,
                      "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'VACUUM%'"
                      " AND state = 'active'",
                      "0");
    }
    free(bytes);
    uint64_t size =
        strtoull(fixture_ask(f, "SELECT pg_total_relation_size('%s.etx_log_slot')"), NULL, 10);
    print_message("%d MB were put, %llu MB are used\n", LEN / 1000 * ROUNDS * EACH / 1000,
                  (unsigned long long)size / 1000000);
    assert_true(size < 80 * 1000000);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_urls),   CASE(test_unreachable),         CASE(test_not_ours), CASE(test_rights),
        CASE(test_grades), CASE(test_passwords),           CASE(test_damaged),  CASE(test_nodes),
        CASE(test_leases), CASE(test_space_is_used_again), CASE(test_identity),
    };
    return cmocka_run_group_tests_name("log_postgresql_open", tests, NULL, NULL);
}
