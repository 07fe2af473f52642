/* Gids and names: which bytes they may have, and the gid of a nested transaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <etx/types.h>

/* Each byte value, at each place, in each length: only printable ones pass. */
static void test_every_byte(void **state) {
    (void)state;
    for (size_t len = 1; len <= 40; len++) {
        unsigned char *gid = malloc(len); /* of this size, for a sanitizer */
        assert_non_null(gid);
        memset(gid, 'x', len);
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                gid[at] = (unsigned char)byte;
                int wanted = byte >= '!' && byte <= '~' ? 0 : ETX_EINVALID;
                assert_int_equal(etx_gid_check(gid, len), wanted);
                assert_int_equal(etx_name_check(gid, len), wanted);
            }
            gid[at] = at % 2 ? '!' : '~';
        }
        free(gid);
    }
}

static void test_length(void **state) {
    (void)state;
    char gid[ETX_GID_MAX + 1];
    memset(gid, '~', sizeof gid);
    assert_int_equal(etx_gid_check(gid, 0), ETX_EINVALID);
    assert_int_equal(etx_gid_check(NULL, 0), ETX_EINVALID);
    assert_int_equal(etx_gid_check(NULL, 5), ETX_EINVALID);
    assert_int_equal(etx_gid_check(NULL, 12), ETX_EINVALID);
    assert_int_equal(etx_name_check(NULL, 5), ETX_EINVALID);
    assert_int_equal(etx_gid_check(gid, ETX_GID_MAX), 0);
    assert_int_equal(etx_gid_check(gid, ETX_GID_MAX + 1), ETX_EINVALID);
    assert_int_equal(etx_gid_check(gid, SIZE_MAX), ETX_EINVALID);
    assert_int_equal(etx_name_check(gid, 0), ETX_EINVALID);
    assert_int_equal(etx_name_check(gid, ETX_NAME_MAX), 0);
    assert_int_equal(etx_name_check(gid, ETX_NAME_MAX + 1), ETX_EINVALID);
}

static const char *child_of(const char *parent, const char *branch, char *buffer) {
    assert_int_equal(etx_gid_child(parent, branch, buffer), 0);
    assert_int_equal(etx_gid_check(buffer, strlen(buffer)), 0);
    return buffer;
}

static void test_child(void **state) {
    (void)state;
    char a[ETX_GID_MAX + 1];
    assert_string_equal(child_of("order-7", "pay", a), "order-7/pay");
    assert_string_equal(child_of("order-7/pay", "bank", a), "order-7/pay/bank");
    /* These are in logs and in other services' fences: they never change. */
    assert_string_equal(child_of("@fabc123:order-7", "pay", a),
                        "~1ae2ad29df2d2010d24ee3c6b1585e33");
    assert_string_equal(child_of("order-7", "pay/bank", a), "~a7ce0b0824b85adb97b34729fa14a866");
}

static void test_child_of_long_names(void **state) {
    (void)state;
    char parent[ETX_GID_MAX + 1];
    char a[ETX_GID_MAX + 1], b[ETX_GID_MAX + 1];
    for (size_t len = 1; len <= ETX_GID_MAX; len++) {
        memset(parent, 'p', len);
        parent[len] = '\0';
        child_of(parent, "branch", a);
        assert_int_equal(a[0], len + 7 <= ETX_GID_MAX ? 'p' : '~');
        assert_string_equal(child_of(parent, "branch", b), a); /* the same each time */
        parent[len - 1] = 'q';
        assert_string_not_equal(child_of(parent, "branch", b), a);
        parent[len - 1] = 'p';
        assert_string_not_equal(child_of(parent, "branchy", b), a);
    }
}

/* No two pairs share a child, wherever the slashes are; and no child inherits its parent's home. */
static void test_child_is_unique(void **state) {
    (void)state;
    static const char *const words[] = {"a",  "b", "a/b", "b/a", "a/",
                                        "/b", "/", "@a",  "~a",  "a/b/a"};
    enum { COUNT = sizeof words / sizeof words[0] };
    char children[COUNT * COUNT][ETX_GID_MAX + 1];
    for (unsigned i = 0; i < COUNT * COUNT; i++) {
        child_of(words[i / COUNT], words[i % COUNT], children[i]);
        assert_int_not_equal(children[i][0], '@');
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(children[i], children[k]);
        }
    }
}

static void test_child_refused(void **state) {
    (void)state;
    char a[ETX_GID_MAX + 1] = "untouched";
    char name[ETX_GID_MAX + 2];
    assert_int_equal(etx_gid_child("", "b", a), ETX_EINVALID);
    assert_int_equal(etx_gid_child("a", "", a), ETX_EINVALID);
    assert_int_equal(etx_gid_child(NULL, "b", a), ETX_EINVALID);
    assert_int_equal(etx_gid_child("a", NULL, a), ETX_EINVALID);
    assert_int_equal(etx_gid_child("a b", "b", a), ETX_EINVALID);
    assert_int_equal(etx_gid_child("a", "b\n", a), ETX_EINVALID);
    memset(name, 'x', sizeof name);
    name[ETX_GID_MAX + 1] = '\0';
    assert_int_equal(etx_gid_child(name, "b", a), ETX_EINVALID);
    name[ETX_NAME_MAX + 1] = '\0';
    assert_int_equal(etx_gid_child("a", name, a), ETX_EINVALID);
    assert_string_equal(a, "untouched");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),      cmocka_unit_test(test_length),
        cmocka_unit_test(test_child),           cmocka_unit_test(test_child_of_long_names),
        cmocka_unit_test(test_child_is_unique), cmocka_unit_test(test_child_refused),
    };
    return cmocka_run_group_tests_name("gid", tests, NULL, NULL);
}
