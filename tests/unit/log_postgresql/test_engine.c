/* An engine on a PostgreSQL log, which it finds as a module beside its library. Runs beside
 * scripts/with-postgres --durable. */
#include "../../guest/store_story.h"

#include <libpq-fe.h>

static void say(const char *sql) {
    PGconn *admin = PQconnectdb("");
    PGresult *result = PQexec(admin, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(admin));
    PQclear(result);
    PQfinish(admin);
}

static void test_found_again(void **state) {
    (void)state;
    story_found_again("postgresql://?schema=found_again&partitions=4");
}

static void test_nodes_share(void **state) {
    (void)state;
    story_nodes_share("postgresql://?schema=shared&partitions=6");
}

static void hang(void) {
    say("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    say("SELECT pg_reload_conf()");
}

static void answer(void) {
    say("ALTER SYSTEM RESET synchronous_standby_names");
    say("SELECT pg_reload_conf()");
}

static void test_store_hangs(void **state) {
    (void)state;
    story_go_and_come_back("postgresql://?timeout_ms=1000&partitions=4&schema=hangs", hang, answer);
}

static void refuse_writes(void) {
    say("ALTER SYSTEM SET default_transaction_read_only = on");
    say("SELECT pg_reload_conf()");
}

static void take_writes(void) {
    say("ALTER SYSTEM RESET default_transaction_read_only");
    say("SELECT pg_reload_conf()");
}

static void test_store_refuses(void **state) {
    (void)state;
    story_go_and_come_back("postgresql://?timeout_ms=1000&partitions=4&schema=refuses",
                           refuse_writes, take_writes);
}

static void lose(void) {
    say("DELETE FROM restored.etx_log_slot WHERE slot > 2");
}

static void test_store_restored(void **state) {
    (void)state;
    story_restored("postgresql://?schema=restored&partitions=1", lose);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again),    cmocka_unit_test(test_nodes_share),
        cmocka_unit_test(test_store_restored), cmocka_unit_test(test_store_hangs),
        cmocka_unit_test(test_store_refuses),
    };
    return cmocka_run_group_tests_name("log_postgresql_engine", tests, NULL, NULL);
}
