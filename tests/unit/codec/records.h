/* Random records for the codec tests, and their comparison. */
#ifndef ETX_TEST_RECORDS_H
#define ETX_TEST_RECORDS_H

#include <etx/codec_json.h>
#include <etx/codec.h>

/* A generator of pseudo-random numbers (xorshift), so that a seed names a run. */
typedef struct dice {
    uint64_t state;
} dice;

uint64_t dice_roll(dice *from);
/* 0 to limit - 1. */
unsigned dice_below(dice *from, unsigned limit);

enum { STOCK_BRANCHES = 40, STOCK_BYTES = 1 << 16, STOCK_DEPENDS_ON = 1024 };

/* What a random record points to. */
typedef struct record_stock {
    etx_record_branch branches[STOCK_BRANCHES];
    etx_record_progress progress[STOCK_BRANCHES];
    uint16_t depends_on[STOCK_DEPENDS_ON];
    unsigned char bytes[STOCK_BYTES];
    size_t depends_on_used;
    size_t bytes_used;
} record_stock;

/* A valid record of the type (etx_record_type); it lives until the stock is used again. */
etx_record record_draw(dice *from, record_stock *stock, unsigned type);
/* Stops the test where the records differ in any field. */
void record_assert_equal(const etx_record *a, const etx_record *b);
/* Decodes, growing the room as needed. */
int record_decode(const etx_codec *codec,
                  etx_bytes bytes,
                  etx_record_room *room,
                  etx_record *ret_record,
                  size_t *ret_used);

#endif
