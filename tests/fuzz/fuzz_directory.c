/* Fuzzes the directory of a file log: verify, open, get, backup and repair of whatever an input
 * leaves there.
 *
 * What a writer and a crash leave opens with every slot that was put. One flipped bit is harmless
 * or refused, with file and offset; a repair that asks for no acceptance loses nothing by it.
 * Whatever else is there: verify and open agree, slots follow from one another, a copy holds what
 * its source gave, and looking changes nothing. No descriptor is left open. */
#include "directory.h"

#include <stdlib.h>
#include <string.h>

/* What is done to it beyond verifying and reading. Numbers stand in the corpora. */
typedef enum what {
    WHAT_NOTHING,
    WHAT_BACKUP,
    WHAT_BACKUP_NEW_ID,
    WHAT_REPAIR,
    WHAT_REPAIR_ACCEPT,
    WHAT_OPEN,
    WHATS
} what;

/* All that was put and is not trimmed is in `found`, and nothing else. */
static void check_complete(const image *from, const directory_slots *found) {
    fuzz_check(found->rc == 0);
    for (uint32_t p = 0; p < from->home.partitions; p++) {
        const image_partition *partition = &from->partition[p];
        const directory_part *part = &found->part[p];
        uint64_t mark = partition->state.mark;
        fuzz_check(part->count == partition->count - mark);
        fuzz_check(part->count == 0 || part->first == mark);
        for (unsigned i = 0; i < part->count; i++) {
            fuzz_check(part->checksum[i] == partition->slot[mark + i].checksum);
        }
    }
}

static int is_torn(const image *from) {
    int torn = 0;
    for (uint32_t p = 0; p < from->home.partitions; p++) {
        torn |= from->partition[p].torn;
    }
    return torn;
}

static void check_flipped(const image *from, const directory_slots *found) {
    if (found->rc == 0) {
        check_complete(from, found);
        return;
    }
    fuzz_check_say(found->rc == ETX_ECORRUPT, found->message);
    fuzz_check_say(strstr(found->message, from->flip_file) != NULL, found->message);
    fuzz_check_say(strstr(found->message, "at byte ") != NULL, found->message);
}

/* What verify says and what opening comes to. */
static void check_agree(int rc, const etx_file_report *report, const directory_slots *found) {
    if (rc == 0 && report->state != ETX_FILE_CORRUPT) {
        fuzz_check_say(found->rc == 0, found->message);
        fuzz_check(report->slots == directory_count(found));
    } else {
        fuzz_check(found->rc != 0 && found->message[0] != '\0');
    }
}

static void check_backup(image *from, const directory_slots *found, int same_id) {
    char dest[192];
    char message[400] = "";
    directory_slots copied;
    etx_file_report report = {.size = sizeof report};
    int rc = etx_log_file_backup(from->path, directory_path(from, "backup", dest, sizeof dest),
                                 same_id, &report, message, sizeof message);
    fuzz_check((rc == 0) == (found->rc == 0));
    fuzz_check(rc == 0 || message[0] != '\0');
    if (rc == 0) {
        directory_check_sound(dest, &report);
        directory_read(dest, &copied);
        fuzz_check(directory_equal(found, &copied));
        free(copied.part);
    }
}

/* Every slot that a repair saves was put; with one flipped bit, all before it are saved. */
static void check_saved(const image *from, const directory_slots *saved) {
    for (uint32_t p = 0; p < from->home.partitions; p++) {
        const image_partition *partition = &from->partition[p];
        const directory_part *part = &saved->part[p];
        for (unsigned i = 0; i < part->count; i++) {
            fuzz_check(part->first + i < partition->count);
            fuzz_check(part->checksum[i] == partition->slot[part->first + i].checksum);
        }
    }
}

static void check_repair(image *from, const directory_slots *found, int accept_loss) {
    char dest[192];
    char message[400] = "";
    directory_slots saved;
    etx_file_report report = {.size = sizeof report};
    int rc = etx_log_file_repair(from->path, directory_path(from, "repair", dest, sizeof dest),
                                 accept_loss, NULL, NULL, &report, message, sizeof message);
    fuzz_check(rc == 0 || message[0] != '\0');
    if (rc != 0) {
        fuzz_check(found->rc != 0);
        return;
    }
    if (!accept_loss && report.state != ETX_FILE_CORRUPT) {
        fuzz_check(found->rc == 0); /* left alone */
        return;
    }
    report.state = ETX_FILE_SOUND;
    directory_check_sound(dest, &report);
    directory_read(dest, &saved);
    fuzz_check(saved.rc == 0);
    if (found->rc == 0) {
        fuzz_check(directory_equal(found, &saved));
    } else if (!from->damaged) {
        check_saved(from, &saved);
        if (!accept_loss) {
            check_complete(from, &saved);
        }
    }
    free(saved.part);
}

static void do_more(image *from, const directory_slots *found, what more) {
    switch (more) {
        case WHAT_BACKUP:
        case WHAT_BACKUP_NEW_ID:
            check_backup(from, found, more == WHAT_BACKUP);
            return;
        case WHAT_REPAIR:
        case WHAT_REPAIR_ACCEPT:
            check_repair(from, found, more == WHAT_REPAIR_ACCEPT);
            return;
        case WHAT_OPEN:
            directory_open(from->path, found);
            return;
        case WHAT_NOTHING:
        case WHATS:
            return;
    }
}

static void check_all(image *from, what more) {
    char message[400] = "";
    directory_slots found;
    etx_file_report report = {.size = sizeof report};
    etx_file_report again = {.size = sizeof again};
    int rc = etx_log_file_verify(from->path, NULL, NULL, &report, message, sizeof message);
    fuzz_check(rc == 0 || message[0] != '\0');
    directory_read(from->path, &found);
    check_agree(rc, &report, &found);
    if (!from->damaged && !from->flipped) {
        check_complete(from, &found);
        fuzz_check(report.state == (is_torn(from) ? ETX_FILE_TORN : ETX_FILE_SOUND));
    } else if (!from->damaged) {
        check_flipped(from, &found);
    }
    do_more(from, &found, more);
    if (more != WHAT_NOTHING && more != WHAT_OPEN) {
        fuzz_check(etx_log_file_verify(from->path, NULL, NULL, &again, message, sizeof message) ==
                   rc);
        fuzz_check(rc != 0 || memcmp(&report, &again, sizeof report) == 0);
    }
    free(found.part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    what more = (what)(fuzz_byte(&input) % WHATS);
    int first = directory_descriptor();
    image from;
    image_make(&from, input);
    check_all(&from, more);
    image_remove(&from);
    fuzz_check(directory_descriptor() == first);
    return 0;
}
