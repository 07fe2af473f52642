/* Signatures: the vector of RFC 9421, and the base that a call is signed over. */
#include "cmocka_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 9421, B.1.5 and B.2.5: "test-shared-secret". */
static const char shared_secret[] =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

static void test_vector(void **state) {
    unsigned char key[72];
    etx__http_text base = {0};
    etx__http_text signature = {0};
    (void)state;
    int len =
        EVP_DecodeBlock(key, (const unsigned char *)shared_secret, (int)strlen(shared_secret));
    assert_int_equal(len, 66); /* the padding's two zeros included */
    etx__http_add_text(&base,
                       "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n"
                       "\"@authority\": example.com\n"
                       "\"content-type\": application/json\n"
                       "\"@signature-params\": (\"date\" \"@authority\" \"content-type\")"
                       ";created=1618884473;keyid=\"test-shared-secret\"");
    assert_int_equal(etx__http_sign_base(EVP_sha256(), key, 64, &base, &signature), 0);
    assert_string_equal(signature.bytes, "sig=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
    free(base.bytes);
    free(signature.bytes);
}

/* The digest of RFC 9530, B.1 and others: {"hello": "world"} and a line feed. */
static void test_call(void **state) {
    static const char body[] = "{\"hello\": \"world\"}\n";
    static const char params[] =
        "(\"@method\" \"@target-uri\" \"content-digest\" \"etx-gid\" \"etx-branch\" "
        "\"etx-operation\" \"etx-begin\");created=1618884473;keyid=\"k1\";alg=\"hmac-sha256\"";
    unsigned char key[32] = "0123456789abcdef0123456789abcde";
    etx__http_config config = {.key_id = (char *)"k1", .key = key, .key_len = sizeof key};
    etx__http_text digest = {0};
    etx__http_text input = {0};
    etx__http_text signature = {0};
    etx__http_text base = {0};
    etx__http_text wanted = {0};
    net_url url;
    (void)state;
    const char *text = "https://Stock.Example:443?a=b#part";
    assert_int_equal(net_url_parse(text, strlen(text), &url, NULL), 0);
    const etx__http_signed what = {.method = "POST",
                                   .gid = "g-1",
                                   .branch = "stock",
                                   .operation = "try",
                                   .begin = "1618884473000",
                                   .url = &url,
                                   .body = body,
                                   .body_len = sizeof body - 1,
                                   .created = 1618884473};
    assert_int_equal(etx__http_sign(EVP_sha256(), &config, &what, &digest, &input, &signature), 0);
    assert_string_equal(digest.bytes, "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
    assert_memory_equal(input.bytes, "sig=", 4);
    assert_string_equal(input.bytes + 4, params);
    etx__http_add_text(&base,
                       "\"@method\": POST\n"
                       "\"@target-uri\": https://stock.example/?a=b\n"
                       "\"content-digest\": ");
    etx__http_add_text(&base, digest.bytes);
    etx__http_add_text(&base,
                       "\n\"etx-gid\": g-1\n\"etx-branch\": stock\n\"etx-operation\": try\n"
                       "\"etx-begin\": 1618884473000\n"
                       "\"@signature-params\": ");
    etx__http_add_text(&base, params);
    assert_int_equal(etx__http_sign_base(EVP_sha256(), key, sizeof key, &base, &wanted), 0);
    assert_string_equal(signature.bytes, wanted.bytes);
    free(digest.bytes);
    free(input.bytes);
    free(signature.bytes);
    free(base.bytes);
    free(wanted.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
