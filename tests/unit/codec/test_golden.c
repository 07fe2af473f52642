/* The binary format, byte by byte: if one of these changes, every log that exists is unreadable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <etx/codec.h>

static etx_bytes text(const char *string) {
    return (etx_bytes){string, strlen(string)};
}

/* Both ways: the record is these bytes, and these bytes are the record. `expected` is hexadecimal;
 * spaces are for the reader. */
static void assert_bytes(const etx_record *record, const char *expected) {
    unsigned char bytes[512];
    unsigned char wanted[512];
    char shown[1025] = "";
    size_t wanted_len = 0;
    for (const char *at = expected; *at != '\0'; at++) {
        if (*at != ' ') {
            unsigned byte;
            assert_int_equal(sscanf(at, "%2x", &byte), 1);
            wanted[wanted_len++] = (unsigned char)byte;
            at++;
        }
    }
    assert_true(etx_codec_binary()->bound(record) <= sizeof bytes);
    size_t len = etx_codec_binary()->encode(record, bytes);
    for (size_t i = 0; i < len; i++) {
        snprintf(shown + 2 * i, 3, "%02x", bytes[i]);
    }
    if (len != wanted_len || memcmp(bytes, wanted, len) != 0) {
        fail_msg("%s: %s", etx_record_name(record->type), shown);
    }
    etx_record_room room = {0};
    etx_record read;
    size_t used;
    int rc = etx_codec_binary()->decode((etx_bytes){wanted, len}, &room, &read, &used);
    if (rc == ETX_EBUSY) {
        assert_int_equal(etx_record_room_grow(&room), 0);
        rc = etx_codec_binary()->decode((etx_bytes){wanted, len}, &room, &read, &used);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(used, len);
    etx_record_room_free(&room);
}

static void test_codec(void **state) {
    (void)state;
    assert_int_equal(etx_codec_binary()->version, 1);
    assert_int_equal(etx_codec_binary()->id, 1);
    assert_string_equal(etx_codec_binary()->name, "binary");
}

static void test_own(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_OWN};
    record.u.own = (etx_record_own){.nonce = 0x1122334455667788u,
                                    .time_ms = 300,
                                    .node = text("n1"),
                                    .chosen_home = text("fabc123")};
    assert_bytes(&record, "15 01 8877665544332211 ac02 026e31 0766616263313233");
}

static const uint16_t golden_places[] = {0};
static const etx_record_branch golden_branches[] = {
    {.name = {"0", 1}, .participant = {"pay", 3}, .payload = {"10", 2}, .kind = ETX_TCC},
    {.name = {"1", 1},
     .participant = {"mail", 4},
     .kind = ETX_NOTIFICATION,
     .flags = ETX_BY_INITIATOR | ETX_WANTS_RESULTS,
     .depends_on = golden_places,
     .depends_on_count = 1,
     .attempts_max = 3,
     .retry_cap_ms = 200},
};

static void test_begin(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_BEGIN, .gid = text("g1")};
    record.u.begin = (etx_record_begin){.time_ms = 1000,
                                        .deadline_ms = 61000,
                                        .digest = 5,
                                        .mode = ETX_RESUMED,
                                        .marks = ETX_MARK_CHOSEN,
                                        .durability = ETX_LOCAL,
                                        .initiator = text("shop"),
                                        .resume_ms = 128,
                                        .branch_count = 2,
                                        .branches = golden_branches};
    assert_bytes(&record,
                 "32 02 026731 bf e807 0500000000000000 e0d403 0473686f70 8001 02 "
                 "01 0130 03706179 023130 "
                 "ed 0131 046d61696c 00 0100 0903c801");
    record.u.begin = (etx_record_begin){.time_ms = 1000,
                                        .digest = 5,
                                        .mode = ETX_RESUMED,
                                        .initiator = text("shop"),
                                        .initiator_payload = text("at 7")};
    assert_bytes(&record, "19 02 026731 13 e807 0500000000000000 0973686f70 00 61742037 00");
    record.u.begin = (etx_record_begin){.time_ms = 1000, .digest = 5, .mode = ETX_SUBMITTED};
    assert_bytes(&record, "0f 02 026731 01 e807 0500000000000000 00");
}

static void test_enlist(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_ENLIST, .gid = text("g1")};
    record.u.enlist = (etx_record_enlist){.branch = golden_branches[1], .digest = 0x0102};
    assert_bytes(&record, "1a 03 026731 ed 0131 046d61696c 00 0100 0903c801 0201000000000000");
}

static void test_held(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_HELD, .gid = text("g1")};
    assert_bytes(&record, "03 04 026731");
}

static void test_result(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_RESULT, .gid = text("g1")};
    record.u.result = (etx_record_result){
        .branch = 200, .operation = ETX_FORWARD, .reply = ETX_DONE, .bytes = text("ok")};
    assert_bytes(&record, "09 05 026731 08 c801 026f6b");
    record.u.result = (etx_record_result){.branch = 1, .operation = ETX_UNDO, .reply = ETX_REFUSED};
    assert_bytes(&record, "05 05 026731 06 01");
}

static void test_decide(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_DECIDE, .gid = text("g1")};
    record.u.decide = (etx_record_decide){.time_ms = 1000, .commit = 1};
    assert_bytes(&record, "06 06 026731 01 e807");
    record.u.decide = (etx_record_decide){.time_ms = 1000,
                                          .marks = ETX_MARK_FORCED | ETX_MARK_NEVER_BEGUN,
                                          .reason = text("no"),
                                          .who = text("me")};
    assert_bytes(&record, "0c 06 026731 4e e807 026e6f 026d65");
}

static void test_force(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_FORCE, .gid = text("g1")};
    record.u.force = (etx_record_force){.time_ms = 1000,
                                        .action = ETX_FORCE_SETTLE,
                                        .operation = ETX_COMMIT,
                                        .branch = 2,
                                        .who = text("me"),
                                        .why = text("lost")};
    assert_bytes(&record, "0f 07 026731 07 e807 02 026d65 046c6f7374");
}

static void test_move(void **state) {
    (void)state;
    const etx_record_progress progress[] = {
        {.forward = ETX_DONE, .result = text("r")},
        {.forward = ETX_REFUSED, .finish = ETX_DONE, .settled = 1 << ETX_UNDO, .digest = 0x0102},
    };
    etx_record record = {.type = ETX_RECORD_MOVE, .gid = text("g1")};
    record.u.move = (etx_record_move){.state = ETX_ABORTING,
                                      .marks = ETX_MARK_FORCED,
                                      .decided_ms = 2000,
                                      .reason = text("no"),
                                      .progress = progress};
    record.u.move.begin = (etx_record_begin){.time_ms = 1000,
                                             .digest = 5,
                                             .mode = ETX_SUBMITTED,
                                             .branch_count = 2,
                                             .branches = golden_branches};
    assert_bytes(&record,
                 "3d 08 026731 4c 01 d00f 026e6f 01 e807 0500000000000000 02 "
                 "01 0130 03706179 023130 81 02 0172 "
                 "ed 0131 046d61696c 00 0100 0903c801 c6 01 0201000000000000");
    record.u.move = (etx_record_move){
        .state = ETX_COMMITTED, .decided_ms = 2000, .ended_ms = 2001, .ended_no = 9};
    record.u.move.begin = (etx_record_begin){.time_ms = 1000, .digest = 5};
    assert_bytes(&record, "16 08 026731 3b 00 d00f d10f 09 00 e807 0500000000000000 00");
}

static void test_end(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_END, .gid = text("g1")};
    record.u.end = (etx_record_end){.time_ms = 1700000000000u, .ended_no = 300};
    assert_bytes(&record, "0b 09 026731 80d095ffbc31 ac02");
}

static void test_loss(void **state) {
    (void)state;
    etx_record record = {.type = ETX_RECORD_LOSS};
    record.u.loss = (etx_record_loss){.time_ms = 300, .who = text("ann"), .why = text("old copy")};
    assert_bytes(&record, "0f 0a ac02 03616e6e 086f6c6420636f7079");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codec),  cmocka_unit_test(test_own),   cmocka_unit_test(test_begin),
        cmocka_unit_test(test_enlist), cmocka_unit_test(test_held),  cmocka_unit_test(test_result),
        cmocka_unit_test(test_decide), cmocka_unit_test(test_force), cmocka_unit_test(test_move),
        cmocka_unit_test(test_end),    cmocka_unit_test(test_loss),
    };
    return cmocka_run_group_tests_name("binary format", tests, NULL, NULL);
}
