/* Fuzzes the sealed sectors of a file log: `home`, a segment's header, a copy of the state. What
 * decode takes, encode writes again to bytes that decode to the same; and nothing that has a wrong
 * check is taken. */
#include "fuzz.h"

#include "../../src/integration/log/file.h"

#include <string.h>

/* What is not listed in docs/log-format.md may be set by a later writer of this version. */
static void check_fields(const uint8_t *given, const uint8_t *made, size_t fields) {
    fuzz_check(memcmp(given, made, fields) == 0);
    for (size_t i = fields; i < ETX__SECTOR - 4; i++) {
        fuzz_check(made[i] == 0);
    }
}

static void check_home(const uint8_t *block) {
    uint8_t made[ETX__SECTOR];
    etx__file_home home;
    int rc = etx__file_home_decode(block, &home);
    fuzz_check(rc == 0 || rc == ETX_ECORRUPT || rc == ETX_EVERSION);
    if (rc == 0) {
        fuzz_check(strlen(home.id) == ETX_HOME_ID_LEN);
        fuzz_check(home.partitions >= 1 && home.partitions <= ETX__PARTITIONS_MAX);
        etx__file_home_encode(made, &home);
        fuzz_check(made[32] == (block[32] & 1));
        made[32] = 0;
        check_fields(block, made, 32);
    }
}

static void check_header(const uint8_t *block) {
    uint8_t made[ETX__BLOCK];
    etx__file_home home;
    uint32_t partition;
    uint32_t number;
    int rc = etx__file_header_decode(block, &home, &partition, &number);
    fuzz_check(rc == 0 || rc == ETX_ECORRUPT || rc == ETX_EVERSION);
    if (rc == 0) {
        etx__file_header_encode(made, &home, partition, number);
        check_fields(block, made, 40);
        fuzz_check(memcmp(block + ETX__SECTOR, made + ETX__SECTOR, ETX__BLOCK - ETX__SECTOR) == 0);
    }
}

static void check_state(const uint8_t *block, const char *id, uint32_t partition) {
    uint8_t made[ETX__SECTOR];
    etx__file_state state;
    int rc = etx__file_state_decode(block, id, partition, &state);
    fuzz_check(rc == 0 || rc == ETX_ECORRUPT || rc == ETX_EVERSION);
    if (rc == 0) {
        etx__file_state_encode(made, id, partition, &state);
        check_fields(block, made, 68);
    }
}

/* As a writer of another content would seal it. */
static void seal(uint8_t *block) {
    etx__put32(block + ETX__SECTOR - 4, etx_crc32c(0, block, ETX__SECTOR - 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    unsigned how = fuzz_byte(&input);
    etx_bytes bytes = fuzz_bytes(&input, ETX__BLOCK);
    uint8_t block[ETX__BLOCK] = {0};
    char id[ETX_HOME_ID_LEN + 1] = "fabc123";
    if (bytes.len > 0) {
        memcpy(block, bytes.data, bytes.len);
    }
    if (how & 1) {
        seal(block);
    }
    int sealed = etx__get32(block + ETX__SECTOR - 4) == etx_crc32c(0, block, ETX__SECTOR - 4);
    etx__file_home home;
    fuzz_check(sealed || etx__file_home_decode(block, &home) == ETX_ECORRUPT);
    if (how & 2) {
        memcpy(id, block + 16, ETX_HOME_ID_LEN);
    }
    check_home(block);
    check_header(block);
    check_state(block, id, how & 4 ? etx__get32(block + 12) : how >> 3);
    return 0;
}
