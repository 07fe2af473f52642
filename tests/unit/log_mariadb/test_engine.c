/* An engine on a MariaDB log, which it finds as a module beside its library. Runs beside
 * scripts/with-mariadb --durable. */
#include "../../guest/store_story.h"

#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *sql) {
    MYSQL *admin = mysql_init(NULL);
    if (!mysql_real_connect(admin, NULL, "root", "", "etx", 0, getenv("MARIADB_SOCKET"), 0) ||
        mysql_query(admin, sql))
        fail_msg("%s: %s", sql, mysql_error(admin));
    mysql_close(admin);
}

static const char *url_of(char *to, size_t size, const char *options) {
    snprintf(to, size, "mariadb://etx@/etx?socket=%s&%s", getenv("MARIADB_SOCKET"), options);
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

static void test_mysql_is_refused(void **state) {
    etx_options options = host_options();
    etx_engine *engine = NULL;
    char message[512] = "";
    (void)state;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    assert_int_equal(etx_engine_home(engine, "mysql://u:secret@h/d"), ETX_EINVALID);
    etx_engine_message(engine, message, sizeof message);
    assert_non_null(strstr(message, "mariadb://"));
    assert_null(strstr(message, "secret"));
    etx_engine_free(engine);
}

static void signal_server(int number) {
    long pid = 0;
    FILE *file = fopen(getenv("MARIADB_PID_FILE"), "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pid), 1);
    fclose(file);
    assert_true(pid > 1);
    assert_int_equal(kill((pid_t)pid, number), 0);
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
    say("SET GLOBAL read_only = 1");
}

static void take_writes(void) {
    say("SET GLOBAL read_only = 0");
}

static void test_store_refuses(void **state) {
    char url[300];
    (void)state;
    story_go_and_come_back(url_of(url, sizeof url, "timeout_ms=1000&partitions=4&prefix=refuses"),
                           refuse_writes, take_writes);
}

static void lose(void) {
    say("DELETE FROM restored_log_slot WHERE slot > 2");
}

static void test_store_restored(void **state) {
    char url[300];
    (void)state;
    story_restored(url_of(url, sizeof url, "prefix=restored&partitions=1"), lose);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mysql_is_refused), cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_nodes_share),      cmocka_unit_test(test_store_restored),
        cmocka_unit_test(test_store_hangs),      cmocka_unit_test(test_store_refuses),
    };
    return cmocka_run_group_tests_name("log_mariadb_engine", tests, NULL, NULL);
}
