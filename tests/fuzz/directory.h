/* Reading a file log's directory whole, for fuzz targets that compare what it holds. */
#ifndef ETX_TESTS_FUZZ_DIRECTORY_H
#define ETX_TESTS_FUZZ_DIRECTORY_H

#include "image.h"

#include <etx/log_file.h>

enum { DIRECTORY_SLOTS_MAX = 512 };

/* The slots of a partition; checked to follow from one another. */
typedef struct directory_part {
    uint64_t first;
    unsigned count;
    uint32_t checksum[DIRECTORY_SLOTS_MAX];
} directory_part;

typedef struct directory_slots {
    int rc; /* of opening and reading */
    uint32_t partitions;
    directory_part *part; /* to be freed */
    char message[400];
} directory_slots;

/* Opens it read only, and reads all. */
void directory_read(const char *dir, directory_slots *ret_slots);
/* Opens it as an owner does: that gives what a reader found; then it takes another slot, which
 * stays when it is closed in order. Where `lock` or `owner` is no file, it is refused. */
void directory_open(const char *dir, const directory_slots *found);
uint64_t directory_count(const directory_slots *slots);
int directory_equal(const directory_slots *a, const directory_slots *b);
/* Verify calls it sound, with as many slots as the report of its making says. */
void directory_check_sound(const char *dir, const etx_file_report *made);
/* DIR/NAME beside the image's log. */
const char *directory_path(const image *of, const char *name, char *path, size_t size);
/* The number that the next descriptor gets. */
int directory_descriptor(void);

#endif
