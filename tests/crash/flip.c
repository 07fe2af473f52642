/* Bit flips. A log with one bit turned over must be refused with ETX_ECORRUPT, naming the file and
 * a place not far before the bit, or hold every slot as if nothing had happened: and then take
 * another group and still hold it. */
#include "flip.h"
#include "workload.h"

#include <etx/log_file.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLIP_MOUNT "/sim/flip"
#define FLIP_DIR FLIP_MOUNT "/log"

typedef struct flip {
    const workload *run;
    disk *on;
    uint64_t point;
    const char *file;
    uint64_t offset;
    unsigned bit;
    int named; /* a finding named the file and the place */
    int found; /* there was a finding of damage */
    char said[400];
    char wrong[600];
} flip;

static void finding_note(const etx_file_finding *finding, void *user) {
    flip *of = user;
    const char *name = strrchr(finding->file, '/');
    if (finding->state != ETX_FILE_CORRUPT)
        return;
    of->found = 1;
    snprintf(of->said, sizeof of->said, "%s at byte %llu: %s", finding->file,
             (unsigned long long)finding->offset, finding->text);
    of->named |= name && strcmp(name + 1, of->file) == 0 && finding->offset <= of->offset;
}

static void flip_verify(flip *of) {
    char message[400] = "";
    etx_file_report report = {.size = sizeof report};
    int rc = etx_log_file_verify(FLIP_DIR, finding_note, of, &report, message, sizeof message);
    if (rc)
        snprintf(of->wrong, sizeof of->wrong, "verify ends with %s: %s", etx_error_name(rc),
                 message);
    else if (of->found && !of->named)
        snprintf(of->wrong, sizeof of->wrong, "verify names another place: %s", of->said);
}

/* The refusal is the right one. */
static void refusal_judge(flip *of, int rc, const char *message) {
    if (rc != ETX_ECORRUPT)
        snprintf(of->wrong, sizeof of->wrong, "refused with %s: %s", etx_error_name(rc), message);
    else if (!strstr(message, of->file) || !strstr(message, "at byte"))
        snprintf(of->wrong, sizeof of->wrong, "refused, but it names another place: %s", message);
    else if (!of->found)
        snprintf(of->wrong, sizeof of->wrong, "refused, but verify found nothing: %s", message);
}

static void put_more(flip *of, etx_log *log, const history_reading *reading) {
    etx_put put = {.size = sizeof put,
                   .partition = reading->partition,
                   .predecessor = reading->checksum,
                   .slot = reading->next,
                   .nonce = 0xfeed,
                   .batch = {"more", 4}};
    put.checksum =
        etx_slot_checksum(put.partition, put.slot, put.nonce, put.predecessor, put.batch);
    if (etx_log_file()->put(log, &put) != ETX_PUT_WRITTEN)
        snprintf(of->wrong, sizeof of->wrong, "harmless, but nothing can be put: %s", put.message);
}

/* 1: it was refused, by open or by get. */
static int flip_open(flip *of, int more) {
    char message[400] = "";
    etx_log_config config = {.size = sizeof config,
                             .url = "file:" FLIP_DIR,
                             .node = "flip",
                             .message = message,
                             .message_size = sizeof message};
    etx_log *log = NULL;
    history_reading reading = {0};
    int rc = etx_log_file()->open(&config, &log);
    if (rc) {
        refusal_judge(of, rc, message);
        return 1;
    }
    history_read(&reading, &of->run->history, of->point, log, 0);
    if (reading.rc < 0)
        refusal_judge(of, reading.rc, reading.wrong);
    else if (reading.wrong[0])
        snprintf(of->wrong, sizeof of->wrong, "%s", reading.wrong);
    else if (of->found)
        snprintf(of->wrong, sizeof of->wrong, "opened, but verify found: %s", of->said);
    else if (more)
        put_more(of, log, &reading);
    etx_log_file()->close(log, 0);
    return reading.rc < 0;
}

static void flip_judge(flip *of, flip_tally *tally) {
    of->on = disk_clone(of->run->on, FLIP_MOUNT);
    char path[80];
    snprintf(path, sizeof path, "log/%s", of->file);
    disk_file_flip(of->on, path, of->offset, of->bit);
    flip_verify(of);
    int refused = of->wrong[0] ? 0 : flip_open(of, 1);
    tally->flips++;
    tally->refused += refused != 0;
    tally->harmless += !refused;
    if (!of->wrong[0] && disk_descriptors(of->on))
        snprintf(of->wrong, sizeof of->wrong, "a descriptor leaks");
    if (of->wrong[0]) {
        tally->violations++;
        printf("VIOLATION: %s\n  bit %u of byte %llu of %s turned over\n", of->wrong, of->bit,
               (unsigned long long)of->offset, of->file);
    }
    disk_free(of->on);
}

void flips_judge(int clean, uint64_t from, uint64_t step, uint64_t most, flip_tally *tally) {
    workload run;
    const char *file;
    uint64_t number = 0;
    uint64_t begun = tally->flips;
    uint64_t next = from;
    workload_log(&run, clean);
    for (uint32_t i = 0; (file = disk_file_name(run.on, "log", i)) != NULL; i++) {
        char path[80];
        snprintf(path, sizeof path, "log/%s", file);
        uint64_t bits = disk_file_size(run.on, path) * 8;
        if (strcmp(file, "lock") == 0 || strcmp(file, "owner") == 0)
            continue;
        tally->bytes += bits / 8;
        for (; next < number + bits && (!most || tally->flips - begun < most); next += step) {
            flip of = {.run = &run,
                       .point = run.history.count - 1,
                       .file = file,
                       .offset = (next - number) / 8,
                       .bit = (unsigned)(next % 8)};
            flip_judge(&of, tally);
        }
        number += bits;
    }
    workload_free(&run);
}
