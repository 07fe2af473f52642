/* An engine on an etcd log, which it finds as a module beside its library. Runs beside
 * scripts/with-etcd. */
#include "../../guest/store_story.h"

#include <signal.h>
#include <stdlib.h>

/* The words of the URL's end; in `url`. */
static const char *url_of(char url[200], const char *end) {
    snprintf(url, 200, "etcd://%.100s/%.60s", getenv("ETX_ETCD"), end);
    return url;
}

static void test_found_again(void **state) {
    char url[200];
    (void)state;
    story_found_again(url_of(url, "found_again?partitions=4"));
}

static void test_nodes_share(void **state) {
    char url[200];
    (void)state;
    story_nodes_share(url_of(url, "shared?partitions=6"));
}

static void signal_etcd(int number) {
    char command[200];
    snprintf(command, sizeof command, "kill -%d $(cat $ETX_ETCD_DIR/0/pid)", number);
    assert_int_equal(system(command), 0);
}

static void hang(void) {
    signal_etcd(SIGSTOP);
}

static void answer(void) {
    signal_etcd(SIGCONT);
}

static void test_store_hangs(void **state) {
    char url[200];
    (void)state;
    story_go_and_come_back(url_of(url, "hangs?timeout_ms=1000&partitions=4"), hang, answer);
}

static void refuse_writes(void) {
    assert_int_equal(system("etcdctl user add root:admin >/dev/null &&"
                            " etcdctl user grant-role root root >/dev/null &&"
                            " etcdctl auth enable >/dev/null"),
                     0);
}

static void take_writes(void) {
    assert_int_equal(system("ETCDCTL_USER=root:admin etcdctl auth disable >/dev/null"), 0);
}

/* From one moment to the next it asks for a user. */
static void test_store_refuses(void **state) {
    char url[200];
    (void)state;
    story_go_and_come_back(url_of(url, "refuses?timeout_ms=1000&partitions=4"), refuse_writes,
                           take_writes);
}

static void lose_the_last(void) {
    assert_int_equal(system("etcdctl del lost/p/000/s/0000000000000003 lost/p/000/s0 >/dev/null"),
                     0);
}

/* A snapshot that is older than what was acknowledged, while the engine runs. */
static void test_store_restored(void **state) {
    char url[200];
    (void)state;
    story_restored(url_of(url, "lost?partitions=1"), lose_the_last);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again),    cmocka_unit_test(test_nodes_share),
        cmocka_unit_test(test_store_restored), cmocka_unit_test(test_store_hangs),
        cmocka_unit_test(test_store_refuses),
    };
    return cmocka_run_group_tests_name("log_etcd_engine", tests, NULL, NULL);
}
