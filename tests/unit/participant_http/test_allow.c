/* The list of targets: patterns that are none, URLs and addresses that are let pass or not. */
#include "cmocka_http.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void test_patterns_refused(void **state) {
    static const char *const patterns[] = {"",
                                           "stock",
                                           "stock:80",
                                           "ftp://stock:80",
                                           "http://stock",
                                           "http://stock:",
                                           "http://stock:0",
                                           "http://stock:65536",
                                           "http://stock:080",
                                           "http://stock:http",
                                           "http://:80",
                                           "http://*:80",
                                           "http://*.*.a:80",
                                           "http://a.*:80",
                                           "http://*.:80",
                                           "http://*.10.0.0.1:80",
                                           "http://me@stock:80",
                                           "http://10.0.0.0/33:80",
                                           "http://10.0.0.0/:80",
                                           "http://10.0.0.0/08:80",
                                           "http://10.0.0.1/8:80",
                                           "http://stock/8:80",
                                           "http://0177.0.0.1:80",
                                           "http://2130706433:80",
                                           "http://0x7f000001:80",
                                           "http://127.1:80",
                                           "http://[::1]",
                                           "http://[::1:80",
                                           "http://[fd00::/129]:80",
                                           "http://[fd00::1/8]:80",
                                           "http://[fe80::1%25eth0]:80",
                                           "http://[::ffff:10.0.0.0/104]:80",
                                           "http://stock:80/path",
                                           "http://a b:80",
                                           "http://::1:80"};
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        etx__http_allow allow = {0};
        char why[300] = "";
        if (etx__http_allow_read(&allow, &patterns[i], 1, why, sizeof why) != ETX_EINVALID ||
            why[0] == '\0') {
            fail_msg("%s was taken: %s", patterns[i], why);
        }
    }
}

/* What one pattern says of one URL: 0, ETX_ESTATE, ETX_EINVALID. */
static const struct {
    const char *pattern, *url;
    int rc;
} urls[] = {
    {"http://stock:80", "http://stock/x", 0},
    {"http://stock:80", "HTTP://STOCK:80", 0},
    {"http://STOCK:80", "http://stock.:80/", 0},
    {"http://stock:80", "https://stock:80/", ETX_ESTATE},
    {"http://stock:80", "grpc://stock:80", ETX_ESTATE},
    {"http://stock:80", "http://stock:81/", ETX_ESTATE},
    {"http://stock:80", "http://stock.evil:80/", ETX_ESTATE},
    {"http://stock:80", "http://evil/#http://stock:80", ETX_ESTATE},
    {"http://stock:80", "http://stock:80@evil/", ETX_EINVALID},
    {"http://stock:80", "http://stock\\@evil/", ETX_EINVALID},
    {"http://stock:*", "http://stock:65535/", 0},
    {"grpc://stock:*", "grpc://stock:50051", 0},
    {"grpcs://stock:50051", "grpcs://stock:50051", 0},
    {"grpc://stock:*", "grpc://stock", ETX_EINVALID},
    {"grpc://stock:*", "grpc://me@stock:1", ETX_EINVALID},
    {"https://*.shop.example:443", "https://stock.shop.example/", 0},
    {"https://*.shop.example:443", "https://a.b.shop.example/", 0},
    {"https://*.shop.example:443", "https://shop.example/", ETX_ESTATE},
    {"https://*.shop.example:443", "https://evilshop.example/", ETX_ESTATE},
    {"https://*.shop.example:443", "https://.shop.example/", ETX_EINVALID},
    {"http://127.0.0.1:*", "http://127.0.0.1:8080/", 0},
    {"http://127.0.0.1:*", "http://127.0.0.2:8080/", ETX_ESTATE},
    {"http://127.0.0.1:*", "http://[::ffff:127.0.0.1]:8080/", 0},
    {"http://127.0.0.1:*", "http://[::ffff:7f00:1]:8080/", 0},
    {"http://[::ffff:127.0.0.1]:*", "http://127.0.0.1:8080/", 0},
    {"http://127.0.0.1:*", "http://0177.0.0.1/", ETX_EINVALID},
    {"http://127.0.0.1:*", "http://0x7f.0.0.1/", ETX_EINVALID},
    {"http://127.0.0.1:*", "http://2130706433/", ETX_EINVALID},
    {"http://127.0.0.1:*", "http://127.1/", ETX_EINVALID},
    {"http://127.0.0.1:*", "http://0.0.0.0/", ETX_ESTATE},
    {"http://0.0.0.0/0:*", "http://0.0.0.0/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[::]/", ETX_ESTATE},
    {"http://0.0.0.0/0:*", "http://10.1.2.3/", 0},
    {"http://0.0.0.0/0:*", "http://127.0.0.1/", 0},
    {"http://0.0.0.0/0:*", "http://169.254.169.254/", ETX_ESTATE},
    {"http://169.254.0.0/16:*", "http://169.254.169.254/", ETX_ESTATE},
    {"http://169.254.169.254:80", "http://169.254.169.254/", 0},
    {"http://169.254.169.254/32:80", "http://169.254.169.254/", 0},
    {"http://0.0.0.0/0:*", "http://[::ffff:169.254.169.254]/", ETX_ESTATE},
    {"http://0.0.0.0/0:*", "http://100.100.100.200/", ETX_ESTATE},
    {"http://0.0.0.0/0:*", "http://224.0.0.1/", ETX_ESTATE},
    {"http://0.0.0.0/0:*", "http://255.255.255.255/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[fe80::1]/", ETX_ESTATE},
    {"http://[fe80::1]:*", "http://[fe80::1]/", 0},
    {"http://[::/0]:*", "http://[fd00:ec2::254]/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[ff02::1]/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[64:ff9b::a9fe:a9fe]/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[64:ff9b::a01:203]/", 0},
    {"http://[::/0]:*", "http://[64:ff9b:1::a9fe:a9fe]/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[64:ff9b:1:a9fe:a9:fe00::]/", ETX_ESTATE},
    {"http://[64:ff9b:1::a01:203]:*", "http://[64:ff9b:1::a01:203]/", 0},
    {"http://[::/0]:*", "http://[64:ff9b:2::a9fe:a9fe]/", 0},
    {"http://[::/0]:*", "http://[::ffff:0:169.254.169.254]/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[::ffff:0:10.1.2.3]/", 0},
    {"http://[::/0]:*", "http://[2001:0:a01:203::5601:5601]/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[2001:1::5601:5601]/", 0},
    {"http://[::/0]:*", "http://[2002:a9fe:a9fe::1]/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[::127.0.0.1]/", ETX_ESTATE},
    {"http://[::/0]:*", "http://[::1]/", 0},
    {"http://[::/0]:*", "http://[2001:db8::1]/", 0},
    {"http://[fd00::/8]:8080", "http://[fd12::1]:8080/", 0},
    {"http://[fd00::/8]:8080", "http://[fc12::1]:8080/", ETX_ESTATE},
    {"http://10.0.0.0/12:*", "http://10.15.255.255/", 0},
    {"http://10.0.0.0/12:*", "http://10.16.0.0/", ETX_ESTATE},
    /* a name that patterns of names do not know: its address will be judged */
    {"http://10.0.0.0/8:*", "http://anything/", 0},
    {"http://10.0.0.0/8:80", "http://anything:81/", ETX_ESTATE},
};

static void test_urls(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        etx__http_allow allow = {0};
        etx__http_scheme scheme;
        net_url url;
        char why[300] = "";
        if (etx__http_allow_read(&allow, &urls[i].pattern, 1, why, sizeof why) != 0) {
            fail_msg("%s", why);
        }
        int rc = etx__http_url(urls[i].url, &url, &scheme, why, sizeof why);
        rc = rc != 0 ? rc : etx__http_allow_url(&allow, &url, scheme, 0, why, sizeof why);
        if (rc != urls[i].rc || (rc != 0 && why[0] == '\0')) {
            fail_msg("%s by %s: %d, %d wanted: %s", urls[i].url, urls[i].pattern, rc, urls[i].rc,
                     why);
        }
        free(allow.pattern);
    }
}

/* What a name's URL may be connected to. */
static const struct {
    const char *pattern, *url, *address;
    int allowed;
} addresses[] = {
    {"http://stock:*", "http://stock/", "10.0.0.1", 1},
    {"http://stock:*", "http://stock/", "127.0.0.1", 1},
    {"http://stock:*", "http://stock/", "::1", 1},
    {"http://stock:*", "http://stock/", "169.254.169.254", 0},
    {"http://stock:*", "http://stock/", "fe80::1", 0},
    {"http://stock:*", "http://stock/", "0.0.0.0", 0},
    {"http://stock:*", "http://other/", "10.0.0.1", 0},
    {"http://*.shop:*", "http://stock.shop/", "10.0.0.1", 1},
    {"http://*.shop:*", "http://stock.shop/", "127.0.0.1", 0},
    {"http://*.shop:*", "http://stock.shop/", "::1", 0},
    {"http://*.shop:*", "http://stock.shop/", "::ffff:127.0.0.1", 0},
    {"http://*.shop:*", "http://stock.shop/", "64:ff9b::7f00:1", 0},
    {"http://stock:*", "http://stock/", "64:ff9b:1::a01:203", 0},
    {"http://stock:*", "http://stock/", "::ffff:0:7f00:1", 0},
    {"http://stock:*", "http://stock/", "2001:0:a01:203::5601:5601", 0},
    {"http://stock:*", "http://stock/", "2001:db8::1", 1},
    {"http://10.0.0.0/8:*", "http://anything/", "10.9.9.9", 1},
    {"http://10.0.0.0/8:*", "http://anything/", "11.0.0.1", 0},
    {"http://127.0.0.0/8:*", "http://localhost/", "127.0.0.1", 1},
    {"http://10.0.0.0/8:80", "http://anything:81/", "10.9.9.9", 0},
    {"http://169.254.169.254:*", "http://metadata/", "169.254.169.254", 1},
    {"http://172.16.0.0/12:80", "http://anything/", "172.31.255.255", 1},
    {"http://172.16.0.0/12:80", "http://anything/", "172.32.0.0", 0},
};

static void test_addresses(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        etx__http_allow allow = {0};
        etx__http_scheme scheme;
        net_url url;
        uint8_t ip[16];
        int six = strchr(addresses[i].address, ':') != NULL;
        assert_int_equal(etx__http_allow_read(&allow, &addresses[i].pattern, 1, NULL, 0), 0);
        assert_int_equal(etx__http_url(addresses[i].url, &url, &scheme, NULL, 0), 0);
        assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, addresses[i].address, ip), 1);
        int allowed = etx__http_allow_address(&allow, &url, scheme, ip, six ? 16 : 4);
        if (allowed != addresses[i].allowed) {
            fail_msg("%s at %s by %s", addresses[i].url, addresses[i].address,
                     addresses[i].pattern);
        }
        free(allow.pattern);
    }
}

static void test_nothing_allowed(void **state) {
    etx_http_options options = {.size = sizeof options};
    etx_http *http;
    char why[300] = "";
    (void)state;
    assert_int_equal(etx_http_create(&options, &http, why, sizeof why), 0);
    assert_int_equal(etx_http_allowed(http, "http://127.0.0.1/", why, sizeof why), ETX_ESTATE);
    assert_non_null(strstr(why, "127.0.0.1 is not among"));
    const char *one = "http://127.0.0.1:*";
    options.allow = &one;
    options.allow_count = 1;
    assert_int_equal(etx_http_reload(http, &options, why, sizeof why), 0);
    assert_int_equal(etx_http_allowed(http, "http://127.0.0.1/", NULL, 0), 0);
    one = "http://";
    assert_int_equal(etx_http_reload(http, &options, why, sizeof why), ETX_EINVALID);
    assert_int_equal(etx_http_allowed(http, "http://127.0.0.1/", NULL, 0), 0);
    etx_http_free(http);
}

/* Names that only patterns of addresses may allow are let pass, or not. */
static void test_names_listed(void **state) {
    static const char *const patterns[] = {"http://127.0.0.0/8:*", "http://stock:*"};
    etx_http_options options = {.size = sizeof options, .allow = patterns, .allow_count = 2};
    etx_http *http;
    char why[300] = "";
    (void)state;
    assert_int_equal(etx_http_create(&options, &http, why, sizeof why), 0);
    assert_int_equal(etx_http_allowed(http, "http://other/", why, sizeof why), 0);
    options.names_listed = 1;
    assert_int_equal(etx_http_reload(http, &options, why, sizeof why), 0);
    assert_int_equal(etx_http_allowed(http, "http://other/", why, sizeof why), ETX_ESTATE);
    assert_non_null(strstr(why, "other is not among"));
    assert_int_equal(etx_http_allowed(http, "http://stock/", why, sizeof why), 0);
    assert_int_equal(etx_http_allowed(http, "http://127.0.0.1/", why, sizeof why), 0);
    etx_http_free(http);
}

static int admit(etx_http *http, const etx_http_branch *branch, const char **ret_url) {
    void *bytes = NULL;
    size_t len = 0;
    int rc = etx_http_branch_admit(http, branch, ret_url, &bytes, &len, NULL, 0);
    assert_int_equal(rc == 0, bytes != NULL);
    free(bytes);
    return rc;
}

/* What is written may be called, and the URL that may not is named. */
static void test_admitted(void **state) {
    static const char *const patterns[] = {"http://stock:*", "grpc://stock:*"};
    etx_http_options options = {.size = sizeof options, .allow = patterns, .allow_count = 2};
    etx_http_branch branch = {.size = sizeof branch,
                              .forward_url = "http://stock/a",
                              .commit_url = "http://stock/b",
                              .undo_url = "http://stock/c"};
    etx_http *http;
    const char *url;
    void *wrote = NULL, *admitted = NULL;
    size_t len = 0, admitted_len = 0;
    (void)state;
    assert_int_equal(etx_http_create(&options, &http, NULL, 0), 0);
    assert_int_equal(etx_http_branch_write(&branch, &wrote, &len, NULL, 0), 0);
    assert_int_equal(etx_http_branch_admit(http, &branch, &url, &admitted, &admitted_len, NULL, 0),
                     0);
    assert_null(url);
    assert_int_equal(admitted_len, len);
    assert_memory_equal(admitted, wrote, len);
    free(wrote);
    free(admitted);
    branch.undo_url = "http://other/c";
    assert_int_equal(admit(http, &branch, &url), ETX_ESTATE);
    assert_ptr_equal(url, branch.undo_url);
    branch.commit_url = "http://stock:0/b";
    assert_int_equal(admit(http, &branch, &url), ETX_EINVALID);
    assert_ptr_equal(url, branch.commit_url);
    branch.forward_url = "grpc://stock:1/a"; /* is allowed, and no URL of HTTP */
    assert_int_equal(admit(http, &branch, &url), ETX_EINVALID);
    assert_ptr_equal(url, branch.forward_url);
    branch.forward_url = NULL;
    branch.commit_url = branch.undo_url = "http://stock/b";
    branch.content_type = " ";
    assert_int_equal(admit(http, &branch, &url), ETX_EINVALID);
    assert_null(url);
    branch.size = 1;
    assert_int_equal(admit(http, &branch, &url), ETX_EINVALID);
    etx_http_free(http);
}

static void option_refused(const etx_http_options *options, int rc, const char *with) {
    etx_http *http = NULL;
    char why[300] = "";
    assert_int_equal(etx_http_create(options, &http, why, sizeof why), rc);
    if (strstr(why, with) == NULL) {
        fail_msg("\"%s\" wanted in \"%s\"", with, why);
    }
    assert_null(http);
}

static void test_options_refused(void **state) {
    const char *const header = "Etx-Gid: x";
    etx_http_options options = {.size = 3};
    (void)state;
    option_refused(&options, ETX_EINVALID, "size");
    options = (etx_http_options){.size = sizeof options, .sign_key_id = "a\"b"};
    option_refused(&options, ETX_EINVALID, "sign_key_id");
    options.sign_key_id = "a";
    option_refused(&options, ETX_EINVALID, "sign_key");
    options.sign_key = "short";
    options.sign_key_len = 5;
    option_refused(&options, ETX_EINVALID, "16 bytes");
    options = (etx_http_options){.size = sizeof options, .headers = &header, .header_count = 1};
    option_refused(&options, ETX_EINVALID, "ETX's own");
    options = (etx_http_options){.size = sizeof options, .certificate_file = "/none"};
    option_refused(&options, ETX_EINVALID, "key_file");
    options = (etx_http_options){.size = sizeof options, .ca_file = "/no/such/file.pem"};
    option_refused(&options, ETX_EIO, "/no/such/file.pem");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_refused), cmocka_unit_test(test_urls),
        cmocka_unit_test(test_addresses),        cmocka_unit_test(test_nothing_allowed),
        cmocka_unit_test(test_names_listed),     cmocka_unit_test(test_admitted),
        cmocka_unit_test(test_options_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
