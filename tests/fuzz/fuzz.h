/* What the fuzz targets share: their entry point, checks, and an input that is taken apart. */
#ifndef ETX_TESTS_FUZZ_FUZZ_H
#define ETX_TESTS_FUZZ_FUZZ_H

#include <etx/codec.h>

/* A target: called by libFuzzer, or by replay.c, with an input of any content. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the process where a property does not hold: that is a finding. */
#define fuzz_check(condition) \
    ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__, ""))
#define fuzz_check_say(condition, text) \
    ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__, text))
_Noreturn void fuzz_fail(const char *condition, const char *file, int line, const char *text);

/* What is left of an input. */
typedef struct fuzz_input {
    const uint8_t *at;
    size_t left;
} fuzz_input;

/* The next byte; 0 once the input is used up. */
uint8_t fuzz_byte(fuzz_input *from);
/* The next `count` bytes as a little-endian number. */
uint64_t fuzz_number(fuzz_input *from, unsigned count);
/* The next bytes, at most `len` of them; borrowed from the input. */
etx_bytes fuzz_bytes(fuzz_input *from, size_t len);

/* Never NULL. */
void *fuzz_alloc(size_t size);

/* Decodes, growing the room as it says. Checks that one growth is enough, and that an error is one
 * of those that the interface names. */
int fuzz_decode(const etx_codec *codec,
                etx_bytes bytes,
                etx_record_room *room,
                etx_record *ret_record,
                size_t *ret_used);
/* The record's bytes, in a block that the caller frees. Checks `bound`. */
etx_bytes fuzz_encode(const etx_codec *codec, const etx_record *record);
void fuzz_free(etx_bytes bytes);
int fuzz_equal(etx_bytes a, etx_bytes b);

#endif
