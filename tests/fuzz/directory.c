/* Reads a file log's directory whole through the log interface, and holds it to its contract. */
#include "directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct slot_reading {
    directory_part *part;
    uint64_t next;
    uint32_t checksum;
    uint32_t partition;
    int any;
} slot_reading;

static int take_slot(const etx_slot *slot, void *user) {
    slot_reading *reading = user;
    directory_part *part = reading->part;
    fuzz_check(slot->partition == reading->partition && slot->batch.len > 0);
    fuzz_check(!reading->any || slot->slot == reading->next);
    fuzz_check(!reading->any || slot->predecessor == reading->checksum);
    fuzz_check(etx_slot_checksum(slot->partition, slot->slot, slot->nonce, slot->predecessor,
                                 slot->batch) == slot->checksum);
    if (part->count == 0) {
        part->first = slot->slot;
    }
    fuzz_check(part->count < DIRECTORY_SLOTS_MAX);
    part->checksum[part->count++] = slot->checksum;
    reading->any = 1;
    reading->next = slot->slot + 1;
    reading->checksum = slot->checksum;
    return 0;
}

static int open_log(const char *dir,
                    uint32_t flags,
                    char *message,
                    size_t size,
                    etx_log **ret_log) {
    char url[256];
    const etx_log_config config = {.size = sizeof config,
                                   .url = url,
                                   .node = "fuzz",
                                   .flags = flags | ETX_LOG_NO_CREATE,
                                   .message = message,
                                   .message_size = size};
    snprintf(url, sizeof url, "file:%s", dir);
    int rc = etx_log_file()->open(&config, ret_log);
    fuzz_check(rc == 0 || message[0] != '\0');
    return rc;
}

/* Reads what is open into `ret_slots`. */
static void read_all(etx_log *log, directory_slots *ret_slots) {
    etx_log_info info = {.size = sizeof info};
    fuzz_check(log->ops->info(log, &info) == 0);
    ret_slots->partitions = info.partitions;
    ret_slots->part = calloc(info.partitions, sizeof *ret_slots->part);
    fuzz_check(ret_slots->part != NULL);
    for (uint32_t p = 0; p < info.partitions && ret_slots->rc == 0; p++) {
        slot_reading reading = {.part = &ret_slots->part[p], .partition = p};
        uint64_t mark = 0;
        ret_slots->rc = log->ops->get(log, p, 0, take_slot, &reading, &mark, ret_slots->message,
                                      sizeof ret_slots->message);
        fuzz_check(ret_slots->rc != 0 || !reading.any || ret_slots->part[p].first == mark);
    }
}

void directory_read(const char *dir, directory_slots *ret_slots) {
    etx_log *log = NULL;
    *ret_slots = (directory_slots){0};
    ret_slots->rc =
        open_log(dir, ETX_LOG_READ_ONLY, ret_slots->message, sizeof ret_slots->message, &log);
    if (ret_slots->rc == 0) {
        read_all(log, ret_slots);
        log->ops->close(log, 0);
    }
}

/* Puts one slot behind what partition 0 holds; 0 if nothing is known of its last one. */
static int put_another(etx_log *log, const directory_slots *slots) {
    const directory_part *part = &slots->part[0];
    etx_put put = {.size = sizeof put, .nonce = 99, .batch = {"\1", 1}};
    if (part->count == 0) {
        return 0;
    }
    put.slot = part->first + part->count;
    put.predecessor = part->checksum[part->count - 1];
    put.checksum =
        etx_slot_checksum(put.partition, put.slot, put.nonce, put.predecessor, put.batch);
    fuzz_check_say(log->ops->put(log, &put) == ETX_PUT_WRITTEN, put.message);
    return 1;
}

/* An owner writes into these two, which a reader does without. */
static int keeps_owners_out(const char *dir) {
    static const char *const names[] = {"lock", "owner"};
    int kept_out = 0;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        struct stat found;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        kept_out |= stat(path, &found) == 0 && !S_ISREG(found.st_mode);
    }
    return kept_out;
}

void directory_open(const char *dir, const directory_slots *found) {
    directory_slots mine = {0};
    directory_slots after = {0};
    etx_log *log = NULL;
    mine.rc = open_log(dir, 0, mine.message, sizeof mine.message, &log);
    if (mine.rc != 0) {
        fuzz_check_say(found->rc != 0 || keeps_owners_out(dir), mine.message);
        return;
    }
    fuzz_check(!keeps_owners_out(dir));
    read_all(log, &mine);
    if (mine.rc != 0) { /* opening looks at the end alone, from what is settled on */
        fuzz_check_say(found->rc != 0, mine.message);
        log->ops->close(log, 1);
        directory_read(dir, &after);
        fuzz_check(after.rc != 0); /* damage stays damage */
        free(after.part);
        free(mine.part);
        return;
    }
    fuzz_check_say(found->rc == 0, found->message);
    fuzz_check(directory_equal(found, &mine));
    unsigned more = put_another(log, &mine) ? 1 : 0;
    log->ops->close(log, 1);
    directory_read(dir, &after);
    fuzz_check_say(after.rc == 0, after.message);
    fuzz_check(directory_count(&after) == directory_count(&mine) + more);
    free(after.part);
    free(mine.part);
}

uint64_t directory_count(const directory_slots *slots) {
    uint64_t count = 0;
    for (uint32_t p = 0; p < slots->partitions; p++) {
        count += slots->part[p].count;
    }
    return count;
}

int directory_equal(const directory_slots *a, const directory_slots *b) {
    int equal = a->rc == b->rc && a->partitions == b->partitions;
    for (uint32_t p = 0; equal && p < a->partitions; p++) {
        equal = memcmp(&a->part[p], &b->part[p], sizeof a->part[p]) == 0;
    }
    return equal;
}

void directory_check_sound(const char *dir, const etx_file_report *made) {
    char message[400] = "";
    etx_file_report report = {.size = sizeof report};
    fuzz_check(etx_log_file_verify(dir, NULL, NULL, &report, message, sizeof message) == 0);
    fuzz_check(report.state == ETX_FILE_SOUND && report.clean && !report.in_use);
    fuzz_check(report.slots == made->slots && report.partitions == made->partitions);
}

const char *directory_path(const image *of, const char *name, char *path, size_t size) {
    snprintf(path, size, "%s/%s", of->dir, name);
    return path;
}

int directory_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fuzz_check(fd >= 0);
    close(fd);
    return fd;
}
