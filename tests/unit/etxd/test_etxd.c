/* The parts of etxd that need no server: text, base64, tokens, settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../etxd/json.h"
#include "../../../etxd/log.h"
#include "../../../etxd/scratch.h"

/* ---- text */

static void json_of(const char *bytes, size_t len, const char *want) {
    etxd_text text = {0};
    etxd_text_json(&text, bytes, len);
    assert_string_equal(text.bytes, want);
    etxd_text_free(&text);
}

static void test_json_strings(void **state) {
    (void)state;
    json_of("", 0, "\"\"");
    json_of("a\"\\\n\t\x7f", 6, "\"a\\\"\\\\\\n\\u0009\\u007f\"");
    json_of("\0", 1, "\"\\u0000\"");
    json_of("\xc3\xa4\xf0\x9f\x98\x80", 6, "\"\xc3\xa4\xf0\x9f\x98\x80\"");
    /* what a terminal obeys: controls, marks of direction; and their neighbours */
    json_of("a\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", 9, "\"a\\u0080\\u009b\\u009f\xc2\xa0\"");
    json_of("\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\xa7", 12,
            "\"\xe2\x80\x8d\\u200e\\u200f\xe2\x80\xa7\"");
    json_of("\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xaf", 9, "\"\\u2028\\u202e\xe2\x80\xaf\"");
    json_of("\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", 12,
            "\"\xe2\x81\xa5\\u2066\\u2069\xe2\x81\xaa\"");
    json_of("\xd8\x9c\xef\xbb\xbf", 5, "\"\\u061c\\ufeff\"");
    /* a byte alone, longer than needed, a surrogate, beyond Unicode, cut off */
    json_of("\x80", 1, "\"\xef\xbf\xbd\"");
    json_of("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    json_of("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    json_of("\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    json_of("\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void test_members(void **state) {
    etxd_text text = {0};
    char moment[ETXD_MOMENT_MAX];
    (void)state;
    etxd_text_put(&text, "{");
    etxd_text_member(&text, "a", "x");
    etxd_text_member_number(&text, "b", UINT64_MAX);
    etxd_text_member_flag(&text, "c", 0);
    etxd_text_member_time(&text, "d", 0);
    etxd_text_put(&text, "}");
    assert_string_equal(text.bytes,
                        "{\"a\":\"x\",\"b\":18446744073709551615,\"c\":false,\"d\":null}");
    etxd_text_free(&text);
    assert_string_equal(etxd_moment(1767225600123, moment), "2026-01-01T00:00:00.123Z");
    assert_string_equal(etxd_moment(1709251199999, moment), "2024-02-29T23:59:59.999Z");
    assert_string_equal(etxd_moment(0, moment), "1970-01-01T00:00:00.000Z");
    assert_string_equal(etxd_moment(UINT64_MAX, moment), "9999-12-31T23:59:59.999Z");
}

/* Any byte, anywhere in a text that is looked at by eight at once, is written as it is alone. */
static void test_every_byte_of_a_string(void **state) {
    static const char plain[] = "abcdefgh ~!#[]jklmn";
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        for (size_t place = 0; place < sizeof plain - 1; place++) {
            char bytes[sizeof plain];
            char want[64];
            char alone = (char)byte;
            etxd_text text = {0};
            etxd_text_json(&text, &alone, 1);
            memcpy(bytes, plain, sizeof plain);
            bytes[place] = alone;
            snprintf(want, sizeof want, "\"%.*s%.*s%s\"", (int)place, plain, (int)text.len - 2,
                     text.bytes + 1, plain + place + 1);
            json_of(bytes, sizeof plain - 1, want);
            etxd_text_free(&text);
        }
    }
}

static void test_nearest(void **state) {
    static const char *const words[] = {"payload", "payload_base64", "kind", NULL};
    char large[200];
    (void)state;
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_string_equal(etxd_nearest("paylod", words), "payload");
    assert_string_equal(etxd_nearest("knid", words), "kind");
    assert_null(etxd_nearest("entirely", words));
    assert_null(etxd_nearest(large, words));
}

/* ---- lines of the log */

static size_t count_lines(const char *bytes, size_t len) {
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        count += bytes[i] == '\n';
    }
    return count;
}

/* What is kept is written by whole lines, in their order, in pieces that a pipe takes at once. */
static void test_kept_lines(void **state) {
    enum { LINES = 300 };
    char bytes[65536];
    int ends[2];
    etxd_log log = {.json = 1, .level = ETXD_INFO};
    etxd_text lines = {0};
    size_t len = 0, told = 0;
    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    etxd_log_open(&log, ends[1]);
    for (uint64_t i = 0; i < LINES; i++) {
        const etxd_field field = {"number", NULL, i};
        ssize_t came;
        etxd_log_keep(&log, &lines, i % 7 == 0 ? ETXD_DEBUG : ETXD_INFO, "a line", &field, 1);
        if (i == LINES - 1) {
            etxd_log_write(&log, &lines);
        }
        came = read(ends[0], bytes + len, sizeof bytes - len);
        assert_true(came < 0 || (came <= 4096 && bytes[len + (size_t)came - 1] == '\n'));
        len += came > 0 ? (size_t)came : 0;
    }
    assert_int_equal(lines.len, 0);
    assert_int_equal(count_lines(bytes, len), LINES - (LINES + 6) / 7);
    for (const char *at = bytes; told < LINES; told++) {
        char want[40];
        if (told % 7 != 0) {
            const char *end = memchr(at, '\n', (size_t)(bytes + len - at));
            snprintf(want, sizeof want, "\"number\":%zu}", told);
            assert_memory_equal(end - strlen(want), want, strlen(want));
            at = end + 1;
        }
    }
    etxd_text_free(&lines);
    close(ends[0]);
    close(ends[1]);
}

/* A text that has no memory for a line gives the lines before it, and goes on. */
static void test_kept_lines_without_memory(void **state) {
    const etxd_field field = {"number", NULL, 1};
    char bytes[4096];
    int ends[2];
    etxd_log log = {.level = ETXD_INFO};
    etxd_text lines = {0};
    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    etxd_log_open(&log, ends[1]);
    etxd_log_keep(&log, &lines, ETXD_INFO, "first", &field, 1);
    lines.failed = 1;
    etxd_log_keep(&log, &lines, ETXD_INFO, "lost", &field, 1);
    etxd_log_keep(&log, &lines, ETXD_INFO, "second", &field, 1);
    etxd_log_write(&log, &lines);
    ssize_t len = read(ends[0], bytes, sizeof bytes - 1);
    assert_true(len > 0);
    bytes[len] = '\0';
    assert_non_null(strstr(bytes, "first"));
    assert_null(strstr(bytes, "lost"));
    assert_non_null(strstr(bytes, "second"));
    etxd_text_free(&lines);
    close(ends[0]);
    close(ends[1]);
}

/* What a full pipe does not take is counted, and told in front of the next line that it takes: not
 * in what room there is for a shorter one. */
static void test_lost_lines(void **state) {
    char bytes[65536 + 1];
    char word[301] = "";
    int ends[2];
    etxd_log log = {.json = 1, .level = ETXD_INFO};
    ssize_t len;
    size_t said;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    etxd_log_open(&log, ends[1]);
    for (said = 0; atomic_load(&log.lost) < 3; said++) {
        etxd_log_say(&log, ETXD_INFO, "a line", "word", memset(word, 'x', sizeof word - 1));
    }
    len = read(ends[0], bytes, sizeof bytes);
    assert_int_equal(count_lines(bytes, (size_t)len), said - 3);
    assert_int_equal(bytes[len - 1], '\n');
    etxd_log_say(&log, ETXD_INFO, "the next", NULL, NULL);
    etxd_log_say(&log, ETXD_INFO, "and one more", NULL, NULL);
    len = read(ends[0], bytes, sizeof bytes - 1);
    bytes[len] = '\0';
    assert_int_equal(count_lines(bytes, (size_t)len), 3);
    assert_non_null(strstr(bytes, "were lost: nobody took them\",\"count\":3}\n{"));
    close(log.fd);
    close(ends[0]);
    close(ends[1]);
}

/* ---- scratch */

static int is_within(const etxd_scratch *scratch, const void *bytes) {
    const char *at = bytes;
    return at >= scratch->memory &&
           at < scratch->memory + (size_t)ETXD_SCRATCH_PIECES * ETXD_SCRATCH_BYTES;
}

static void *take_elsewhere(void *scratch) {
    return etxd_scratch_take(scratch, 100);
}

/* What is taken while a piece is filled lies in it, apart from each other; all else is malloc's. */
static void test_scratch(void **state) {
    etxd_scratch scratch;
    pthread_t thread;
    char *one, *two;
    void *other;
    (void)state;
    etxd_scratch_open(&scratch);
    one = etxd_scratch_take(&scratch, 10);
    assert_false(is_within(&scratch, one));
    etxd_scratch_give(&scratch, one);
    int piece = etxd_scratch_begin(&scratch);
    assert_true(piece >= 0);
    one = etxd_scratch_take(&scratch, 10);
    two = etxd_scratch_take(&scratch, 17);
    assert_true(is_within(&scratch, one) && is_within(&scratch, two));
    assert_true(two >= one + 10 && (uintptr_t)two % 16 == 0);
    etxd_scratch_give(&scratch, one);
    assert_int_equal(pthread_create(&thread, NULL, take_elsewhere, &scratch), 0);
    assert_int_equal(pthread_join(thread, &other), 0);
    assert_false(is_within(&scratch, other));
    etxd_scratch_give(&scratch, other);
    assert_true(etxd_scratch_end(&scratch));
    other = etxd_scratch_take(&scratch, 10);
    assert_false(is_within(&scratch, other));
    etxd_scratch_give(&scratch, other);
    /* another piece is another place, until the first is released */
    int second = etxd_scratch_begin(&scratch);
    assert_int_not_equal(second, piece);
    assert_ptr_not_equal(etxd_scratch_take(&scratch, 10), one);
    assert_true(etxd_scratch_end(&scratch));
    etxd_scratch_release(&scratch, piece);
    assert_int_equal(etxd_scratch_begin(&scratch), piece);
    assert_ptr_equal(etxd_scratch_take(&scratch, 10), one);
    (void)etxd_scratch_end(&scratch);
    etxd_scratch_close(&scratch);
}

/* The address sanitizer ends a program that asks for too much, unless it is told not to. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

/* What does not fit is told, and freed: leak checkers see it otherwise. */
static void test_scratch_is_full(void **state) {
    etxd_scratch scratch;
    void *large, *last;
    (void)state;
    etxd_scratch_open(&scratch);
    for (int i = 0; i < ETXD_SCRATCH_PIECES; i++) {
        assert_true(etxd_scratch_begin(&scratch) >= 0);
        assert_true(is_within(&scratch, etxd_scratch_take(&scratch, ETXD_SCRATCH_BYTES)));
        last = etxd_scratch_take(&scratch, 1);
        assert_false(is_within(&scratch, last));
        etxd_scratch_give(&scratch, last);
        assert_false(etxd_scratch_end(&scratch));
    }
    assert_int_equal(etxd_scratch_begin(&scratch), -1);
    last = etxd_scratch_take(&scratch, 1);
    assert_false(is_within(&scratch, last));
    etxd_scratch_give(&scratch, last);
    etxd_scratch_release(&scratch, -1);
    assert_int_equal(etxd_scratch_begin(&scratch), -1);
    etxd_scratch_release(&scratch, 5);
    assert_int_equal(etxd_scratch_begin(&scratch), 5);
    large = etxd_scratch_take(&scratch, ETXD_SCRATCH_BYTES - 8);
    assert_true(is_within(&scratch, large));
    assert_true(etxd_scratch_end(&scratch));
    etxd_scratch_release(&scratch, 5);
    assert_int_equal(etxd_scratch_begin(&scratch), 5);
    large = etxd_scratch_take(&scratch, SIZE_MAX - 4);
    assert_null(large);
    assert_false(etxd_scratch_end(&scratch));
    etxd_scratch_close(&scratch);
    /* none at all */
    assert_int_equal(etxd_scratch_begin(NULL), -1);
    assert_int_equal(etxd_scratch_begin(&scratch), -1);
    assert_false(etxd_scratch_end(NULL));
    etxd_scratch_release(NULL, 3);
}

static void test_base64(void **state) {
    static const char *const pairs[][2] = {
        {"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}};
    static const char *const bad[] = {
        "Z", "Zg=", "Zh==", "Zm9=", "====", "Zg==Zg==", "Z-==", "Zg= "};
    unsigned char bytes[32];
    size_t len;
    size_t i;
    (void)state;
    for (i = 0; i < 5; i++) {
        etxd_text text = {0};
        assert_int_equal(etxd_base64_decode(pairs[i][0], strlen(pairs[i][0]), bytes, &len), 0);
        assert_int_equal(len, strlen(pairs[i][1]));
        assert_memory_equal(bytes, pairs[i][1], len);
        etxd_text_put(&text, "");
        etxd_text_base64(&text, pairs[i][1], len);
        assert_string_equal(text.bytes, pairs[i][0]);
        etxd_text_free(&text);
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(etxd_base64_decode(bad[i], strlen(bad[i]), bytes, &len), -1);
    }
}

/* ---- tokens */

static int read_tokens(const char *text, etxd_tokens *tokens, char *message) {
    char path[] = "/tmp/etx-tokens-XXXXXX";
    int fd = mkstemp(path);
    int rc;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    rc = etxd_tokens_read(path, tokens, message, 200);
    unlink(path);
    return rc;
}

/* of "secret" */
#define HASH "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"

static void test_tokens(void **state) {
    etxd_tokens tokens;
    const etxd_token *token;
    char message[200];
    (void)state;
    assert_int_equal(
        read_tokens("# all\n\n" HASH " read,submit gid-prefix=a- name=bob # b\n", &tokens, message),
        0);
    assert_int_equal(tokens.count, 1);
    token = etxd_tokens_find(&tokens, "secret", 6);
    assert_non_null(token);
    assert_int_equal(token->scopes, ETXD_READ | ETXD_SUBMIT);
    assert_string_equal(token->prefix, "a-");
    assert_string_equal(token->name, "bob");
    assert_null(etxd_tokens_find(&tokens, "secre", 5));
    assert_null(etxd_tokens_find(&tokens, "secret\n", 7));
    assert_null(etxd_tokens_find(&tokens, "", 0));
    etxd_tokens_free(&tokens);
}

/* However long a line is, it is one: no part of a comment is a token, no end of a token is lost. */
static void test_long_lines(void **state) {
    char text[4096];
    char message[200];
    etxd_tokens tokens;
    size_t len;
    (void)state;
    for (len = 500; len < 1100; len++) {
        snprintf(text, sizeof text, "#%*s\n" HASH "%*sread name=n # x\n#%*s" HASH " operate",
                 (int)len, HASH " submit", (int)len, " ", (int)len, "");
        assert_int_equal(read_tokens(text, &tokens, message), 0);
        assert_int_equal(tokens.count, 1);
        assert_int_equal(tokens.items[0].scopes, ETXD_READ);
        assert_string_equal(tokens.items[0].name, "n");
        etxd_tokens_free(&tokens);
    }
    assert_int_equal(etxd_tokens_read("/", &tokens, message, sizeof message), -1);
}

static void test_bad_tokens(void **state) {
    static const char *const bad[] = {"secret\n",
                                      HASH "\n",
                                      HASH "0 read\n",
                                      HASH " fly\n",
                                      HASH " read,fly\n",
                                      HASH " read,\n\n x\n",
                                      HASH " ,\n",
                                      HASH " read gid-prefix=\n",
                                      HASH " read other=1\n"};
    etxd_tokens tokens;
    char message[200];
    size_t i;
    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_tokens(bad[i], &tokens, message), -1);
        assert_non_null(strchr(message, ':'));
    }
}

static void test_allowance(void **state) {
    etxd_token token = {.seen_ms = 0};
    int spent = 0;
    int i;
    (void)state;
    for (i = 0; i < 100; i++) {
        spent += etxd_token_spend(&token, 10, 1000);
    }
    assert_int_equal(spent, 10);
    assert_int_equal(etxd_token_spend(&token, 10, 1050), 0);
    assert_int_equal(etxd_token_spend(&token, 10, 1150), 1);
    assert_int_equal(etxd_token_spend(&token, 10, 1150), 0);
    assert_int_equal(etxd_token_spend(&token, 0, 1150), 1);
    /* silence saves up no more than a second's worth */
    for (i = 0, spent = 0; i < 100; i++) {
        spent += etxd_token_spend(&token, 10, 3600000);
    }
    assert_int_equal(spent, 10);
}

/* ---- settings */

static void test_settings(void **state) {
    char message[ETXD_MESSAGE_MAX];
    char shown[100];
    char *no_environment[] = {NULL};
    char *environment[] = {"ETXD_ALLOW_TARGET=a,b,,c", "ETXD_DRAIN=2m", "OTHER=x", NULL};
    char *argv[] = {"etxd", "--drain=1s", "--listen", "127.0.0.1:1", "--listen", "unix:x", NULL};
    etxd_config config;
    (void)state;
    assert_int_equal(etxd_config_read(6, argv, environment, &config, message), 0);
    assert_int_equal(config.drain, 1000);
    assert_int_equal(config.listen.count, 2);
    assert_int_equal(config.allow_target.count, 3);
    assert_true(etxd_config_is_local(&config));
    assert_int_equal(etxd_config_fill(&config, message), 0);
    assert_int_equal(etxd_config_judge(&config, message), 0);
    etxd_config_free(&config);
    argv[1] = "--drain=99999999999999999999s";
    assert_int_equal(etxd_config_read(2, argv, no_environment, &config, message), -1);
    etxd_config_free(&config);
    assert_string_equal(etxd_config_mask("x://u:p@h/y", shown, sizeof shown), "x://u:***@h/y");
    assert_string_equal(etxd_config_mask("x://u:p@q@h/y", shown, sizeof shown), "x://u:***@h/y");
    assert_string_equal(etxd_config_mask("x://h:80/@", shown, sizeof shown), "x://h:80/@");
    assert_string_equal(etxd_config_mask("file:a@b", shown, sizeof shown), "file:a@b");
    assert_string_equal(etxd_config_mask("u:p@h:1", shown, sizeof shown), "u:***@h:1");
    assert_string_equal(etxd_config_mask("x:/u:p@h", shown, sizeof shown), "x:***@h");
    assert_string_equal(etxd_config_mask("x://u:p/q@h/y", shown, sizeof shown), "x://u:***@h/y");
    assert_string_equal(etxd_config_mask("x://u:p?q@h/y", shown, sizeof shown), "x://u:***@h/y");
    assert_string_equal(etxd_config_mask("x://a:1,[::1]:2/d?prefix=y&PASSWORD=p&&q", shown, 100),
                        "x://a:1,[::1]:2/d?prefix=y&PASSWORD=***&&***");
    assert_string_equal(etxd_config_mask("x://u:p@h/d?a=b", shown, 17), "x://u:***@h/d?a=");
}

/* What nobody says follows from the machine, and from whether nodes share a home. */
static void test_nodes(void **state) {
    char message[ETXD_MESSAGE_MAX];
    char host[256];
    char *none[] = {NULL};
    char *argv[] = {"etxd", "--home", "file:x", "--advertise", "http://127.1.2.3:80", NULL};
    etxd_config config;
    (void)state;
    assert_int_equal(gethostname(host, sizeof host), 0);
    assert_int_equal(etxd_config_read(5, argv, none, &config, message), 0);
    assert_int_equal(etxd_config_fill(&config, message), 0);
    assert_false(etxd_config_is_shared(&config));
    assert_string_equal(config.node, "node");
    assert_int_equal(config.lease, 5000);
    assert_int_equal(etxd_config_judge(&config, message), 0);
    etxd_config_free(&config);
    argv[2] = "postgresql://db/x";
    assert_int_equal(etxd_config_read(5, argv, none, &config, message), 0);
    assert_int_equal(etxd_config_fill(&config, message), 0);
    assert_true(etxd_config_is_shared(&config));
    assert_string_equal(config.node, host);
    etxd_config_free(&config);
    argv[4] = "http://128.1.2.3:80";
    assert_int_equal(etxd_config_read(5, argv, none, &config, message), 0);
    assert_int_equal(etxd_config_fill(&config, message), 0);
    assert_int_equal(etxd_config_judge(&config, message), -1);
    assert_non_null(strstr(message, "--insecure-without-tls"));
    etxd_config_free(&config);
}

static void test_problems(void **state) {
    etxd_problem problem = {ETXD_NO_PROBLEM, "", "", ""};
    etxd_text text = {0};
    int rc;
    (void)state;
    assert_int_equal(etxd_problem_set(&problem, ETXD_BUSY_PROBLEM, "%d", 1), -1);
    assert_int_equal(etxd_problem_set(&problem, ETXD_RATE_PROBLEM, "later"), -1);
    etxd_problem_write(&problem, "g", &text);
    assert_non_null(strstr(text.bytes, "\"detail\":\"1\",\"code\":\"busy\""));
    assert_non_null(strstr(text.bytes, "\"gid\":\"g\""));
    etxd_text_free(&text);
    for (rc = ETX_EFULL; rc < 0; rc++) {
        assert_true(etxd_problem_status(etxd_problem_of(rc)) >= 400);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_every_byte_of_a_string),
        cmocka_unit_test(test_kept_lines),
        cmocka_unit_test(test_lost_lines),
        cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_scratch_is_full),
        cmocka_unit_test(test_kept_lines_without_memory),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_bad_tokens),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_allowance),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
