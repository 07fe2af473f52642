/* Verifies a file log: reads all of it, changes nothing, tells what is not sound. */
#include "file.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

typedef struct file_verify {
    etx__file_log *log;
    etx_file_finding_fn found;
    void *user;
    etx_file_report report;
} file_verify;

/* Opens a log for looking at: its directory, its list of files, and `home` if that is sound. The
 * log is given also with ETX_ECORRUPT, which says that `home` is not. */
int etx__file_care_open(const char *dir,
                        etx__file_log **ret_log,
                        etx__file_list *ret_list,
                        const etx__file_words *words) {
    const etx_log_config config = {.size = sizeof config, .flags = ETX_LOG_READ_ONLY};
    etx__file_url url = {.direct = 0};
    etx__file_log *log = NULL;
    etx__file_fault fault = {0};
    int rc;
    if (!dir || !*dir)
        return etx__file_say(words, ETX_EINVALID, "name the directory of a log");
    if (strlen(dir) >= sizeof url.dir)
        return etx__file_name_long(strlen(dir), words);
    memcpy(url.dir, dir, strlen(dir) + 1);
    rc = etx__file_new(&config, &url, &log);
    if (rc)
        return etx__file_say(words, rc, "out of memory");
    rc = etx__file_dir_open(log, 0, words);
    if (!rc)
        rc = etx__file_list_read(log->dir_fd, &log->allocator, ret_list, words);
    if (!rc && !ret_list->home) {
        int judged = etx__file_dir_judge(log, ret_list, &fault);
        if (!judged || judged == ETX_EINVALID)
            rc = etx__file_say(words, ETX_ENOTFOUND, "there is no log at %s%s", dir,
                               ret_list->home_tmp ? ": its making was interrupted" : "");
        else if (judged != ETX_ECORRUPT)
            rc = etx__file_say(words, judged, "%s: %s", dir, fault.text);
        if (rc)
            etx__file_list_free(&log->allocator, ret_list);
    }
    if (rc) {
        etx__file_free(log);
        return rc;
    }
    rc = ret_list->copying ? etx__file_say(words, ETX_ECORRUPT,
                                           "%s: an unfinished copy: delete it and repeat", dir)
         : ret_list->home  ? etx__file_home_read(log, words)
                           : etx__file_say(words, ETX_ECORRUPT, "%s: %s", dir, fault.text);
    if (rc && rc != ETX_ECORRUPT) {
        etx__file_list_free(&log->allocator, ret_list);
        etx__file_free(log);
        return rc;
    }
    *ret_log = log;
    return rc;
}

static void finding_tell(file_verify *verify, uint32_t partition, const etx__file_fault *fault) {
    char path[sizeof verify->log->dir + ETX__NAME_SIZE];
    etx_file_finding finding = {.size = sizeof finding,
                                .state = fault->state,
                                .partition = partition,
                                .file = path,
                                .offset = fault->offset,
                                .slot = fault->slot,
                                .text = fault->text};
    snprintf(path, sizeof path, "%s%s%s", verify->log->dir, fault->file[0] ? "/" : "", fault->file);
    if (fault->state > verify->report.state)
        verify->report.state = fault->state;
    if (verify->found)
        verify->found(&finding, verify->user);
}

void etx__file_tally_add(etx__file_tally *tally, const etx_slot *slot) {
    tally->slots++;
    tally->bytes += etx__file_group_length(slot->batch.len);
}

static int tally_slot(const etx_slot *slot, void *user) {
    etx__file_tally_add(user, slot);
    return 0;
}

/* Reads a partition once. 0, 1 (torn), or an error with `fault`. */
static int partition_read(etx__file_partition *partition,
                          etx__file_tally *sum,
                          etx__file_fault *fault) {
    etx__file_log *log = partition->log;
    const etx__file_words words = {fault->text, sizeof fault->text};
    etx__file_fault ignored = {0};
    etx__file_list list;
    int torn;
    int rc = etx__file_list_read(log->dir_fd, &log->allocator, &list, &words);
    *sum = (etx__file_tally){0};
    if (rc) {
        fault->rc = rc;
        return rc;
    }
    etx__file_partition_forget(partition);
    rc = etx__file_state_load(partition, 0, fault);
    torn = rc ? rc : etx__file_chain_load(partition, &list, fault);
    etx__file_list_free(&log->allocator, &list);
    if (torn < 0)
        return torn;
    rc = etx__file_get(partition, 0, tally_slot, sum, &ignored);
    if (rc)
        *fault = ignored;
    return rc ? rc : torn;
}

/* A log in use is looked at again before anything is called damage: a group may be half written,
 * a segment half recycled. Torn is no finding there, and neither is what is never the same. */
static int partition_verify(file_verify *verify,
                            etx__file_partition *partition,
                            const etx__file_words *words) {
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    etx__file_fault before = {0};
    etx__file_fault fault = {0};
    etx__file_tally sum = {0};
    int again = 0;
    int times = 0;
    int rc = 0;
    for (int i = 0; i < 50 && !again; i++) {
        rc = partition_read(partition, &sum, &fault);
        if (rc != ETX_ECORRUPT || !verify->report.in_use)
            break;
        again = etx__file_fault_again(&fault, &before, &times);
        nanosleep(&pause, NULL);
    }
    if (rc == ETX_ECORRUPT && verify->report.in_use && !again)
        rc = 0;
    if (rc == 1 && verify->report.in_use)
        rc = 0;
    if (rc == ETX_EIO || rc == ETX_ENOMEM)
        return etx__file_fault_say(verify->log, &fault, words);
    if (rc)
        finding_tell(verify, partition->number, &fault);
    verify->report.slots += sum.slots;
    verify->report.bytes += sum.bytes;
    if (rc || !(partition->state.flags & ETX__STATE_CLEAN) ||
        partition->state.settled != partition->next)
        verify->report.clean = 0;
    return rc == ETX_EVERSION ? etx__file_fault_say(verify->log, &fault, words) : 0;
}

/* What open refuses: segments of partitions that the log does not have. */
static void beyond_verify(file_verify *verify, const etx__file_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const struct etx__file_entry *entry = &list->entries[i];
        etx__file_fault fault = {0};
        char name[ETX__NAME_SIZE];
        if (entry->partition < verify->log->home.partitions)
            continue;
        etx__file_segment_name(name, entry->partition, entry->number);
        etx__file_fault_set(&fault, ETX_ECORRUPT, name, 0, 0,
                            "a segment of partition %u, but the log has partitions=%u: move it "
                            "away",
                            entry->partition, verify->log->home.partitions);
        finding_tell(verify, entry->partition, &fault);
    }
}

static int verify_all(file_verify *verify,
                      const etx__file_list *list,
                      const etx__file_words *words) {
    etx__file_log *log = verify->log;
    int rc = etx__file_partitions_make(log);
    if (rc)
        return etx__file_say(words, rc, "out of memory");
    verify->report.partitions = log->home.partitions;
    verify->report.segments = list->count;
    beyond_verify(verify, list);
    for (uint32_t i = 0; i < log->home.partitions && !rc; i++)
        rc = partition_verify(verify, &log->partitions[i], words);
    return rc;
}

static void dir_verify(file_verify *verify, const etx__file_list *list) {
    etx__file_fault fault = {0};
    if (!list->foreign[0])
        return;
    etx__file_fault_set(
        &fault, ETX_EINVALID, "", 0, 0,
        "the directory holds a file that is not the log's: '%.80s'; move it away, and "
        "the log opens if nothing else is found",
        list->foreign);
    finding_tell(verify, 0, &fault);
}

/* It is sound, and nobody's any more: what whoever opens it is told. */
static void retired_tell(const file_verify *verify) {
    char path[sizeof verify->log->dir + ETX__NAME_SIZE];
    char text[512];
    const etx_file_finding finding = {
        .size = sizeof finding, .state = ETX_FILE_SOUND, .file = path, .text = text};
    snprintf(path, sizeof path, "%s/moved", verify->log->dir);
    if (verify->found && !etx__file_retired_read(verify->log, text, sizeof text))
        verify->found(&finding, verify->user);
}

int etx_log_file_verify(const char *dir,
                        etx_file_finding_fn found,
                        void *user,
                        etx_file_report *ret_report,
                        char *message,
                        size_t message_size) {
    const etx__file_words words = {message, message_size};
    file_verify verify = {.found = found, .user = user};
    etx__file_fault fault = {0};
    etx__file_words fault_words = {fault.text, sizeof fault.text};
    etx__file_list list;
    int rc = etx__file_room_check(ret_report, "etx_file_report", &words);
    if (rc)
        return rc;
    rc = etx__file_care_open(dir, &verify.log, &list, &fault_words);
    verify.report.clean = 1;
    if (rc && rc != ETX_ECORRUPT)
        return etx__file_say(&words, rc, "%s", fault.text);
    verify.report.in_use = etx__file_lock_probe(dir, &verify.report.owner_pid) != 0;
    verify.log->live = verify.report.in_use;
    if (verify.report.in_use)
        verify.report.clean = 0;
    dir_verify(&verify, &list);
    if (list.moved)
        retired_tell(&verify);
    if (rc) {
        snprintf(fault.file, sizeof fault.file, "%s", list.copying ? "copying" : "home");
        fault.state = ETX_FILE_CORRUPT;
        verify.report.clean = 0;
        finding_tell(&verify, 0, &fault);
        rc = 0;
    } else {
        rc = verify_all(&verify, &list, &words);
    }
    etx__file_list_free(&verify.log->allocator, &list);
    etx__file_free(verify.log);
    if (!rc)
        etx__file_give(ret_report, &verify.report, sizeof verify.report);
    return rc;
}
