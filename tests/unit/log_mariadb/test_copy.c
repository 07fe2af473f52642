/* Copies into MariaDB that are broken off, overtaken or refused, and logs of an older ETX. Runs
 * beside scripts/with-mariadb --durable. */
#include "../../conformance/log_copier.h"
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy of the fixture's log, into tables beside it. */
static log_copier copier_beside(fixture *f) {
    char url[512];
    snprintf(url, sizeof url, "mariadb://etx@/etx?socket=%s&timeout_ms=10000&prefix=%s_c",
             getenv("MARIADB_SOCKET"), f->prefix);
    return copier_of(&f->subject, url);
}

/* From the beginning to the end, and it is the only thing there. */
static void copy_whole(fixture *f, log_copier *copier) {
    copier_whole(copier);
    assert_int_equal(fixture_count(f, "SELECT count(*) FROM %s_c_log_slot"),
                     fixture_count(f, "SELECT count(*) FROM %s_log_slot"));
}

/* ---- broken off */

static void test_killed_server(void **state) {
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    copier_fill_source(&f->subject);
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_fill(&copier, 0), 0);
    fixture_kill_server(f);
    uint64_t left = fixture_count(f, "SELECT count(*) FROM %s_c_log_slot");
    assert_true(left > 0 && left < 40); /* of those that were not committed nothing is left */
    assert_int_equal(copier_fill(&copier, 2), ETX_EUNAVAILABLE);
    assert_int_equal(copier_end(&copier, 1), ETX_EUNAVAILABLE);
    copier_refused(&copier, 0);
    copier_refused(&copier, ETX_LOG_READ_ONLY);
    copy_whole(f, &copier);
}

/* What is lost with a session is not made good by another one. */
static void test_killed_session(void **state) {
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    copier_fill_source(&f->subject);
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_fill(&copier, 2), 0);
    fixture_kill_sessions(f);
    assert_int_equal(copier_fill(&copier, 0), ETX_EUNAVAILABLE);
    assert_int_equal(copier_end(&copier, 1), ETX_EUNAVAILABLE);
    copier_refused(&copier, 0);
    copy_whole(f, &copier);
}

/* The last answer is not heard: the copy may be whole, and is, later. */
static void test_end_unknown(void **state) {
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    copier_fill_source(&f->subject);
    assert_int_equal(copier_begin(&copier), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(copier_fill(&copier, i), 0);
    fixture_set(f, "rpl_semi_sync_master_timeout = 4294967295");
    fixture_set(f, "rpl_semi_sync_master_wait_no_slave = 1");
    fixture_set(f, "rpl_semi_sync_master_wait_point = AFTER_SYNC");
    fixture_set(f, "rpl_semi_sync_master_enabled = 1");
    assert_int_equal(copier_end(&copier, 1), ETX_EUNKNOWN);
    copier_refused(&copier, 0);
    fixture_set(f, "rpl_semi_sync_master_enabled = 0");
    fixture_await(f, "SELECT version FROM %s_c_log_meta", "1");
    copier_check(&copier);
}

/* ---- overtaken, refused */

/* Who was overtaken adds nothing to the other's, and does not end it. */
static void test_of_two(void **state) {
    fixture *f = *state;
    log_copier one = copier_beside(f);
    log_copier two = one;
    copier_fill_source(&f->subject);
    assert_int_equal(copier_begin(&one), 0);
    assert_int_equal(copier_fill(&one, 2), 0);
    assert_int_equal(copier_begin(&two), ETX_EUNAVAILABLE); /* a transaction of the first is open */
    assert_int_equal(copier_end(&one, 0), 0);
    assert_int_equal(copier_begin(&one), 0);
    assert_int_equal(copier_begin(&two), 0);
    assert_int_equal(copier_fill(&one, 2), ETX_EBUSY);
    assert_int_not_equal(copier_end(&one, 1), 0);
    copier_refused(&one, 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(copier_fill(&two, i), 0);
    assert_int_equal(copier_end(&two, 1), 0);
    copier_check(&two);
    assert_int_equal(copier_begin(&one), ETX_EBUSY);
    assert_non_null(strstr(one.dest.message, "name another prefix="));
    copier_check(&two);
}

/* Another program's table of such a name keeps its rows, and nothing is made beside it. */
static void test_name_taken(void **state) {
    static const char *const names[] = {"node", "slot"};
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    char sql[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(sql, sizeof sql, "CREATE TABLE %%s_c_log_%s AS SELECT 7 AS id", names[i]);
        fixture_say(f, sql);
        assert_int_equal(copier_begin(&copier), ETX_EBUSY);
        assert_non_null(strstr(copier.dest.message, "name another prefix="));
        snprintf(sql, sizeof sql, "SELECT id FROM %%s_c_log_%s", names[i]);
        assert_int_equal(fixture_count(f, sql), 7);
        assert_int_equal(fixture_count(f,
                                       "SELECT count(*) FROM information_schema.tables WHERE"
                                       " table_schema = 'etx' AND table_name LIKE '%s_c_log%'"),
                         1);
        snprintf(sql, sizeof sql, "DROP TABLE %%s_c_log_%s", names[i]);
        fixture_say(f, sql);
    }
}

static void test_packet(void **state) {
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    log_chain chain = chain_of(&f->subject, 0);
    puts_many(&chain, 1, 300000);
    fixture_set(f, "max_allowed_packet = 262144");
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_fill(&copier, 0), ETX_EINVALID);
    assert_non_null(strstr(copier.dest.message, "slot 0 of partition 0 has 300000 bytes"));
    assert_int_equal(copier_end(&copier, 0), 0);
}

/* ---- tables of an older ETX */

static const char make_older[] =
    "ALTER TABLE %s_log_meta DROP COLUMN retired, DROP COLUMN retired_why, DROP COLUMN copying,"
    " DROP COLUMN copied";

static void test_older_tables(void **state) {
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    log_chain chain = chain_of(&f->subject, 1);
    fixture_say(f, make_older);
    subject_reopen(&f->subject, 1);
    puts_many(&chain, 3, 100);
    log_copier onto_itself = copier_of(&f->subject, f->subject.url);
    assert_int_equal(copier_begin(&onto_itself), ETX_EBUSY);
    copy_whole(f, &copier);
    assert_int_equal(chain_check(&f->subject, 1, 0, NULL), 3);
    assert_int_equal(
        f->subject.ops->retire(f->subject.log, ETX_RETIRE_MOVED, "it went away", NULL, 0), 0);
    subject_refused(&f->subject, f->subject.url, 0, ETX_ECONFLICT, "it went away");
}

/* Who may not change them is told what is missing, and the log stays as it is. */
static void test_older_tables_of_the_poor(void **state) {
    fixture *f = *state;
    log_subject other = f->subject;
    char message[300];
    fixture_say(f, make_older);
    fixture_say(f, "DROP USER IF EXISTS poor@localhost");
    fixture_say(f, "CREATE USER poor@localhost");
    fixture_say(f, "GRANT SELECT, INSERT, UPDATE, DELETE ON etx.* TO poor@localhost");
    snprintf(other.url, sizeof other.url, "mariadb://poor@/etx?socket=%s&prefix=%s",
             getenv("MARIADB_SOCKET"), f->prefix);
    assert_int_equal(subject_open(&other, 0), 0);
    assert_int_equal(
        other.ops->retire(other.log, ETX_RETIRE_COPYING, "it goes", message, sizeof message),
        ETX_EINVALID);
    assert_non_null(strstr(message, "GRANT ALTER ON etx."));
    subject_reopen(&other, 1);
    other.ops->close(other.log, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_killed_server), CASE(test_killed_session),
        CASE(test_end_unknown),   CASE(test_of_two),
        CASE(test_name_taken),    CASE(test_packet),
        CASE(test_older_tables),  CASE(test_older_tables_of_the_poor),
    };
    return cmocka_run_group_tests_name("log_mariadb_copy", tests, NULL, NULL);
}
