/* The bytes of the file log: what stands in a sector, a group, a header. docs/log-format.md
 * describes them; file_format.c has the bodies. */
#ifndef ETX_INTEGRATION_LOG_FILE_FORMAT_H
#define ETX_INTEGRATION_LOG_FILE_FORMAT_H

#include <etx/log.h>

#include <string.h>

#define ETX__FORMAT 1
#define ETX__BLOCK 4096u
#define ETX__SECTOR 512u
#define ETX__SECTOR_HEAD 24u
#define ETX__SECTOR_BODY (ETX__SECTOR - ETX__SECTOR_HEAD)
#define ETX__SECTORS_PER_BLOCK (ETX__BLOCK / ETX__SECTOR)
#define ETX__GROUP_HEAD 56u
#define ETX__GROUP_BLOCKS_MAX 1024u
#ifndef ETX__SEGMENT_MIN /* tests of many small logs make it smaller */
#define ETX__SEGMENT_MIN ((uint64_t)1 << 20)
#endif
#define ETX__SEGMENT_MAX ((uint64_t)1 << 30)
#define ETX__PARTITIONS_MAX 256u

typedef struct etx__file_home {
    char id[ETX_HOME_ID_LEN + 1];
    uint32_t partitions;
    uint64_t segment_size;
    uint8_t look; /* a copy to be looked at: no program runs on it */
} etx__file_home;

/* Slots, and the bytes of their groups: what a report counts, of a log that is verified and of a
 * copy that is made. */
typedef struct etx__file_tally {
    uint64_t slots;
    uint64_t bytes;
} etx__file_tally;

typedef enum etx__file_state_flags {
    ETX__STATE_CLEAN = 1 << 0, /* closed in order: the last slot is settled - 1 */
    ETX__STATE_EMPTY = 1 << 1  /* made by repair: no slot is left, the next one is `mark` */
} etx__file_state_flags;

/* A partition's state file. Nothing below `settled` may be cut. */
typedef struct etx__file_state {
    uint64_t sequence;
    uint64_t mark;
    uint64_t settled;  /* slots below were acknowledged */
    uint64_t offset;   /* where slot settled - 1 stands in segment `segment` */
    uint32_t checksum; /* of slot settled - 1 */
    uint32_t segment;
    uint32_t flags;
} etx__file_state;

typedef struct etx__file_stamp {
    uint32_t segment;
    uint64_t slot;
    uint32_t index;
    uint32_t count;
} etx__file_stamp;

typedef enum etx__file_sector_kind {
    ETX__SECTOR_ZERO,
    ETX__SECTOR_STAMPED,
    ETX__SECTOR_BAD
} etx__file_sector_kind;

typedef struct etx__file_group {
    uint32_t partition;
    uint32_t segment;
    uint64_t slot;
    uint64_t nonce;
    uint32_t predecessor;
    uint32_t checksum;
    etx_bytes batch;
    uint64_t offset;
    uint64_t length; /* on disk, a multiple of ETX__BLOCK */
} etx__file_group;

/* Little-endian whatever the machine. */
static inline void etx__put32(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)(value >> 16);
    to[3] = (uint8_t)(value >> 24);
}

static inline void etx__put64(uint8_t *to, uint64_t value) {
    etx__put32(to, (uint32_t)value);
    etx__put32(to + 4, (uint32_t)(value >> 32));
}

static inline uint32_t etx__get32(const uint8_t *from) {
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static inline uint64_t etx__get64(const uint8_t *from) {
    return (uint64_t)etx__get32(from) | (uint64_t)etx__get32(from + 4) << 32;
}

/* file_format.c: bytes to structs and back. Nothing here does I/O. */
uint32_t etx__file_seed(const char *id, uint32_t partition);
uint64_t etx__file_group_length(size_t batch_len);
size_t etx__file_batch_max(uint64_t group_length);
void etx__file_group_encode(uint8_t *to,
                            uint32_t seed,
                            const char *id,
                            const etx__file_group *group);
etx__file_sector_kind etx__file_sector_decode(const uint8_t *sector,
                                              uint32_t seed,
                                              etx__file_stamp *ret_stamp);
int etx__file_group_head_decode(const uint8_t *from, const char *id, etx__file_group *ret_group);
void etx__file_home_encode(uint8_t to[ETX__SECTOR], const etx__file_home *home);
int etx__file_home_decode(const uint8_t from[ETX__SECTOR], etx__file_home *ret_home);
void etx__file_header_encode(uint8_t to[ETX__BLOCK],
                             const etx__file_home *home,
                             uint32_t partition,
                             uint32_t number);
int etx__file_header_decode(const uint8_t from[ETX__BLOCK],
                            etx__file_home *ret_home,
                            uint32_t *ret_partition,
                            uint32_t *ret_number);
void etx__file_state_encode(uint8_t to[ETX__SECTOR],
                            const char *id,
                            uint32_t partition,
                            const etx__file_state *state);
int etx__file_state_decode(const uint8_t from[ETX__SECTOR],
                           const char *id,
                           uint32_t partition,
                           etx__file_state *ret_state);

#endif
