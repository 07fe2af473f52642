/* A directory of a file log made from a fuzz input: what its writer and a crash leave there. */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEPS_MAX = 64, FILL_MAX = 200000, DESCRIPTORS_MAX = 8 };

/* ---- files */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

static void remove_tree(const char *path) {
    (void)nftw(path, remove_entry, DESCRIPTORS_MAX, FTW_DEPTH | FTW_PHYS);
}

/* In memory where the system has such a place: nothing here has to survive. */
static void dir_make(image *to) {
    const char *base = getenv("ETX_FUZZ_DIR");
    if (base == NULL || strlen(base) > 64) {
        base = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    }
    snprintf(to->dir, sizeof to->dir, "%s/etx-fuzz-%ld", base, (long)getpid());
    snprintf(to->path, sizeof to->path, "%s/log", to->dir);
    remove_tree(to->dir);
    fuzz_check_say(mkdir(to->dir, 0700) == 0, to->dir);
    fuzz_check_say(mkdir(to->path, 0700) == 0, to->path);
    to->fd = open(to->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fuzz_check(to->fd >= 0);
}

void image_write(image *to, const char *name, uint64_t offset, const void *bytes, size_t len) {
    int fd = openat(to->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        fuzz_check(pwrite(fd, bytes, len, (off_t)offset) == (ssize_t)len);
        close(fd);
    }
}

size_t image_read(image *from, const char *name, uint64_t offset, void *bytes, size_t len) {
    int fd = openat(from->fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd >= 0 ? pread(fd, bytes, len, (off_t)offset) : 0;
    if (fd >= 0) {
        close(fd);
    }
    return count > 0 ? (size_t)count : 0;
}

void image_file_draw(image *from, char ret_name[ETX__NAME_SIZE]) {
    unsigned drawn = fuzz_byte(&from->input);
    uint32_t partition = drawn % from->home.partitions;
    uint32_t kind = drawn / 8 % 8;
    if (kind == 0) {
        snprintf(ret_name, ETX__NAME_SIZE, "home");
    } else if (kind == 1) {
        snprintf(ret_name, ETX__NAME_SIZE, "p%02u.state", partition);
    } else {
        uint32_t number = 1 + (kind - 2) % from->partition[partition].segments;
        etx__file_segment_name(ret_name, partition, number);
    }
}

/* ---- what the writer does */

static void state_write(image *to, image_partition *partition) {
    uint8_t sector[ETX__SECTOR];
    char name[ETX__NAME_SIZE];
    snprintf(name, sizeof name, "p%02u.state", partition->number);
    etx__file_state_encode(sector, to->home.id, partition->number, &partition->state);
    image_write(to, name, partition->state.sequence % 2 * ETX__BLOCK, sector, sizeof sector);
}

static void segment_add(image *to, image_partition *partition) {
    uint8_t block[ETX__BLOCK];
    char name[ETX__NAME_SIZE];
    uint32_t number = partition->segments + 1;
    etx__file_header_encode(block, &to->home, partition->number, number);
    etx__file_segment_name(name, partition->number, number);
    image_write(to, name, 0, block, sizeof block);
    int fd = openat(to->fd, name, O_WRONLY | O_CLOEXEC);
    fuzz_check(fd >= 0 && ftruncate(fd, (off_t)to->home.segment_size) == 0);
    close(fd);
    partition->segments = number;
}

static void partition_make(image *to, uint32_t number) {
    image_partition *partition = &to->partition[number];
    const uint8_t zeros[ETX__BLOCK] = {0};
    char name[ETX__NAME_SIZE];
    partition->number = number;
    partition->seed = etx__file_seed(to->home.id, number);
    partition->segment = 1;
    partition->end = ETX__BLOCK;
    snprintf(name, sizeof name, "p%02u.state", number);
    image_write(to, name, ETX__BLOCK, zeros, sizeof zeros);
    state_write(to, partition);
    partition->state.sequence++;
    state_write(to, partition);
    segment_add(to, partition);
}

static image_partition *partition_draw(image *to) {
    return &to->partition[fuzz_byte(&to->input) % to->home.partitions];
}

/* The next group with `batch`, at its place: behind the last one, or at the next segment's
 * beginning. 0: there is no room for it. */
static int group_next(image *to,
                      image_partition *partition,
                      etx_bytes batch,
                      etx__file_group *ret_group) {
    uint64_t length = etx__file_group_length(batch.len);
    if (partition->torn || partition->count == IMAGE_SLOTS_MAX || batch.len == 0) {
        return 0;
    }
    if (partition->end + length > to->home.segment_size) {
        if (partition->segment == IMAGE_SEGMENTS_MAX) {
            return 0;
        }
        if (partition->segment == partition->segments) {
            segment_add(to, partition);
        }
        partition->segment++;
        partition->end = ETX__BLOCK;
    }
    *ret_group = (etx__file_group){.partition = partition->number,
                                   .segment = partition->segment,
                                   .slot = partition->count,
                                   .nonce = 0x1122334455667788 + partition->count / 3,
                                   .batch = batch,
                                   .offset = partition->end,
                                   .length = length};
    if (partition->count > 0) {
        ret_group->predecessor = partition->slot[partition->count - 1].checksum;
    }
    ret_group->checksum = etx_slot_checksum(ret_group->partition, ret_group->slot, ret_group->nonce,
                                            ret_group->predecessor, ret_group->batch);
    return 1;
}

static void group_note(image_partition *partition, const etx__file_group *group) {
    partition->slot[partition->count++] =
        (image_slot){group->checksum, group->segment, group->offset, group->length};
    partition->end = group->offset + group->length;
}

static void put(image *to, image_partition *partition, etx_bytes batch) {
    etx__file_group group;
    char name[ETX__NAME_SIZE];
    if (!group_next(to, partition, batch, &group)) {
        return;
    }
    uint8_t *bytes = fuzz_alloc(group.length);
    etx__file_group_encode(bytes, partition->seed, to->home.id, &group);
    etx__file_segment_name(name, group.partition, group.segment);
    image_write(to, name, group.offset, bytes, group.length);
    free(bytes);
    group_note(partition, &group);
}

static void step_put(image *to) {
    image_partition *partition = partition_draw(to);
    size_t len = fuzz_number(&to->input, 2);
    put(to, partition, fuzz_bytes(&to->input, len));
}

static void step_fill(image *to) {
    image_partition *partition = partition_draw(to);
    size_t len = 1 + fuzz_number(&to->input, 2) * 64 % FILL_MAX;
    uint8_t *batch = fuzz_alloc(len);
    memset(batch, (int)len, len);
    batch[0] = 1;
    put(to, partition, (etx_bytes){batch, len});
    free(batch);
}

/* Each sector is wholly there, or as it was before. */
static void step_tear(image *to) {
    image_partition *partition = partition_draw(to);
    uint8_t batch[8192] = {1};
    size_t len = 1 + fuzz_number(&to->input, 2) % sizeof batch;
    uint64_t mask = fuzz_number(&to->input, 3);
    uint8_t bytes[4 * ETX__BLOCK];
    etx__file_group group;
    char name[ETX__NAME_SIZE];
    uint32_t kept = 0;
    if (!group_next(to, partition, (etx_bytes){batch, len}, &group)) {
        return;
    }
    fuzz_check(group.length <= sizeof bytes);
    etx__file_group_encode(bytes, partition->seed, to->home.id, &group);
    etx__file_segment_name(name, group.partition, group.segment);
    uint32_t count = (uint32_t)(group.length / ETX__SECTOR);
    for (uint32_t i = 0; i < count; i++) {
        if ((mask >> (i % 24) & 1) == 0) {
            image_write(to, name, group.offset + (uint64_t)i * ETX__SECTOR,
                        bytes + (size_t)i * ETX__SECTOR, ETX__SECTOR);
            kept++;
        }
    }
    if (kept == count) {
        group_note(partition, &group);
    } else {
        partition->torn = kept > 0;
    }
}

static void step_segment(image *to) {
    image_partition *partition = partition_draw(to);
    if (partition->segments < IMAGE_SEGMENTS_MAX) {
        segment_add(to, partition);
    }
}

static void settle(image *to, image_partition *partition, uint32_t flags) {
    etx__file_state *state = &partition->state;
    state->sequence++;
    state->settled = partition->count;
    state->flags = flags;
    if (partition->count > 0) {
        const image_slot *last = &partition->slot[partition->count - 1];
        state->offset = last->offset;
        state->checksum = last->checksum;
        state->segment = last->segment;
    }
    state_write(to, partition);
}

static void step_trim(image *to) {
    image_partition *partition = partition_draw(to);
    uint64_t mark = partition->state.mark + fuzz_byte(&to->input) % 8;
    int files = fuzz_byte(&to->input) & 1;
    if (partition->count == 0) {
        return;
    }
    partition->state.mark = mark < partition->count ? mark : partition->count - 1;
    settle(to, partition, 0);
    /* A segment goes that is not the first slot's to be kept, nor a later one. */
    uint32_t first = partition->slot[partition->state.mark].segment;
    for (; files && partition->removed + 1 < first; partition->removed++) {
        char name[ETX__NAME_SIZE];
        etx__file_segment_name(name, partition->number, partition->removed + 1);
        (void)unlinkat(to->fd, name, 0);
    }
}

static void step_close(image *to) {
    image_partition *partition = partition_draw(to);
    settle(to, partition, fuzz_byte(&to->input) & 1 ? ETX__STATE_CLEAN : 0);
}

static void step_stale(image *to) {
    image_partition *partition = partition_draw(to);
    uint64_t at = partition->end + (uint64_t)(fuzz_byte(&to->input) % 32) * ETX__SECTOR;
    unsigned count = fuzz_byte(&to->input) % 16;
    char name[ETX__NAME_SIZE];
    etx__file_segment_name(name, partition->number, partition->segment);
    for (; count > 0 && at < to->home.segment_size && !partition->torn; count--) {
        uint8_t sector[ETX__SECTOR] = {0};
        etx__put32(sector + 4, partition->segment - 1);
        etx__put64(sector + 8, count / 4);
        etx__put32(sector + 16, count);
        etx__put32(sector + 20, 16);
        etx__put32(sector, etx_crc32c(partition->seed, sector + 4, ETX__SECTOR - 4));
        image_write(to, name, at, sector, sizeof sector);
        at += ETX__SECTOR;
    }
}

static void step_do(image *to) {
    image_step step = (image_step)(fuzz_byte(&to->input) % IMAGE_STEPS);
    switch (step) {
        case IMAGE_PUT:
            step_put(to);
            return;
        case IMAGE_FILL:
            step_fill(to);
            return;
        case IMAGE_TEAR:
            step_tear(to);
            return;
        case IMAGE_SEGMENT:
            step_segment(to);
            return;
        case IMAGE_TRIM:
            step_trim(to);
            return;
        case IMAGE_CLOSE:
            step_close(to);
            return;
        case IMAGE_STALE:
            step_stale(to);
            return;
        case IMAGE_FLIP:
        case IMAGE_PATCH:
        case IMAGE_CUT:
        case IMAGE_REMOVE:
        case IMAGE_NAME:
        case IMAGE_STATE:
        case IMAGE_COPY:
            image_step_damage(to, step);
            return;
        case IMAGE_STEPS:
            return;
    }
}

void image_make(image *ret_image, fuzz_input input) {
    uint8_t sector[ETX__SECTOR];
    *ret_image = (image){.input = input};
    /* Mostly one: a segment has a mebibyte, and each is read several times. */
    uint32_t drawn = fuzz_byte(&ret_image->input) % 16;
    uint32_t partitions = drawn < 11 ? 1 : drawn < 15 ? 2 : IMAGE_PARTITIONS_MAX;
    ret_image->home = (etx__file_home){"fabc123", partitions, ETX__SEGMENT_MIN};
    dir_make(ret_image);
    etx__file_home_encode(sector, &ret_image->home);
    image_write(ret_image, "home", 0, sector, sizeof sector);
    for (uint32_t i = 0; i < partitions; i++) {
        partition_make(ret_image, i);
    }
    for (unsigned i = 0; i < STEPS_MAX && ret_image->input.left > 0; i++) {
        step_do(ret_image);
    }
    image_flip(ret_image);
}

void image_remove(image *from) {
    close(from->fd);
    remove_tree(from->dir);
}
