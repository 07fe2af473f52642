/* Writes a log of random records of every type: "write_records DIR SEED COUNT" makes DIR, with some
 * records in each slot. For the reader that knows the documents alone. */
#include <etx/log_file.h>

#include <stdio.h>
#include <stdlib.h>

#include "records.h"

enum { PARTITIONS = 2, SLOT_RECORDS_MAX = 4, BATCH_MAX = 1 << 20 };

typedef struct log_writer {
    etx_log *log;
    dice dice;
    record_stock stock;
    uint64_t slot[PARTITIONS];
    uint32_t checksum[PARTITIONS];
    char batch[BATCH_MAX];
} log_writer;

static int fail(const char *what) {
    fprintf(stderr, "write_records: %s\n", what);
    return 1;
}

static etx_log *open_log(const char *dir) {
    char message[300] = "";
    char url[600];
    etx_log *log = NULL;
    snprintf(url, sizeof url, "file:%s?partitions=%d&segment=1M", dir, PARTITIONS);
    const etx_log_config config = {.size = sizeof config,
                                   .url = url,
                                   .node = "test",
                                   .message = message,
                                   .message_size = sizeof message};
    if (etx_log_file()->open(&config, &log) != 0) {
        (void)fail(message);
    }
    return log;
}

/* A batch of records, each of another type than the one before; its length. */
static size_t draw_batch(log_writer *writer, unsigned *type, unsigned count) {
    const etx_codec *codec = etx_codec_binary();
    size_t len = 0;
    writer->batch[len++] = (char)codec->id;
    for (unsigned i = 0; i < count; i++) {
        etx_record record = record_draw(&writer->dice, &writer->stock, *type);
        if (codec->bound(&record) > BATCH_MAX - len) {
            break;
        }
        len += codec->encode(&record, writer->batch + len);
        *type = *type % ETX_RECORD_LOSS + 1;
    }
    return len;
}

static int put_batch(log_writer *writer, unsigned partition, size_t len) {
    etx_put put = {.size = sizeof put,
                   .partition = partition,
                   .slot = writer->slot[partition]++,
                   .predecessor = writer->checksum[partition],
                   .nonce = dice_roll(&writer->dice),
                   .batch = {writer->batch, len}};
    put.checksum =
        etx_slot_checksum(put.partition, put.slot, put.nonce, put.predecessor, put.batch);
    writer->checksum[partition] = put.checksum;
    return etx_log_file()->put(writer->log, &put) == ETX_PUT_WRITTEN ? 0 : fail(put.message);
}

int main(int argc, char **argv) {
    log_writer *writer = calloc(1, sizeof *writer);
    unsigned type = ETX_RECORD_OWN;
    int failed = argc != 4 ? fail("usage: write_records DIR SEED COUNT") : 0;
    if (failed || writer == NULL || (writer->log = open_log(argv[1])) == NULL) {
        free(writer);
        return 1;
    }
    writer->dice.state = strtoull(argv[2], NULL, 10);
    for (long i = 0; i < strtol(argv[3], NULL, 10) && !failed; i++) {
        size_t len = draw_batch(writer, &type, 1 + dice_below(&writer->dice, SLOT_RECORDS_MAX));
        failed = put_batch(writer, dice_below(&writer->dice, PARTITIONS), len);
    }
    etx_log_file()->close(writer->log, 1);
    free(writer);
    return failed;
}
