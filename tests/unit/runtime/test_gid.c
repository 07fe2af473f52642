/* Gids made by ETX: unique by construction, in the order of time, and read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../../src/runtime/runtime.h"

typedef struct made {
    uint64_t ms;
    const char *home;
    uint32_t partition;
    uint64_t nonce, counter;
} made;

/* No two of these have all of home, partition, nonce and counter in common. */
static const made makes[] = {
    {1000, "fabcdef", 0, 77, 0},
    {1000, "fabcdef", 0, 77, 1},
    {1000, "fabcdef", 0, 78, 0},
    {1000, "fabcdef", 1, 77, 0},
    {1000, "fabcdeg", 0, 77, 0},
    {1000, "fabcdef", 0, 77, (1ull << 20) - 1},
    {1000, "fabcdef", 0, 77, 1ull << 20},
    {1000, "fabcdef", 0, 77, (1ull << 20) + 1},
    {1000, "fabcdef", 0, 77, (1ull << 35) - 1},
    {1000, "fabcdef", 0, 77, 1ull << 35},
    {1000, "fabcdef", 0, 77, UINT64_MAX},
    {1000, "fabcdef", 4095, 1ull << 39, 5},
};
enum { MAKES = sizeof makes / sizeof makes[0] };

static size_t make(char gid[ETX_GID_MAX + 1], const made *from) {
    size_t len =
        etx__gid_make(gid, from->ms, from->home, from->partition, from->nonce, from->counter);
    assert_int_equal(len, strlen(gid));
    assert_int_equal(etx_gid_check(gid, len), 0);
    return len;
}

static void test_made_gids_are_unique(void **state) {
    (void)state;
    char gid[MAKES][ETX_GID_MAX + 1];
    for (unsigned i = 0; i < MAKES; i++) {
        make(gid[i], &makes[i]);
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(gid[i], gid[k]);
        }
    }
}

static void test_made_gids_are_read_back(void **state) {
    (void)state;
    for (unsigned i = 0; i < MAKES; i++) {
        char gid[ETX_GID_MAX + 1], home[ETX_HOME_ID_LEN + 1];
        uint32_t partition = 0;
        uint64_t ms = 0;
        size_t len = make(gid, &makes[i]);
        assert_int_equal(etx__gid_read((etx_bytes){gid, len}, home, &partition, &ms), 1);
        assert_string_equal(home, makes[i].home);
        assert_int_equal(partition, makes[i].partition);
        assert_int_equal(ms, 1000);
        char later[ETX_GID_MAX + 1];
        made next = makes[i];
        next.ms++;
        make(later, &next);
        assert_true(strcmp(gid, later) < 0);
    }
}

/* What only looks like one belongs to whoever chose it. */
static void test_others_are_not_made(void **state) {
    (void)state;
    char gid[ETX_GID_MAX + 1], home[ETX_HOME_ID_LEN + 1];
    uint32_t partition;
    uint64_t ms;
    size_t len = make(gid, &makes[0]);
    for (size_t at = 0; at < len; at++) {
        char kept = gid[at];
        gid[at] = '!'; /* no digit, no dash */
        int in_home = at > 10 && at <= 10 + ETX_HOME_ID_LEN;
        assert_int_equal(etx__gid_read((etx_bytes){gid, len}, home, &partition, &ms), in_home);
        gid[at] = kept;
    }
    for (size_t less = 0; less < len; less++) {
        assert_int_equal(etx__gid_read((etx_bytes){gid, less}, home, &partition, &ms), 0);
    }
    static const char *const prefixed[] = {"@fabcdef:x", "@fabcdef:order 7"};
    for (unsigned i = 0; i < 2; i++) {
        etx_bytes name = {prefixed[i], strlen(prefixed[i])};
        assert_int_equal(etx__gid_read(name, home, &partition, &ms), 2);
        assert_string_equal(home, "fabcdef");
    }
    static const char *const others[] = {"@fabcdef:", "@fabcdef-x", "fabcdef:xyz", "order-7", ""};
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        etx_bytes name = {others[i], strlen(others[i])};
        assert_int_equal(etx__gid_read(name, home, &partition, &ms), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_gids_are_unique),
        cmocka_unit_test(test_made_gids_are_read_back),
        cmocka_unit_test(test_others_are_not_made),
    };
    return cmocka_run_group_tests_name("runtime gid", tests, NULL, NULL);
}
