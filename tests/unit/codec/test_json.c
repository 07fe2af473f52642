/* The JSON codec: what it writes it reads, how it looks, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "records.h"

enum { SEED = 20240612, RECORD_TYPES = 10 };

typedef struct bench {
    dice dice;
    record_stock stock;
    etx_record_room room;
} bench;

static int bench_setup(void **state) {
    bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->dice.state = SEED;
    *state = b;
    return 0;
}

static int bench_teardown(void **state) {
    bench *b = *state;
    etx_record_room_free(&b->room);
    free(b);
    return 0;
}

/* The record's line, of exactly its size, to be freed. */
static char *encode_line(const etx_record *record, size_t *ret_len) {
    size_t bound = etx_codec_json()->bound(record);
    char *line = malloc(bound);
    assert_non_null(line);
    *ret_len = etx_codec_json()->encode(record, line);
    assert_int_equal(*ret_len, bound);
    assert_int_equal(line[*ret_len - 1], '\n');
    assert_ptr_equal(memchr(line, '\n', *ret_len), line + *ret_len - 1);
    return line;
}

static void test_round_trip(void **state) {
    bench *b = *state;
    for (unsigned i = 0; i < 1800; i++) {
        etx_record record = record_draw(&b->dice, &b->stock, 1 + i % RECORD_TYPES);
        size_t len;
        char *line = encode_line(&record, &len);
        etx_record read;
        size_t used;
        etx_bytes bytes = {line, len};
        assert_int_equal(record_decode(etx_codec_json(), bytes, &b->room, &read, &used), 0);
        assert_int_equal(used, len);
        memset(line, 0, len); /* what was read lives in the room alone */
        record_assert_equal(&record, &read);
        free(line);
    }
}

static void test_damaged(void **state) {
    bench *b = *state;
    for (unsigned i = 0; i < 90; i++) {
        etx_record record = record_draw(&b->dice, &b->stock, 1 + i % RECORD_TYPES);
        size_t len;
        char *line = encode_line(&record, &len);
        etx_record read;
        size_t used;
        for (size_t k = 0; k < 200; k++) {
            size_t at = dice_below(&b->dice, (unsigned)len);
            char before = line[at];
            line[at] ^= (char)(1 << dice_below(&b->dice, 8));
            record_decode(etx_codec_json(), (etx_bytes){line, len}, &b->room, &read, &used);
            line[at] = before;
            assert_int_equal(
                etx_codec_json()->decode((etx_bytes){line, at}, &b->room, &read, &used),
                ETX_ECORRUPT);
        }
        free(line);
    }
}

/* ---- how it looks */

static etx_bytes text(const char *string) {
    return (etx_bytes){string, strlen(string)};
}

static void assert_line(const etx_record *record, const char *expected) {
    size_t len;
    char *line = encode_line(record, &len);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(line, expected, len);
    free(line);
}

static void test_begin_line(void **state) {
    (void)state;
    const uint16_t depends_on[] = {0};
    const etx_record_branch branches[] = {
        {.name = text("stock"),
         .participant = text("warehouse"),
         .kind = ETX_TCC,
         .payload = text("{\"item\": 1}\n")},
        {.name = text("note"),
         .participant = text("mail"),
         .kind = ETX_NOTIFICATION,
         .payload = {"\0\x01\xff", 3},
         .flags = ETX_BY_INITIATOR | ETX_WANTS_RESULTS,
         .depends_on = depends_on,
         .depends_on_count = 1,
         .attempts_max = 3},
    };
    etx_record record = {.type = ETX_RECORD_BEGIN, .gid = text("a\"b\\c")};
    record.u.begin = (etx_record_begin){.time_ms = 1700000000000u,
                                        .deadline_ms = UINT64_MAX,
                                        .digest = 0xabc,
                                        .mode = ETX_RESUMED,
                                        .marks = ETX_MARK_CHOSEN,
                                        .durability = ETX_LOCAL,
                                        .initiator = text("shop"),
                                        .initiator_payload = text("at 7"),
                                        .resume_ms = 500,
                                        .branch_count = 2,
                                        .branches = branches};
    assert_line(
        &record,
        "{\"record\":\"begin\",\"gid\":\"a\\\"b\\\\c\",\"time_ms\":1700000000000,"
        "\"deadline_ms\":\"18446744073709551615\",\"digest\":\"0000000000000abc\","
        "\"mode\":\"resumed\",\"marks\":[\"chosen\"],\"durability\":\"local\","
        "\"initiator\":\"shop\",\"initiator_payload\":\"at 7\",\"resume_ms\":500,\"branches\":["
        "{\"name\":\"stock\",\"participant\":\"warehouse\",\"kind\":\"tcc\","
        "\"payload\":\"{\\\"item\\\": 1}\\n\"},"
        "{\"name\":\"note\",\"participant\":\"mail\",\"kind\":\"notification\","
        "\"flags\":[\"by-initiator\",\"wants-results\"],\"payload_base64\":\"AAH/\","
        "\"depends_on\":[0],\"attempts_max\":3}]}\n");
}

static void test_small_lines(void **state) {
    (void)state;
    etx_record decide = {.type = ETX_RECORD_DECIDE, .gid = text("g")};
    decide.u.decide = (etx_record_decide){.time_ms = 5,
                                          .marks = ETX_MARK_FORCED,
                                          .reason = text("gr\xc3\xb6\xc3\x9f"
                                                         "er"),
                                          .who = text("\xc3")};
    assert_line(&decide,
                "{\"record\":\"decide\",\"gid\":\"g\",\"time_ms\":5,\"decision\":\"abort\","
                "\"marks\":[\"forced\"],\"reason\":\"gr\xc3\xb6\xc3\x9f"
                "er\","
                "\"who_base64\":\"ww==\"}\n");
    etx_record force = {.type = ETX_RECORD_FORCE, .gid = text("g")};
    force.u.force = (etx_record_force){.time_ms = 5,
                                       .action = ETX_FORCE_SETTLE,
                                       .operation = ETX_UNDO,
                                       .branch = 7,
                                       .why = text("lost")};
    assert_line(&force,
                "{\"record\":\"force\",\"gid\":\"g\",\"time_ms\":5,\"action\":\"settle\","
                "\"branch\":7,\"operation\":\"undo\",\"why\":\"lost\"}\n");
    etx_record held = {.type = ETX_RECORD_HELD, .gid = text("g")};
    assert_line(&held, "{\"record\":\"held\",\"gid\":\"g\"}\n");
}

/* Bytes that are no text: each way in which UTF-8 can be wrong, and controls. */
static void test_not_text(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "\x80",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xe2\x82",
        "\xc3(",
        "\x01",
        "\x1b",
        "\x7f",
        "\xc2\x85",
    };
    static const char *const right[] = {"\xc2\xa0",     "\xe0\xa0\x80",     "\xed\x9f\xbf",
                                        "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
                                        "\t\r\n"};
    etx_record record = {.type = ETX_RECORD_RESULT, .gid = text("g")};
    record.u.result.reply = ETX_DONE;
    size_t len;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        record.u.result.bytes = text(wrong[i]);
        char *line = encode_line(&record, &len);
        assert_non_null(memmem(line, len, "bytes_base64", 12));
        free(line);
    }
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        record.u.result.bytes = text(right[i]);
        char *line = encode_line(&record, &len);
        assert_null(memmem(line, len, "bytes_base64", 12));
        free(line);
    }
}

/* ---- what it refuses */

static int decode_text(bench *b, const char *line, etx_record *ret_record) {
    size_t used;
    return record_decode(etx_codec_json(), text(line), &b->room, ret_record, &used);
}

static void assert_decodes(bench *b, const char *line, int expected) {
    etx_record record;
    int rc = decode_text(b, line, &record);
    if (rc != expected) {
        fail_msg("%s: %s", line, etx_error_name(rc));
    }
}

static void test_refused(void **state) {
    bench *b = *state;
    static const char *const corrupt[] = {
        "",
        "\n",
        "{}\n",
        "[]\n",
        "null\n",
        "{\"record\":\"held\",\"gid\":\"g\"}", /* no end */
        "{\"record\":\"held\",\"gid\":\"g\"} x\n",
        "{\"record\":\"held\",\"gid\":\"g\"\n",
        "{\"record\":\"held\"}\n",
        "{\"record\":\"held\",\"gid\":\"\"}\n",
        "{\"record\":\"held\",\"gid\":7}\n",
        "{\"record\":\"held\",\"gid\":null}\n",
        "{\"record\":\"held\",\"gid\":\"a b\"}\n",
        "{\"record\":\"held\",\"gid\":\"a\\u0000\"}\n",
        "{\"record\":\"held\",\"gid\":\"g\",\"gid\":\"g\"}\n", /* twice */
        "{\"record\":4,\"gid\":\"g\"}\n",
        "{\"gid\":\"g\"}\n",
        "{\"record\":\"held\",\"gid\":\"\xff\"}\n",
        "{\"record\":\"own\",\"gid\":\"g\",\"nonce\":\"0000000000000000\",\"time_ms\":1}\n",
        "{\"record\":\"own\",\"nonce\":\"000000000000000\",\"time_ms\":1}\n",
        "{\"record\":\"own\",\"nonce\":\"\",\"time_ms\":1}\n",
        "{\"record\":\"own\",\"nonce\":\"000000000000000G\",\"time_ms\":1}\n",
        "{\"record\":\"own\",\"nonce\":7,\"time_ms\":1}\n",
    };
    for (size_t i = 0; i < sizeof corrupt / sizeof corrupt[0]; i++) {
        assert_decodes(b, corrupt[i], ETX_ECORRUPT);
    }
    assert_decodes(b, "{\"record\":\"held\",\"gid\":\"g\"}\n", 0);
    assert_decodes(b, " { \"gid\" : \"g\" , \"record\" : \"held\" } \n", 0);
    assert_decodes(b, "{\"record\":\"held\",\"gid\":\"g\",\"more\":1}\n", ETX_EVERSION);
    assert_decodes(b, "{\"record\":\"?\",\"gid\":\"g\"}\n", ETX_EVERSION);
    assert_decodes(b, "{\"record\":\"lease\",\"gid\":\"g\"}\n", ETX_EVERSION);
}

#define END(time) "{\"record\":\"end\",\"gid\":\"g\",\"ended_no\":1,\"time_ms\":" time "}\n"

static void test_numbers(void **state) {
    bench *b = *state;
    etx_record record;
    assert_int_equal(decode_text(b, END("9007199254740993"), &record), 0);
    assert_true(record.u.end.time_ms == 9007199254740993u);
    assert_int_equal(decode_text(b, END("\"18446744073709551615\""), &record), 0);
    assert_true(record.u.end.time_ms == UINT64_MAX);
    static const char *const corrupt[] = {
        END("-1"),
        END("1.0"),
        END("1e3"),
        END("true"),
        END("[1]"),
        END("\"1\""),
        END("\"\""),
        END("\"18446744073709551616\""),
        END("\"99999999999999999999999\""),
        END("\"-1\""),
        END("\"9007199254740993 \""),
        END("18446744073709551615"),
        END("01"),
    };
    for (size_t i = 0; i < sizeof corrupt / sizeof corrupt[0]; i++) {
        assert_decodes(b, corrupt[i], ETX_ECORRUPT);
    }
}

#define RESULT(rest)                                                                    \
    "{\"record\":\"result\",\"gid\":\"g\",\"operation\":\"commit\",\"reply\":\"done\"," \
    "\"branch\":" rest "}\n"

static void test_base64(void **state) {
    bench *b = *state;
    etx_record record;
    assert_int_equal(decode_text(b, RESULT("0,\"bytes_base64\":\"/+8=\""), &record), 0);
    assert_int_equal(record.u.result.bytes.len, 2);
    assert_memory_equal(record.u.result.bytes.data, "\xff\xef", 2);
    assert_int_equal(decode_text(b, RESULT("0,\"bytes_base64\":\"\""), &record), 0);
    assert_int_equal(record.u.result.bytes.len, 0);
    static const char *const corrupt[] = {
        RESULT("1024"),
        RESULT("65536"),
        RESULT("0,\"bytes\":1"),
        RESULT("0,\"bytes_base64\":[]"),
        RESULT("0,\"bytes_base64\":\"A\""),
        RESULT("0,\"bytes_base64\":\"AAA\""),
        RESULT("0,\"bytes_base64\":\"A===\""),
        RESULT("0,\"bytes_base64\":\"====\""),
        RESULT("0,\"bytes_base64\":\"AA=A\""),
        RESULT("0,\"bytes_base64\":\"AB==\""),
        RESULT("0,\"bytes_base64\":\"AAB=\""),
        RESULT("0,\"bytes_base64\":\"AA==AAAA\""),
        RESULT("0,\"bytes_base64\":\"AA A\""),
        RESULT("0,\"bytes_base64\":\"AA-_\""),
        RESULT("0,\"bytes\":\"x\",\"bytes_base64\":\"AAAA\""),
    };
    for (size_t i = 0; i < sizeof corrupt / sizeof corrupt[0]; i++) {
        assert_decodes(b, corrupt[i], ETX_ECORRUPT);
    }
}

#define BEGIN(branch)                                                                    \
    "{\"record\":\"begin\",\"gid\":\"g\",\"time_ms\":1,\"digest\":\"0000000000000001\"," \
    "\"mode\":\"submitted\",\"branches\":[{\"participant\":\"p\",\"name\":\"n\"," branch "}]}\n"

static void test_branches(void **state) {
    bench *b = *state;
    assert_decodes(b, BEGIN("\"kind\":\"saga\""), 0);
    static const char *const corrupt[] = {
        BEGIN("\"kind\":\"SAGA\""),
        BEGIN("\"payload\":\"x\""),
        BEGIN("\"kind\":2"),
        BEGIN("\"kind\":\"saga\",\"depends_on\":[0]"),
        BEGIN("\"kind\":\"saga\",\"depends_on\":[1]"),
        BEGIN("\"kind\":\"saga\",\"depends_on\":0"),
        BEGIN("\"kind\":\"saga\",\"depends_on\":[\"0\"]"),
        BEGIN("\"kind\":\"saga\",\"attempts_max\":4294967296"),
        BEGIN("\"kind\":\"saga\",\"flags\":\"by-initiator\""),
        BEGIN("\"kind\":\"saga\",\"flags\":[1]"),
        BEGIN("\"kind\":\"saga\",\"flags\":[\"by-initiator\",\"by-initiator\"]"),
        BEGIN("\"kind\":\"saga\"},7,{\"kind\":\"saga\""),
    };
    for (size_t i = 0; i < sizeof corrupt / sizeof corrupt[0]; i++) {
        assert_decodes(b, corrupt[i], ETX_ECORRUPT);
    }
    assert_decodes(b, BEGIN("\"kind\":\"saga\",\"flags\":[\"new\"]"), ETX_EVERSION);
    assert_decodes(b, BEGIN("\"kind\":\"saga\",\"forward\":\"done\""), ETX_EVERSION);
}

/* Brackets as deep as a line can have them, and a list as long. */
static void test_deep_and_long(void **state) {
    bench *b = *state;
    enum { SIZE = 1 << 20 };
    char *line = malloc(SIZE);
    assert_non_null(line);
    etx_record record;
    size_t used;
    memset(line, '[', SIZE);
    line[SIZE - 1] = '\n';
    assert_int_equal(
        record_decode(etx_codec_json(), (etx_bytes){line, SIZE}, &b->room, &record, &used),
        ETX_ECORRUPT);
    static const char head[] = "{\"record\":\"begin\",\"gid\":\"g\",\"branches\":[";
    memset(line, ',', SIZE);
    memcpy(line, head, sizeof head - 1);
    for (size_t i = sizeof head - 1; i < SIZE - 3; i += 2) {
        line[i] = '1';
        line[i + 2] = ']';
        line[i + 3] = '}';
    }
    line[SIZE - 1] = '\n';
    assert_int_equal(
        record_decode(etx_codec_json(), (etx_bytes){line, SIZE}, &b->room, &record, &used),
        ETX_ECORRUPT);
    free(line);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_damaged, bench_setup, bench_teardown),
        cmocka_unit_test(test_begin_line),
        cmocka_unit_test(test_small_lines),
        cmocka_unit_test(test_not_text),
        cmocka_unit_test_setup_teardown(test_refused, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_numbers, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_base64, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_branches, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_deep_and_long, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("json codec", tests, NULL, NULL);
}
