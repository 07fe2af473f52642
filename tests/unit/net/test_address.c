/* Socket addresses as text, and back. */
#include "../../../net/address.h"
#include "../../../net/error.h"
#include "cmocka_net.h"

#include <string.h>

static void expect(const char *text, const char *wanted, int loopback) {
    net_address address;
    char told[NET_ADDRESS_TEXT_MAX];
    assert_int_equal(net_address_parse(text, &address), 0);
    assert_string_equal(net_address_text(&address, told, sizeof told), wanted);
    assert_int_equal(net_address_is_loopback(&address), loopback);
}

static void test_text(void **state) {
    (void)state;
    expect("127.0.0.1:80", "127.0.0.1:80", 1);
    expect("127.9.0.1:0", "127.9.0.1:0", 1);
    expect("0.0.0.0:80", "0.0.0.0:80", 0);
    expect("[::1]:65535", "[::1]:65535", 1);
    expect("*:1", "[::]:1", 0);
    expect("unix:/run/x.sock", "unix:/run/x.sock", 1);
    expect("unix:@name", "unix:@name", 1);
}

static void test_refused(void **state) {
    static const char *const bad[] = {"",          "80",         "localhost:80", "127.0.0.1",
                                      "127.1:80",  "127.0.0.1:", "127.0.0.1:x",  "127.0.0.1:65536",
                                      "::1:80",    "[::1]80",    "[::1]",        "[127.0.0.1]:80",
                                      "[::1%1]:0", "unix:",      "[::1:80",      ":80"};
    net_address address;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(net_address_parse(bad[i], &address), NET_EINVALID);
    }
}

static void test_mapped(void **state) {
    net_address mapped;
    net_address taken;
    char told[NET_ADDRESS_TEXT_MAX];
    (void)state;
    assert_int_equal(net_address_parse("[::ffff:169.254.169.254]:80", &mapped), 0);
    assert_int_equal(net_address_take(&mapped.at.any, mapped.len, &taken), 0);
    assert_string_equal(net_address_text(&taken, told, sizeof told), "169.254.169.254:80");
    assert_int_equal(net_address_take(&mapped.at.any, 1, &taken), NET_EINVALID);
    mapped.at.any.sa_family = AF_PACKET;
    assert_int_equal(net_address_take(&mapped.at.any, mapped.len, &taken), NET_EINVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
