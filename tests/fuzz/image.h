/* A directory of a file log, made from a fuzz input as a list of steps: what a writer, a crash and
 * an operator leave there, and damage of every kind. What must be found in it is kept beside it. */
#ifndef ETX_TESTS_FUZZ_IMAGE_H
#define ETX_TESTS_FUZZ_IMAGE_H

#include "fuzz.h"

#include "../../src/integration/log/file.h"

/* Numbers stand in the corpora: append only. */
typedef enum image_step {
    IMAGE_PUT = 0,     /* partition, length (2 bytes), flags, then the batch */
    IMAGE_FILL = 1,    /* partition, length in units of 64 bytes (2): a batch of no meaning */
    IMAGE_TEAR = 2,    /* partition, length (2), mask (3): a put that a crash cut short */
    IMAGE_SEGMENT = 3, /* partition: the next segment is there, empty */
    IMAGE_TRIM = 4,    /* partition, how many slots; flags: the files go as well */
    IMAGE_CLOSE = 5,   /* partition: settled, and closed in order if flagged */
    IMAGE_STALE = 6,   /* partition, offset, count: sectors of an earlier life behind the end */
    IMAGE_FLIP = 7,    /* file, offset (3), bit: when all else is done */
    IMAGE_PATCH = 8,   /* file, offset (3), length and flag, bytes; flag: the check is put right */
    IMAGE_CUT = 9,     /* file, size (3) */
    IMAGE_REMOVE = 10, /* file */
    IMAGE_NAME = 11,   /* kind of a name, length, bytes: another file */
    IMAGE_STATE = 12,  /* partition, fields: a state of no sense, with a right check */
    IMAGE_COPY = 13,   /* file, file: the first under the second one's name */
    IMAGE_STEPS = 14
} image_step;

enum { IMAGE_PARTITIONS_MAX = 3, IMAGE_SEGMENTS_MAX = 4, IMAGE_SLOTS_MAX = 48 };

typedef struct image_slot {
    uint32_t checksum;
    uint32_t segment;
    uint64_t offset;
    uint64_t length;
} image_slot;

typedef struct image_partition {
    uint32_t number;
    uint32_t seed;
    uint32_t segment;  /* that is written to */
    uint32_t segments; /* that are there, from 1 */
    uint32_t removed;  /* of these, the first so many are gone */
    uint64_t end;
    int torn; /* a torn group stands at `end` */
    unsigned count;
    image_slot slot[IMAGE_SLOTS_MAX]; /* by number, from 0 */
    etx__file_state state;
} image_partition;

typedef struct image {
    fuzz_input input;
    char dir[128]; /* under it `log`, and whatever else a target needs */
    char path[160];
    int fd; /* of the directory `log` */
    etx__file_home home;
    image_partition partition[IMAGE_PARTITIONS_MAX];
    int damaged; /* something was done that neither a writer nor a crash does */
    int flipped; /* nothing but one bit, and that in a file that counts */
    char flip_file[ETX__NAME_SIZE];
    uint64_t flip_at;
    uint8_t flip_bit;
} image;

/* Makes the directory from the rest of the input. */
void image_make(image *ret_image, fuzz_input input);
/* Removes all of it. */
void image_remove(image *from);

/* image_damage.c */
void image_step_damage(image *to, image_step step);
void image_flip(image *to);

/* What both halves use: the file that a byte of the input names (without making it); writes, reads
 * at an offset. */
void image_file_draw(image *from, char ret_name[ETX__NAME_SIZE]);
void image_write(image *to, const char *name, uint64_t offset, const void *bytes, size_t len);
size_t image_read(image *from, const char *name, uint64_t offset, void *bytes, size_t len);

#endif
