/* URLs: what is taken, in which one form, and what is refused. */
#include "../../../net/error.h"
#include "../../../net/url.h"
#include "cmocka_net.h"

#include <stdio.h>
#include <string.h>

static void expect(const char *text, const char *wanted) {
    net_url url;
    const char *reason = NULL;
    char told[600];
    char authority[NET_AUTHORITY_TEXT_MAX];
    int rc = net_url_parse(text, strlen(text), &url, &reason);
    if (rc != 0) {
        assert_int_equal(rc, NET_EINVALID);
        assert_non_null(reason);
        snprintf(told, sizeof told, "refused");
    } else {
        net_url_authority(&url, authority, sizeof authority);
        snprintf(told, sizeof told, "%s %s %d %s%.*s", url.tls ? "https" : "http", authority,
                 (int)url.kind, url.slash ? "/" : "", (int)url.target_len, url.target);
    }
    if (strcmp(told, wanted) != 0) {
        fail_msg("%s: \"%s\" instead of \"%s\" (%s)", text, told, wanted, reason ? reason : "");
    }
}

static void test_taken(void **state) {
    (void)state;
    expect("http://a", "http a 0 /");
    expect("HTTPS://Shop.Example.:443/X", "https shop.example 0 /X");
    expect("http://a:8080/b/c?d=%20e&f", "http a:8080 0 /b/c?d=%20e&f");
    expect("http://a?q", "http a 0 /?q");
    expect("http://a/b#frag", "http a 0 /b");
    expect("http://a#frag", "http a 0 /");
    expect("http://a:443/", "http a:443 0 /");
    expect("http://127.0.0.1:1/", "http 127.0.0.1:1 1 /");
    expect("http://[::1]:80/", "http [::1] 2 /");
    expect("http://[2001:DB8:0:0::1]/", "http [2001:db8::1] 2 /");
    expect("http://[::ffff:127.0.0.1]/", "http 127.0.0.1 1 /");
    expect("http://[::FFFF:7f00:1]/", "http 127.0.0.1 1 /");
    expect("http://a_b-c.d1/", "http a_b-c.d1 0 /");
    expect("http://1a/", "http 1a 0 /");
}

static void test_refused(void **state) {
    static const char *const bad[] = {
        "",
        "a",
        "ftp://a/",
        "http:/a",
        "http//a",
        "http://",
        "http:///x",
        "http://?",
        "http://user@a/",
        "http://user:pw@a/",
        "http://a@b@c/",
        "http://a:b@[::1]/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://127.0.0.01/",
        "http://127.0.0.256/",
        "http://1.2.3.4.5/",
        "http://0x/",
        "http://a.0x10/",
        "http://a.1/",
        "http://a..b/",
        "http://.a/",
        "http://a../",
        "http://a b/",
        "http://a%41/",
        "http://\xc3\xa9/",
        "http://a,b/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[]/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[1.2.3.4]/",
        "http://::1/",
        "http://a:/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:+80/",
        "http://a:000080/",
        "http://a:8a/",
        "http://a/ b",
        "http://a/\t",
        "http://a/\x01",
        "http://a/\x80",
        "http://a/%",
        "http://a/%4",
        "http://a/%zz",
        "http://a/<",
        "http://a\\b/",
        "http://a/\\",
        "http://a/{x}",
        " http://a/",
        "http://a/\r\nX: y",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect(bad[i], "refused");
    }
}

static void test_lengths(void **state) {
    char text[NET_URL_MAX + 2];
    net_url url;
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "http://", 7);
    text[7 + 64] = '/';
    assert_int_equal(net_url_parse(text, 100, &url, NULL), NET_EINVALID); /* a label of 64 */
    memmove(text + 70, "/", 1);
    assert_int_equal(net_url_parse(text, 100, &url, NULL), 0);
    assert_int_equal(net_url_parse(text, NET_URL_MAX, &url, NULL), 0);
    assert_int_equal(net_url_parse(text, NET_URL_MAX + 1, &url, NULL), NET_EINVALID);
    assert_int_equal(net_url_parse("http://a\0b/", 11, &url, NULL), NET_EINVALID);
    for (size_t i = 7; i < 7 + 254; i++) {
        text[i] = i % 2 ? 'a' : '.';
    }
    text[7 + 253] = '/';
    assert_int_equal(net_url_parse(text, 300, &url, NULL), 0);
    assert_int_equal(strlen(url.host), NET_HOST_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
