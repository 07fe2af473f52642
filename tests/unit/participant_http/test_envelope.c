/* The envelope of a branch: what is written reads back the same, and nothing else is read. */
#include "cmocka_http.h"

#include <stdlib.h>
#include <string.h>

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const char *const headers[] = {"Authorization: Bearer secret", "X-Tenant:  a b ",
                                      "X-Empty:"};

static etx_http_branch whole(void) {
    return (etx_http_branch){.size = sizeof(etx_http_branch),
                             .forward_url = "http://stock/try?x=1",
                             .commit_url = "https://stock:8443/confirm",
                             .undo_url = "http://[::1]:9/cancel",
                             .content_type = "text/plain; charset=utf-8",
                             .headers = headers,
                             .header_count = 3,
                             .traceparent = TRACE,
                             .payload = {"\0a\xff", 3},
                             .wants_results = 1};
}

static void test_round(void **state) {
    const char *room[ETX_HTTP_HEADERS_MAX];
    etx_http_branch branch = whole();
    etx_http_branch back;
    void *bytes;
    size_t len;
    char why[200];
    (void)state;
    assert_int_equal(etx_http_branch_write(&branch, &bytes, &len, why, sizeof why), 0);
    assert_int_equal(etx_http_branch_read(bytes, len, &back, room, sizeof room), 0);
    assert_string_equal(back.forward_url, branch.forward_url);
    assert_string_equal(back.commit_url, branch.commit_url);
    assert_string_equal(back.undo_url, branch.undo_url);
    assert_string_equal(back.content_type, branch.content_type);
    assert_string_equal(back.traceparent, TRACE);
    assert_int_equal(back.header_count, 3);
    assert_string_equal(back.headers[0], headers[0]);
    assert_string_equal(back.headers[1], "X-Tenant: a b");
    assert_string_equal(back.headers[2], "X-Empty: ");
    assert_int_equal(back.payload.len, 3);
    assert_memory_equal(back.payload.data, "\0a\xff", 3);
    assert_int_equal(back.wants_results, 1);
    /* a room that is too small is told */
    assert_int_equal(etx_http_branch_read(bytes, len, &back, room, sizeof(char *)), ETX_EBUSY);
    assert_int_equal(back.header_count, 3);
    assert_int_equal(etx_http_branch_read(bytes, len, &back, NULL, 0), ETX_EBUSY);
    free(bytes);
}

/* What a repeat is known by: as if there were no traceparent. */
static void test_content(void **state) {
    etx_http_branch branch = whole();
    unsigned char content[1000];
    void *bytes, *without;
    size_t len, without_len, content_len;
    (void)state;
    for (int i = 0; i < 2; i++) {
        branch.traceparent = TRACE;
        assert_int_equal(etx_http_branch_write(&branch, &bytes, &len, NULL, 0), 0);
        branch.traceparent = NULL;
        assert_int_equal(etx_http_branch_write(&branch, &without, &without_len, NULL, 0), 0);
        assert_int_equal(etx_http_content(bytes, len, content, &content_len), 0);
        assert_int_equal(content_len, without_len);
        assert_memory_equal(content, without, without_len);
        assert_int_equal(etx_http_content(without, without_len, content, &content_len), 0);
        assert_int_equal(content_len, without_len);
        assert_memory_equal(content, without, without_len);
        for (size_t cut = 0; cut < len - branch.payload.len && i == 1; cut++) {
            char *copy = malloc(cut + 1); /* so that valgrind sees what is read beyond */
            memcpy(copy, bytes, cut);
            assert_int_equal(etx_http_content(copy, cut, content, &content_len), ETX_EINVALID);
            free(copy);
        }
        free(bytes);
        free(without);
        branch = (etx_http_branch){.size = sizeof branch, .undo_url = "http://stock/c"};
    }
    assert_int_equal(etx_http_content("{\"a\":1}", 7, content, &content_len), ETX_EINVALID);
}

/* Every prefix that ends before the payload, and every flip of the frame's first bytes. */
static void test_damaged(void **state) {
    const char *room[ETX_HTTP_HEADERS_MAX];
    etx_http_branch branch = whole();
    etx_http_branch back;
    void *bytes;
    size_t len;
    (void)state;
    assert_int_equal(etx_http_branch_write(&branch, &bytes, &len, NULL, 0), 0);
    for (size_t cut = 0; cut < len - 3; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, bytes, cut);
        assert_int_equal(etx_http_branch_read(copy, cut, &back, room, sizeof room), ETX_EINVALID);
        free(copy);
    }
    unsigned char *first = bytes;
    first[0] ^= 3; /* another version */
    assert_int_equal(etx_http_branch_read(bytes, len, &back, room, sizeof room), ETX_EINVALID);
    first[0] ^= 3;
    first[1] |= 0x80; /* a flag that is none */
    assert_int_equal(etx_http_branch_read(bytes, len, &back, room, sizeof room), ETX_EINVALID);
    first[1] &= 0x7f;
    first[2]++; /* a length that is wrong */
    assert_int_equal(etx_http_branch_read(bytes, len, &back, room, sizeof room), ETX_EINVALID);
    free(bytes);
    /* a longer varint than is needed */
    assert_int_equal(etx_http_branch_read("\x81\x08\x81\x00z\0", 6, &back, room, sizeof room),
                     ETX_EINVALID);
    assert_int_equal(etx_http_branch_read("\x81\x08\x01z\0", 5, &back, room, sizeof room), 0);
    assert_int_equal(back.payload.len, 0);
    assert_int_equal(etx_http_branch_read("\x81\x20\x00", 3, &back, room, sizeof room),
                     ETX_EINVALID);
    assert_int_equal(etx_http_branch_read("{\"a\":1}", 7, &back, room, sizeof room), ETX_EINVALID);
    assert_int_equal(etx_http_branch_read(NULL, 0, &back, room, sizeof room), ETX_EINVALID);
}

static void refused(const etx_http_branch *branch, const char *with) {
    void *bytes = NULL;
    size_t len = 0;
    char why[200] = "";
    assert_int_equal(etx_http_branch_write(branch, &bytes, &len, why, sizeof why), ETX_EINVALID);
    if (strstr(why, with) == NULL) {
        fail_msg("\"%s\" wanted in \"%s\"", with, why);
    }
    assert_null(bytes);
}

static void test_urls_refused(void **state) {
    static const struct {
        const char *url, *why;
    } urls[] = {{"http://me:secret@stock/", "user name"},
                {"ftp://stock/", "begins with"},
                {"stock/try", "begins with"},
                {"grpc://stock:1/", "begins with"},
                {"http://0177.0.0.1/", "four decimal"},
                {"http://2130706433/", "four decimal"},
                {"http://0x7f.1/", "four decimal"},
                {"http://a b/", "character"},
                {"http://stock/a b", "encoded"},
                {"http://stock:0/", "port"},
                {"", "begins with"}};
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        etx_http_branch branch = {.size = sizeof branch, .undo_url = urls[i].url};
        refused(&branch, urls[i].why);
    }
}

static void test_headers_refused(void **state) {
    static const struct {
        const char *line, *why;
    } lines[] = {{"no colon", "Name: value"},
                 {": x", "character that none has"},
                 {"a b: x", "character that none has"},
                 {"X-A : x", "character that none has"},
                 {"X-A: a\r\nX-B: b", "control"},
                 {"X-A: a\x7f", "control"},
                 {"Host: a", "ETX's own"},
                 {"content-length: 1", "ETX's own"},
                 {"Transfer-Encoding: chunked", "ETX's own"},
                 {"Etx-Gid: other", "ETX's own"},
                 {"IDEMPOTENCY-KEY: x", "ETX's own"},
                 {"Signature: x", "ETX's own"},
                 {"traceparent: x", "ETX's own"}};
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        etx_http_branch branch = {
            .size = sizeof branch, .headers = &lines[i].line, .header_count = 1};
        refused(&branch, lines[i].why);
    }
}

static void test_others_refused(void **state) {
    const char *many[ETX_HTTP_HEADERS_MAX + 1];
    etx_http_branch branch = {.size = sizeof branch, .traceparent = "00-00-00-00"};
    void *bytes;
    size_t len;
    (void)state;
    refused(&branch, "traceparent");
    branch = (etx_http_branch){.size = sizeof branch, .content_type = "a\nb"};
    refused(&branch, "content type");
    branch = (etx_http_branch){.size = sizeof branch, .content_type = ""};
    refused(&branch, "content type");
    branch = (etx_http_branch){.size = 1};
    refused(&branch, "size");
    for (size_t i = 0; i <= ETX_HTTP_HEADERS_MAX; i++) {
        many[i] = "X-A: b";
    }
    branch = (etx_http_branch){
        .size = sizeof branch, .headers = many, .header_count = ETX_HTTP_HEADERS_MAX + 1};
    refused(&branch, "too many");
    branch.header_count--;
    assert_int_equal(etx_http_branch_write(&branch, &bytes, &len, NULL, 0), 0);
    free(bytes);
    assert_int_equal(etx_http_initiator_write(NULL, NULL, 0, NULL, &bytes, &len, NULL, 0),
                     ETX_EINVALID);
    assert_int_equal(
        etx_http_initiator_write("http://shop/query", many, 2, TRACE, &bytes, &len, NULL, 0), 0);
    etx_http_branch back;
    assert_int_equal(etx_http_branch_read(bytes, len, &back, many, sizeof many), 0);
    assert_string_equal(back.forward_url, "http://shop/query");
    assert_null(back.commit_url);
    assert_int_equal(back.header_count, 2);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),           cmocka_unit_test(test_content),
        cmocka_unit_test(test_damaged),         cmocka_unit_test(test_urls_refused),
        cmocka_unit_test(test_headers_refused), cmocka_unit_test(test_others_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
