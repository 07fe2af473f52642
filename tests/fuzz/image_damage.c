/* Damage to a file log's directory: what bad disks, other programs and people do to it. */
#include "image.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One bit, in a file that holds the log; done last. */
static void step_flip(image *to) {
    image_file_draw(to, to->flip_file);
    to->flip_at = fuzz_number(&to->input, 3);
    to->flip_bit = (uint8_t)(1 << fuzz_byte(&to->input) % 8);
    to->flipped = 1;
}

void image_flip(image *to) {
    uint8_t byte;
    if (!to->flipped) {
        return;
    }
    struct stat info;
    if (fstatat(to->fd, to->flip_file, &info, 0) != 0 || info.st_size == 0) {
        to->flipped = 0;
        return;
    }
    to->flip_at %= (uint64_t)info.st_size;
    to->flipped = image_read(to, to->flip_file, to->flip_at, &byte, 1) == 1;
    byte ^= to->flip_bit;
    if (to->flipped) {
        image_write(to, to->flip_file, to->flip_at, &byte, 1);
    }
}

/* The check that fits what the sector holds: of a group's sector, or of one that is sealed. */
static void sector_seal(image *to, const char *name, uint64_t offset) {
    uint8_t sector[ETX__SECTOR];
    unsigned partition = 0;
    unsigned number = 0;
    if (image_read(to, name, offset, sector, sizeof sector) != sizeof sector) {
        return;
    }
    int is_segment = sscanf(name, "p%2u-%8u.seg", &partition, &number) == 2;
    if (is_segment && offset >= ETX__BLOCK) {
        uint32_t seed = etx__file_seed(to->home.id, partition);
        etx__put32(sector, etx_crc32c(seed, sector + 4, ETX__SECTOR - 4));
    } else {
        etx__put32(sector + ETX__SECTOR - 4, etx_crc32c(0, sector, ETX__SECTOR - 4));
    }
    image_write(to, name, offset, sector, sizeof sector);
}

static void step_patch(image *to) {
    char name[ETX__NAME_SIZE];
    image_file_draw(to, name);
    uint64_t offset = fuzz_number(&to->input, 3) % (2 * ETX__SEGMENT_MIN);
    unsigned how = fuzz_byte(&to->input);
    etx_bytes bytes = fuzz_bytes(&to->input, how & 127);
    if (bytes.len > 0) {
        image_write(to, name, offset, bytes.data, bytes.len);
    }
    if (how & 128) {
        sector_seal(to, name, offset / ETX__SECTOR * ETX__SECTOR);
    }
}

static void step_cut(image *to) {
    char name[ETX__NAME_SIZE];
    image_file_draw(to, name);
    uint64_t size = fuzz_number(&to->input, 3) % (2 * ETX__SEGMENT_MIN);
    int fd = openat(to->fd, name, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        fuzz_check(ftruncate(fd, (off_t)size) == 0);
        close(fd);
    }
}

static void step_remove(image *to) {
    char name[ETX__NAME_SIZE];
    image_file_draw(to, name);
    (void)unlinkat(to->fd, name, 0);
}

/* Files of other names: the log's own beside its contents, copies, strangers. */
static void step_name(image *to) {
    static const char *const names[] = {
        "copying",          "home.tmp",         "lock",      "owner",
        "p00-spare.tmp",    "p00.state.tmp",    "p03.state", "lost+found",
        "p00-00000009.seg", "p05-00000001.seg",
    };
    char drawn[24] = "";
    unsigned kind = fuzz_byte(&to->input);
    etx_bytes bytes = fuzz_bytes(&to->input, fuzz_byte(&to->input));
    if (kind % 16 < sizeof names / sizeof names[0]) {
        snprintf(drawn, sizeof drawn, "%s", names[kind % 16]);
    } else if (bytes.len > 0) {
        snprintf(drawn, sizeof drawn, "%.*s", (int)bytes.len, (const char *)bytes.data);
    }
    if (drawn[0] == '\0' || strchr(drawn, '/') != NULL || strcmp(drawn, ".") == 0 ||
        strcmp(drawn, "..") == 0) {
        return;
    }
    if (kind & 16) {
        (void)mkdirat(to->fd, drawn, 0700);
    } else {
        image_write(to, drawn, 0, bytes.data, bytes.len);
    }
}

static void step_state(image *to) {
    image_partition *partition = &to->partition[fuzz_byte(&to->input) % to->home.partitions];
    uint8_t sector[ETX__SECTOR];
    char name[ETX__NAME_SIZE];
    unsigned how = fuzz_byte(&to->input);
    unsigned width = how & 1 ? 8 : 1;
    etx__file_state state = partition->state;
    state.sequence += fuzz_byte(&to->input) % 4;
    state.mark = fuzz_number(&to->input, width);
    state.settled = fuzz_number(&to->input, width);
    if (how & 2) {
        state.offset = fuzz_number(&to->input, width);
        state.segment = (uint32_t)fuzz_number(&to->input, width);
        state.checksum += fuzz_byte(&to->input);
    }
    state.flags = fuzz_byte(&to->input);
    snprintf(name, sizeof name, "p%02u.state", partition->number);
    etx__file_state_encode(sector, to->home.id, partition->number, &state);
    image_write(to, name, state.sequence % 2 * ETX__BLOCK, sector, sizeof sector);
}

static void step_copy(image *to) {
    char from_name[ETX__NAME_SIZE];
    char to_name[ETX__NAME_SIZE];
    uint8_t block[8 * ETX__BLOCK];
    image_file_draw(to, from_name);
    image_file_draw(to, to_name);
    size_t len = image_read(to, from_name, 0, block, sizeof block);
    if (len > 0) {
        image_write(to, to_name, 0, block, len);
    }
}

void image_step_damage(image *to, image_step step) {
    to->damaged |= step != IMAGE_FLIP;
    switch (step) {
        case IMAGE_FLIP:
            step_flip(to);
            return;
        case IMAGE_PATCH:
            step_patch(to);
            return;
        case IMAGE_CUT:
            step_cut(to);
            return;
        case IMAGE_REMOVE:
            step_remove(to);
            return;
        case IMAGE_NAME:
            step_name(to);
            return;
        case IMAGE_STATE:
            step_state(to);
            return;
        case IMAGE_COPY:
            step_copy(to);
            return;
        case IMAGE_PUT:
        case IMAGE_FILL:
        case IMAGE_TEAR:
        case IMAGE_SEGMENT:
        case IMAGE_TRIM:
        case IMAGE_CLOSE:
        case IMAGE_STALE:
        case IMAGE_STEPS:
            return;
    }
}
