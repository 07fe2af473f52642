/* Server-sent events, however they are cut into pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event_stream.h"

static char told[1024];

static int tell(const event_stream *stream, void *user) {
    size_t len = strlen(told);
    snprintf(told + len, sizeof told - len, "[%.60s|%.60s|%.60s]", stream->name, stream->next,
             stream->data);
    return user != NULL && strcmp(stream->name, user) == 0;
}

static const char text[] =
    ":\n\n"
    "event: lost\ndata: {}\n\n"
    "id: 1-2\r\nevent: begun\r\ndata:{\"a\":1}\r\n\r\n"
    "data\nunknown: x\n\n"
    "id: 1-3\nevent: ended\ndata: last\n\n"
    "event: begun\ndata: not whole\n";

static void test_pieces(void **state) {
    size_t size;
    (void)state;
    for (size = 1; size < sizeof text; size++) {
        event_stream *stream = calloc(1, sizeof *stream);
        size_t at;
        assert_non_null(stream);
        told[0] = '\0';
        etx__event_stream_begin(stream);
        for (at = 0; at + 1 < sizeof text; at += size) {
            size_t left = sizeof text - 1 - at;
            assert_int_equal(
                etx__event_stream_read(stream, text + at, left < size ? left : size, tell, NULL),
                0);
        }
        assert_string_equal(told, "[lost||{}][begun|1-2|{\"a\":1}][ended|1-3|last]");
        assert_string_equal(stream->id, "1-3");
        etx__event_stream_begin(stream);
        assert_string_equal(stream->id, "1-3");
        free(stream);
    }
}

static void test_the_reader_has_enough(void **state) {
    event_stream *stream = calloc(1, sizeof *stream);
    char name[] = "begun";
    (void)state;
    assert_non_null(stream);
    told[0] = '\0';
    assert_int_equal(etx__event_stream_read(stream, text, sizeof text - 1, tell, name), 1);
    assert_string_equal(told, "[lost||{}][begun|1-2|{\"a\":1}]");
    free(stream);
}

/* A line that is too long is passed over, and what comes behind it is read. */
static void test_long_lines(void **state) {
    event_stream *stream = calloc(1, sizeof *stream);
    char *line = malloc(2 * EVENT_LINE_MAX);
    (void)state;
    assert_non_null(stream);
    assert_non_null(line);
    memset(line, 'x', 2 * EVENT_LINE_MAX);
    memcpy(line, "data: ", 6);
    told[0] = '\0';
    assert_int_equal(etx__event_stream_read(stream, line, 2 * EVENT_LINE_MAX, tell, NULL), 0);
    assert_int_equal(etx__event_stream_read(stream, "\n\ndata: short\n\n", 15, tell, NULL), 0);
    assert_string_equal(told, "[||short]");
    free(line);
    free(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_the_reader_has_enough),
        cmocka_unit_test(test_long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
