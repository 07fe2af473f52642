/* The bytes of the file log: sectors, groups, segment headers, home and state files, both ways. */
#include "file.h"

#define CRC_AT (ETX__SECTOR - 4)

static const uint8_t home_magic[8] = {'E', 'T', 'X', 'H', 'O', 'M', 'E', '\n'};
static const uint8_t segment_magic[8] = {'E', 'T', 'X', 'S', 'E', 'G', '\n', 0};
static const uint8_t state_magic[8] = {'E', 'T', 'X', 'M', 'A', 'R', 'K', '\n'};
static const uint8_t group_magic[4] = {'E', 'T', 'X', 'G'};

static void seal(uint8_t *sector) {
    etx__put32(sector + CRC_AT, etx_crc32c(0, sector, CRC_AT));
}

/* 0, ETX_ECORRUPT or ETX_EVERSION: a check that holds in every version, then the version. */
static int unseal(const uint8_t *sector, const uint8_t magic[8]) {
    if (memcmp(sector, magic, 8) != 0 ||
        etx__get32(sector + CRC_AT) != etx_crc32c(0, sector, CRC_AT))
        return ETX_ECORRUPT;
    return etx__get32(sector + 8) == ETX__FORMAT ? 0 : ETX_EVERSION;
}

static int all_zero(const uint8_t *bytes, size_t len) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static int id_sound(const uint8_t *id) {
    for (int i = 0; i < ETX_HOME_ID_LEN; i++) {
        if (!((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'z')))
            return 0;
    }
    return id[ETX_HOME_ID_LEN] == 0;
}

static int home_sound(const etx__file_home *home) {
    return home->partitions >= 1 && home->partitions <= ETX__PARTITIONS_MAX &&
           home->segment_size >= ETX__SEGMENT_MIN && home->segment_size <= ETX__SEGMENT_MAX &&
           home->segment_size % ETX__BLOCK == 0;
}

/* Every sector's check is continued from this, so that a sector of another home or partition is
 * not taken for an old one of this. */
uint32_t etx__file_seed(const char *id, uint32_t partition) {
    uint8_t bytes[ETX_HOME_ID_LEN + 5] = {0};
    memcpy(bytes, id, ETX_HOME_ID_LEN);
    etx__put32(bytes + ETX_HOME_ID_LEN + 1, partition);
    return etx_crc32c(0, bytes, sizeof bytes);
}

/* Bytes that a batch takes on disk: whole blocks. */
uint64_t etx__file_group_length(size_t batch_len) {
    uint64_t body = (uint64_t)ETX__SECTOR_BODY * ETX__SECTORS_PER_BLOCK;
    return ((uint64_t)batch_len + ETX__GROUP_HEAD + body - 1) / body * ETX__BLOCK;
}

size_t etx__file_batch_max(uint64_t group_length) {
    return (size_t)(group_length / ETX__SECTOR * ETX__SECTOR_BODY - ETX__GROUP_HEAD);
}

static void group_head_encode(uint8_t *to, const char *id, const etx__file_group *group) {
    memcpy(to, group_magic, 4);
    etx__put32(to + 4, ETX__FORMAT);
    memcpy(to + 8, id, ETX_HOME_ID_LEN + 1);
    etx__put32(to + 16, group->partition);
    etx__put32(to + 20, (uint32_t)group->batch.len);
    etx__put64(to + 24, group->slot);
    etx__put64(to + 32, group->nonce);
    etx__put32(to + 40, group->predecessor);
    etx__put32(to + 44, group->checksum);
    etx__put32(to + 48, group->segment);
    etx__put32(to + 52, 0);
}

static void sector_seal(uint8_t *sector, uint32_t seed, const etx__file_stamp *stamp) {
    etx__put32(sector + 4, stamp->segment);
    etx__put64(sector + 8, stamp->slot);
    etx__put32(sector + 16, stamp->index);
    etx__put32(sector + 20, stamp->count);
    etx__put32(sector, etx_crc32c(seed, sector + 4, ETX__SECTOR - 4));
}

/* One pass: copies the batch into stamped sectors. `to` has room for the group's whole length. */
void etx__file_group_encode(uint8_t *to,
                            uint32_t seed,
                            const char *id,
                            const etx__file_group *group) {
    uint64_t length = etx__file_group_length(group->batch.len);
    etx__file_stamp stamp = {
        .segment = group->segment, .slot = group->slot, .count = (uint32_t)(length / ETX__SECTOR)};
    const uint8_t *from = group->batch.data;
    size_t left = group->batch.len;
    size_t skip = ETX__GROUP_HEAD;
    group_head_encode(to + ETX__SECTOR_HEAD, id, group);
    for (; stamp.index < stamp.count; stamp.index++, to += ETX__SECTOR) {
        size_t room = ETX__SECTOR_BODY - skip;
        size_t len = left < room ? left : room;
        uint8_t *body = to + ETX__SECTOR_HEAD + skip;
        if (len)
            memcpy(body, from, len);
        if (len < room)
            memset(body + len, 0, room - len);
        sector_seal(to, seed, &stamp);
        from += len;
        left -= len;
        skip = 0;
    }
}

etx__file_sector_kind etx__file_sector_decode(const uint8_t *sector,
                                              uint32_t seed,
                                              etx__file_stamp *ret_stamp) {
    if (all_zero(sector, ETX__SECTOR))
        return ETX__SECTOR_ZERO;
    if (etx__get32(sector) != etx_crc32c(seed, sector + 4, ETX__SECTOR - 4))
        return ETX__SECTOR_BAD;
    ret_stamp->segment = etx__get32(sector + 4);
    ret_stamp->slot = etx__get64(sector + 8);
    ret_stamp->index = etx__get32(sector + 16);
    ret_stamp->count = etx__get32(sector + 20);
    return ETX__SECTOR_STAMPED;
}

/* From the first body of a group. 0, ETX_ECORRUPT or ETX_EVERSION; batch.data is not set. */
int etx__file_group_head_decode(const uint8_t *from, const char *id, etx__file_group *ret_group) {
    if (memcmp(from, group_magic, 4) != 0)
        return ETX_ECORRUPT;
    if (etx__get32(from + 4) != ETX__FORMAT)
        return ETX_EVERSION;
    if (memcmp(from + 8, id, ETX_HOME_ID_LEN + 1) != 0)
        return ETX_ECORRUPT;
    ret_group->partition = etx__get32(from + 16);
    ret_group->batch.len = etx__get32(from + 20);
    ret_group->slot = etx__get64(from + 24);
    ret_group->nonce = etx__get64(from + 32);
    ret_group->predecessor = etx__get32(from + 40);
    ret_group->checksum = etx__get32(from + 44);
    ret_group->segment = etx__get32(from + 48);
    return 0;
}

void etx__file_home_encode(uint8_t to[ETX__SECTOR], const etx__file_home *home) {
    memset(to, 0, ETX__SECTOR);
    memcpy(to, home_magic, 8);
    etx__put32(to + 8, ETX__FORMAT);
    etx__put32(to + 12, home->partitions);
    memcpy(to + 16, home->id, ETX_HOME_ID_LEN + 1);
    etx__put64(to + 24, home->segment_size);
    to[32] = home->look;
    seal(to);
}

int etx__file_home_decode(const uint8_t from[ETX__SECTOR], etx__file_home *ret_home) {
    int rc = unseal(from, home_magic);
    if (rc)
        return rc;
    if (!id_sound(from + 16))
        return ETX_ECORRUPT;
    ret_home->partitions = etx__get32(from + 12);
    memcpy(ret_home->id, from + 16, ETX_HOME_ID_LEN + 1);
    ret_home->segment_size = etx__get64(from + 24);
    ret_home->look = from[32] & 1;
    return home_sound(ret_home) ? 0 : ETX_ECORRUPT;
}

void etx__file_header_encode(uint8_t to[ETX__BLOCK],
                             const etx__file_home *home,
                             uint32_t partition,
                             uint32_t number) {
    memset(to, 0, ETX__BLOCK);
    memcpy(to, segment_magic, 8);
    etx__put32(to + 8, ETX__FORMAT);
    etx__put32(to + 12, home->partitions);
    memcpy(to + 16, home->id, ETX_HOME_ID_LEN + 1);
    etx__put64(to + 24, home->segment_size);
    etx__put32(to + 32, partition);
    etx__put32(to + 36, number);
    seal(to);
}

int etx__file_header_decode(const uint8_t from[ETX__BLOCK],
                            etx__file_home *ret_home,
                            uint32_t *ret_partition,
                            uint32_t *ret_number) {
    int rc = unseal(from, segment_magic);
    if (rc)
        return rc;
    if (!all_zero(from + ETX__SECTOR, ETX__BLOCK - ETX__SECTOR) || !id_sound(from + 16))
        return ETX_ECORRUPT;
    ret_home->partitions = etx__get32(from + 12);
    memcpy(ret_home->id, from + 16, ETX_HOME_ID_LEN + 1);
    ret_home->segment_size = etx__get64(from + 24);
    *ret_partition = etx__get32(from + 32);
    *ret_number = etx__get32(from + 36);
    return home_sound(ret_home) ? 0 : ETX_ECORRUPT;
}

void etx__file_state_encode(uint8_t to[ETX__SECTOR],
                            const char *id,
                            uint32_t partition,
                            const etx__file_state *state) {
    memset(to, 0, ETX__SECTOR);
    memcpy(to, state_magic, 8);
    etx__put32(to + 8, ETX__FORMAT);
    etx__put32(to + 12, partition);
    memcpy(to + 16, id, ETX_HOME_ID_LEN + 1);
    etx__put64(to + 24, state->sequence);
    etx__put64(to + 32, state->mark);
    etx__put64(to + 40, state->settled);
    etx__put64(to + 48, state->offset);
    etx__put32(to + 56, state->checksum);
    etx__put32(to + 60, state->segment);
    etx__put32(to + 64, state->flags);
    seal(to);
}

int etx__file_state_decode(const uint8_t from[ETX__SECTOR],
                           const char *id,
                           uint32_t partition,
                           etx__file_state *ret_state) {
    int rc = unseal(from, state_magic);
    if (rc)
        return rc;
    if (etx__get32(from + 12) != partition || memcmp(from + 16, id, ETX_HOME_ID_LEN + 1) != 0)
        return ETX_ECORRUPT;
    ret_state->sequence = etx__get64(from + 24);
    ret_state->mark = etx__get64(from + 32);
    ret_state->settled = etx__get64(from + 40);
    ret_state->offset = etx__get64(from + 48);
    ret_state->checksum = etx__get32(from + 56);
    ret_state->segment = etx__get32(from + 60);
    ret_state->flags = etx__get32(from + 64);
    return 0;
}
