/* Fault loops on the file log: each operation of the disk, and each allocation, fails in turn, once
 * and for good, through a whole life of a log: made, filled, trimmed, closed, opened again after a
 * clean end, after a kill, after a power cut, copied. Whatever fails: an error or unknown, no leak,
 * and the next start, on a disk that is well, finds all that was acknowledged.
 *
 * log_faults [KIND]: all, or one kind of disk_kind_name, or "memory". */
#include "../crash/workload.h"

#include <etx/log_file.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COPY_DIR WORKLOAD_MOUNT "/copy"

typedef struct trial {
    workload run;
    int copied; /* a copy was made, when `copy_point` was the last point */
    uint64_t copy_point;
} trial;

typedef struct loops {
    int direct; /* is O_DIRECT used? Without it a failed write stays in the page cache */
    uint64_t trials;
    uint64_t struck;
    uint64_t violations;
} loops;

static void copy_make(trial *of) {
    char message[300] = "";
    if (etx_log_file_backup(WORKLOAD_DIR, COPY_DIR, 1, NULL, message, sizeof message) == 0) {
        of->copied = 1;
        of->copy_point = of->run.history.count - 1;
    } else if (!disk_struck(of->run.on) && !of->run.memory.failed) {
        workload_wrong(&of->run, "backup", message);
    }
}

/* Verify may say that it cannot; but never that a log is damaged that is not. */
static void finding_note(const etx_file_finding *finding, void *user) {
    char text[400];
    snprintf(text, sizeof text, "%s at byte %llu: %s", finding->file,
             (unsigned long long)finding->offset, finding->text);
    if (finding->state == ETX_FILE_CORRUPT)
        workload_wrong(user, "verify of a sound log", text);
}

static void look(trial *of) {
    char message[300] = "";
    etx_file_report report = {.size = sizeof report};
    int rc =
        etx_log_file_verify(WORKLOAD_DIR, finding_note, &of->run, &report, message, sizeof message);
    if (rc && !disk_struck(of->run.on) && !of->run.memory.failed)
        workload_wrong(&of->run, "verify", message);
}

static void puts_some(workload *run, uint32_t count, size_t len) {
    for (uint32_t i = 0; run->log && i < count; i++)
        workload_put(run, 0, len + i);
}

/* As workload_crash, but what fails goes on failing. */
static void dies(workload *run, int power) {
    workload_close(run, 0);
    if (power)
        disk_crash(run->on, disk_rng_choose, &run->rng);
    workload_open(run);
}

static void life(trial *of) {
    workload *run = &of->run;
    workload_open(run);
    puts_some(run, 6, 3000);
    workload_turns(run);
    puts_some(run, 5, 9000);
    if (run->log)
        workload_trim(run, 0, 2);
    workload_turns(run);
    puts_some(run, 5, 9000);
    workload_close(run, 1);
    workload_open(run);
    puts_some(run, 2, 100);
    dies(run, 0);
    puts_some(run, 2, 5000);
    dies(run, 1);
    workload_turns(run);
    puts_some(run, 4, 5000);
    workload_close(run, 0);
    copy_make(of);
    look(of);
}

/* Every start finds what was acknowledged, and goes on. */
static void next_start(trial *of) {
    workload *run = &of->run;
    char url[] = "file:" COPY_DIR;
    char message[300] = "";
    etx_log_config config = {
        .size = sizeof config, .url = url, .message = message, .message_size = sizeof message};
    etx_log *copy = NULL;
    history_reading reading = {0};
    if (of->copied && etx_log_file()->open(&config, &copy))
        workload_wrong(run, "the copy", message);
    if (copy) {
        history_read(&reading, &run->history, of->copy_point, copy, 0);
        etx_log_file()->close(copy, 1);
        if (reading.wrong[0])
            workload_wrong(run, "the copy", reading.wrong);
    }
    if (!run->wrong[0] && workload_open(run))
        workload_wrong(run, "the next start", "refuses");
    if (!run->wrong[0]) {
        uint64_t next = run->next[0];
        workload_put(run, 0, 50);
        if (run->next[0] != next + 1)
            workload_wrong(run, "the next start", "cannot put");
    }
    workload_close(run, 1);
    if (!run->wrong[0] && workload_open(run))
        workload_wrong(run, "the start after the next", "refuses");
    workload_close(run, 1);
}

static void trial_end(trial *of) {
    workload *run = &of->run;
    disk_fault_clear(run->on);
    run->strict = 1;
    run->memory.fail_at = 0;
    if (run->memory.outstanding || run->memory.wrong)
        workload_wrong(run, "memory", "leaks");
    if (disk_descriptors(run->on))
        workload_wrong(run, "descriptors", "leak");
    disk_crash(run->on, disk_rng_choose, &run->rng);
    next_start(of);
}

static void trial_run(loops *all, const disk_fault *fault, uint64_t memory_at, int for_good) {
    static trial of; /* large */
    memset(&of, 0, sizeof of);
    of.run.partitions = 1;
    of.run.rng.state = all->trials;
    snprintf(of.run.options, sizeof of.run.options, "&direct=%d", all->direct);
    disk_random_set(1);
    workload_begin(&of.run);
    if (fault)
        disk_fault_add(of.run.on, fault);
    of.run.memory.fail_at = memory_at;
    of.run.memory.for_good = for_good;
    life(&of);
    all->trials++;
    all->struck = disk_struck(of.run.on) + of.run.memory.failed;
    trial_end(&of);
    if (of.run.wrong[0]) {
        all->violations++;
        printf("VIOLATION: %s\n", of.run.wrong);
        if (fault)
            printf("  %s number %llu fails, %s, error %d, after %zu bytes, keeps %llu\n",
                   disk_kind_name(fault->kind), (unsigned long long)fault->at,
                   for_good ? "for good" : "once", fault->error, fault->first,
                   (unsigned long long)fault->keep);
        else
            printf("  allocation number %llu fails, %s\n", (unsigned long long)memory_at,
                   for_good ? "for good" : "once");
    }
    workload_free(&of.run);
}

/* Each in turn, until the life is over before it. */
static uint64_t loop(loops *all, const disk_fault *fault) {
    uint64_t at = 1;
    for (all->struck = 1; all->struck && all->violations < 10; at++) {
        disk_fault now = {0};
        if (fault)
            now = *fault;
        now.at = at;
        trial_run(all, fault ? &now : NULL, fault ? 0 : at, fault ? fault->for_good : 0);
        if (!fault && all->struck)
            trial_run(all, NULL, at, 1);
    }
    return at - 2;
}

static const disk_fault variants[] = {{.kind = DISK_OPEN, .error = EIO},
                                      {.kind = DISK_OPEN, .error = EMFILE},
                                      {.kind = DISK_OPEN, .error = EACCES},
                                      {.kind = DISK_READ, .error = EIO},
                                      {.kind = DISK_READ, .error = EINTR},
                                      {.kind = DISK_READ, .first = 512},
                                      {.kind = DISK_LIST, .error = EIO},
                                      {.kind = DISK_STAT, .error = EIO},
                                      {.kind = DISK_LOCK, .error = EIO},
                                      {.kind = DISK_LOCK, .error = ENOLCK},
                                      {.kind = DISK_CREATE, .error = EIO},
                                      {.kind = DISK_CREATE, .error = ENOSPC},
                                      {.kind = DISK_WRITE, .error = EIO},
                                      {.kind = DISK_WRITE, .error = EIO, .first = 512},
                                      {.kind = DISK_WRITE, .error = EIO, .first = 4096},
                                      {.kind = DISK_WRITE, .error = EIO, .first = SIZE_MAX},
                                      {.kind = DISK_WRITE, .error = ENOSPC, .first = 4096},
                                      {.kind = DISK_WRITE, .error = EINTR},
                                      {.kind = DISK_WRITE, .first = 512},
                                      {.kind = DISK_ALLOCATE, .error = ENOSPC},
                                      {.kind = DISK_ALLOCATE, .error = EOPNOTSUPP},
                                      {.kind = DISK_SYNC, .error = EIO},
                                      {.kind = DISK_SYNC, .error = EIO, .keep = 1},
                                      {.kind = DISK_SYNC, .error = ENOSPC, .keep = 2},
                                      {.kind = DISK_SYNC_DIR, .error = EIO},
                                      {.kind = DISK_RENAME, .error = EIO},
                                      {.kind = DISK_RENAME, .error = ENOSPC},
                                      {.kind = DISK_UNLINK, .error = EIO},
                                      {.kind = DISK_MKDIR, .error = EIO},
                                      {.kind = DISK_MKDIR, .error = ENOSPC}};

static void loops_run(loops *all, const char *only) {
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        const char *name = disk_kind_name(variants[i].kind);
        for (int for_good = 0; for_good < 2; for_good++) {
            disk_fault fault = variants[i];
            fault.for_good = for_good;
            /* who is interrupted for ever tries for ever */
            if ((only && strcmp(only, name) != 0) || (for_good && fault.error == EINTR))
                continue;
            printf("%s, %s, %s: %llu in turn\n", name,
                   fault.error ? strerror(fault.error) : "short", for_good ? "for good" : "once",
                   (unsigned long long)loop(all, &fault));
        }
    }
    if (!only || strcmp(only, "memory") == 0)
        printf("memory, once and for good: %llu in turn\n", (unsigned long long)loop(all, NULL));
}

int main(int argc, char **argv) {
    loops all = {0};
    for (; all.direct < 2; all.direct++) {
        printf("direct=%d\n", all.direct);
        loops_run(&all, argc > 1 ? argv[1] : NULL);
    }
    printf("%llu lives, each with a fault, %llu violations\n", (unsigned long long)all.trials,
           (unsigned long long)all.violations);
    return all.violations || !all.trials;
}
