/* The binary codec's numbers, shared by its two halves. docs/record-format.md says what they mean;
 * all of them are on disk. */
#ifndef ETX_CODEC_BINARY_H
#define ETX_CODEC_BINARY_H

#include <etx/codec.h>

/* A record is a varint length of its body, a type byte and the body. A field that is seldom there
 * has a bit in a head byte; one that is absent reads as 0 or empty, and one that is present is
 * neither, so that a record has one encoding only. */

/* BEGIN, and the same within MOVE. */
enum {
    BEGIN_MODE = 0x03,
    BEGIN_CHOSEN = 0x04,
    BEGIN_DEADLINE = 0x08,
    BEGIN_INITIATOR = 0x10,
    BEGIN_RESUME = 0x20,
    BEGIN_DURABILITY_SHIFT = 6
};

/* A branch. */
enum {
    BRANCH_KIND = 0x07,
    BRANCH_FLAGS_SHIFT = 3,
    BRANCH_FLAGS = 0x07,
    BRANCH_DEPENDS = 0x40,
    BRANCH_OPTIONS = 0x80 /* a byte of the following bits comes next */
};
enum {
    OPTION_ATTEMPTS = 0x01,
    OPTION_TIMEOUT = 0x02,
    OPTION_RETRY_FIRST = 0x04,
    OPTION_RETRY_CAP = 0x08,
    OPTION_UNKNOWN = 0xf0
};

/* A branch's progress in MOVE. */
enum {
    PROGRESS_REPLY = 0x03,
    PROGRESS_FINISH_SHIFT = 2,
    PROGRESS_SETTLED_SHIFT = 4,
    PROGRESS_SETTLED = 0x07,
    PROGRESS_MORE = 0x80 /* a byte of the following bits comes next */
};
enum { MORE_DIGEST = 0x01, MORE_RESULT = 0x02, MORE_UNKNOWN = 0xfc };

/* MOVE itself. */
enum {
    MOVE_STATE = 0x07,
    MOVE_DECIDED = 0x08,
    MOVE_ENDED = 0x10,
    MOVE_ENDED_NO = 0x20,
    MOVE_REASON = 0x40,
    MOVE_UNKNOWN = 0x80
};

enum { RESULT_OPERATION = 0x03, RESULT_REFUSED = 0x04, RESULT_BYTES = 0x08, RESULT_UNKNOWN = 0xf0 };

enum { DECIDE_COMMIT = 0x01, DECIDE_REASON = 0x02, DECIDE_WHO = 0x04, DECIDE_MARKS_SHIFT = 3 };

enum {
    FORCE_ACTION = 0x03,
    FORCE_OPERATION_SHIFT = 2,
    FORCE_OPERATION = 0x03,
    FORCE_UNKNOWN = 0xf0
};

/* Marks in MOVE: what lies above is of a newer version. */
enum { MARKS_UNKNOWN = 0xe0 };

size_t etx__binary_bound(const etx_record *record);
size_t etx__binary_encode(const etx_record *record, void *buffer);
int etx__binary_decode(etx_bytes bytes,
                       etx_record_room *room,
                       etx_record *ret_record,
                       size_t *ret_used);

#endif
