/* Fault loops on verify and repair: each operation of the disk, and each allocation, fails in turn,
 * once and for good, while a sound log and damaged ones are looked at and copied. Whatever fails:
 * an error, or the answer that is given without a fault; no leak; and the same log, on a disk that
 * is well, is answered for as if nothing had been tried.
 *
 * care_faults [KIND]: all, or one kind of disk_kind_name, or "memory". */
#include "../crash/workload.h"

#include "../../src/integration/log/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_DIR WORKLOAD_MOUNT "/copy"
#define COPY_LOSSY WORKLOAD_MOUNT "/lossy"

/* What is said of a log. */
typedef struct answers {
    int verify;
    etx_file_report report;
    int repair[2]; /* without and with accepting a loss */
    etx_file_report copied[2];
    etx_file_report copy[2]; /* what verify says of the copies, if one was made */
    int has_copy[2];
} answers;

typedef struct trial {
    memory memory;
    answers wanted;
    const char *damage; /* its name */
    disk *sound;        /* what each trial begins with */
    uint64_t trials;
    uint64_t struck;
    uint64_t violations;
} trial;

/* The one of this process: what verify and repair allocate is the C library's, or this. */
static trial *trial_now(void) {
    static trial now;
    return &now;
}

etx_allocator __wrap_etx__file_allocator(const etx_allocator *given);
etx_allocator __wrap_etx__file_allocator(const etx_allocator *given) {
    return given ? *given : trial_now()->memory.allocator;
}

/* ---- the logs */

static void flip_in(disk *on, const char *name, uint64_t offset, uint32_t sectors) {
    char path[64];
    snprintf(path, sizeof path, "log/%s", name);
    for (uint32_t i = 0; i < sectors; i++)
        disk_file_flip(on, path, offset + i * ETX__SECTOR + 40, 3);
}

static void damage_none(disk *on) {
    (void)on;
}

static void damage_home(disk *on) {
    flip_in(on, "home", 0, 1);
}

static void damage_state(disk *on) {
    flip_in(on, "p00.state", 0, 1);
}

static void damage_states(disk *on) {
    flip_in(on, "p00.state", 0, 1);
    flip_in(on, "p00.state", ETX__BLOCK, 1);
}

/* `home` has its first name yet, or again: whether the log was ever in use the segments tell. */
static void damage_name(disk *on) {
    int fd = open(WORKLOAD_DIR, O_RDONLY | O_DIRECTORY);
    (void)on;
    if (fd < 0 || renameat(fd, "home", fd, "home.tmp"))
        abort();
    close(fd);
}

static void damage_header(disk *on) {
    flip_in(on, "p01-00000001.seg", 0, 1);
}

static void damage_beginning(disk *on) {
    flip_in(on, "p01-00000001.seg", ETX__BLOCK, 1);
}

static void damage_middle(disk *on) {
    flip_in(on, "p01-00000001.seg", 4 * ETX__BLOCK, 1);
}

static void damage_much(disk *on) {
    flip_in(on, "p01-00000001.seg", 0, 24);
    flip_in(on, "home", 0, 1);
}

static const struct {
    const char *name;
    void (*make)(disk *on);
    int clean;
} damages[] = {{"none, closed in order", damage_none, 1},
               {"none, killed", damage_none, 0},
               {"home", damage_home, 0},
               {"a state", damage_state, 0},
               {"both states", damage_states, 0},
               {"the name of home", damage_name, 1},
               {"a header", damage_header, 0},
               {"the beginning of a segment", damage_beginning, 1},
               {"the middle of a segment", damage_middle, 0},
               {"home and most of a segment", damage_much, 1}};

/* ---- a trial */

static void copy_look(answers *said, int lossy) {
    etx_file_report *report = &said->copy[lossy];
    said->has_copy[lossy] =
        etx_log_file_verify(lossy ? COPY_LOSSY : COPY_DIR, NULL, NULL, report, NULL, 0) == 0;
}

static void ask(answers *said) {
    memset(said, 0, sizeof *said);
    said->report.size = sizeof said->report;
    for (int lossy = 0; lossy < 2; lossy++)
        said->copied[lossy].size = said->copy[lossy].size = sizeof said->copy[lossy];
    said->verify = etx_log_file_verify(WORKLOAD_DIR, NULL, NULL, &said->report, NULL, 0);
    for (int lossy = 0; lossy < 2; lossy++)
        said->repair[lossy] = etx_log_file_repair(WORKLOAD_DIR, lossy ? COPY_LOSSY : COPY_DIR,
                                                  lossy, NULL, NULL, &said->copied[lossy], NULL, 0);
}

static void wrong(trial *of, const char *what) {
    printf("VIOLATION: damage: %s: %s\n", of->damage, what);
    of->violations++;
}

static int same_report(const etx_file_report *left, const etx_file_report *right) {
    return left->state == right->state && left->slots == right->slots &&
           left->clean == right->clean && left->partitions == right->partitions;
}

/* What was answered under a fault is an error, or the truth. */
static void judge(trial *of, const answers *said) {
    if (!said->verify && !same_report(&said->report, &of->wanted.report))
        wrong(of, "verify says another thing");
    for (int lossy = 0; lossy < 2; lossy++) {
        if (said->repair[lossy])
            continue;
        if (of->wanted.repair[lossy])
            wrong(of, "a repair that is refused was made");
        else if (said->has_copy[lossy] != of->wanted.has_copy[lossy])
            wrong(of, "a repair that succeeded made no copy");
        else if (said->has_copy[lossy] && !same_report(&said->copy[lossy], &of->wanted.copy[lossy]))
            wrong(of, "a copy holds another thing");
    }
}

static void trial_say(const trial *of,
                      uint64_t before,
                      const disk_fault *fault,
                      uint64_t memory_at) {
    if (of->violations == before)
        return;
    if (fault)
        printf("  %s number %llu fails, %s, error %d\n", disk_kind_name(fault->kind),
               (unsigned long long)fault->at, fault->for_good ? "for good" : "once", fault->error);
    else
        printf("  allocation number %llu fails\n", (unsigned long long)memory_at);
}

static void trial_run(trial *of, const disk_fault *fault, uint64_t memory_at, int for_good) {
    uint64_t before = of->violations;
    answers said;
    disk *on = disk_clone(of->sound, WORKLOAD_MOUNT);
    disk_random_set(2);
    mkdir(COPY_LOSSY, 0700); /* an empty directory is as good as none */
    memory_make(&of->memory);
    if (fault)
        disk_fault_add(on, fault);
    of->memory.fail_at = memory_at;
    of->memory.for_good = for_good;
    ask(&said);
    of->trials++;
    of->struck = disk_struck(on) + of->memory.failed;
    disk_fault_clear(on);
    of->memory.fail_at = 0;
    for (int lossy = 0; lossy < 2; lossy++)
        copy_look(&said, lossy);
    if (!fault || fault->error != ENOENT) /* a file that is gone is damage, and may be told so */
        judge(of, &said);
    if (of->memory.outstanding || of->memory.wrong)
        wrong(of, "memory leaks");
    if (disk_descriptors(on))
        wrong(of, "descriptors leak");
    said.verify = etx_log_file_verify(WORKLOAD_DIR, NULL, NULL, &said.report, NULL, 0);
    if (said.verify || !same_report(&said.report, &of->wanted.report))
        wrong(of, "the log is not what it was");
    trial_say(of, before, fault, memory_at);
    disk_free(on);
}

/* Each in turn, until all is over before it. */
static void loop(trial *of, const disk_fault *fault) {
    uint64_t at = 1;
    for (of->struck = 1; of->struck && of->violations < 10; at++) {
        disk_fault now = {0};
        if (fault)
            now = *fault;
        now.at = at;
        trial_run(of, fault ? &now : NULL, fault ? 0 : at, 0);
        if (!fault && of->struck)
            trial_run(of, NULL, at, 1);
    }
}

static const disk_fault variants[] = {{.kind = DISK_OPEN, .error = EIO},
                                      {.kind = DISK_OPEN, .error = EACCES},
                                      {.kind = DISK_OPEN, .file = ".seg", .error = ENOENT},
                                      {.kind = DISK_READ, .error = EIO},
                                      {.kind = DISK_READ, .error = EINTR},
                                      {.kind = DISK_READ, .first = 512},
                                      {.kind = DISK_LIST, .error = EIO},
                                      {.kind = DISK_STAT, .error = EIO},
                                      {.kind = DISK_LOCK, .error = ENOLCK},
                                      {.kind = DISK_CREATE, .error = EIO},
                                      {.kind = DISK_CREATE, .error = EACCES},
                                      {.kind = DISK_WRITE, .error = EIO},
                                      {.kind = DISK_WRITE, .error = ENOSPC},
                                      {.kind = DISK_ALLOCATE, .error = ENOSPC},
                                      {.kind = DISK_SYNC, .error = EIO},
                                      {.kind = DISK_SYNC_DIR, .error = EIO},
                                      {.kind = DISK_RENAME, .error = EIO},
                                      {.kind = DISK_UNLINK, .error = EIO},
                                      {.kind = DISK_MKDIR, .error = EROFS}};

static void loops_run(trial *of, const char *only) {
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        for (int for_good = 0; for_good < 2; for_good++) {
            disk_fault fault = variants[i];
            fault.for_good = for_good;
            /* who is interrupted for ever tries for ever */
            if ((only && strcmp(only, disk_kind_name(fault.kind)) != 0) ||
                (for_good && fault.error == EINTR))
                continue;
            loop(of, &fault);
        }
    }
    if (!only || strcmp(only, "memory") == 0)
        loop(of, NULL);
}

/* As workload_log, in two partitions. */
static void log_make(workload *run, int clean) {
    *run = (workload){.partitions = 2, .nonce = 7};
    disk_random_set(1);
    workload_begin(run);
    workload_open(run);
    for (size_t i = 0; i < 12; i++) {
        workload_put(run, 0, 300 + i * 800);
        workload_put(run, 1, 100);
        workload_turns(run);
        if (i == 9)
            workload_trim(run, 0, 1);
    }
    workload_close(run, clean);
}

/* A log of a few segments, damaged; and what is said of it when nothing fails. */
static void begin(trial *of, size_t damage) {
    workload run;
    log_make(&run, damages[damage].clean);
    damages[damage].make(run.on);
    of->damage = damages[damage].name;
    of->sound = disk_clone(run.on, NULL);
    workload_free(&run);
    disk *on = disk_clone(of->sound, WORKLOAD_MOUNT);
    disk_random_set(2);
    mkdir(COPY_LOSSY, 0700); /* an empty directory is as good as none */
    memory_make(&of->memory);
    ask(&of->wanted);
    for (int lossy = 0; lossy < 2; lossy++)
        copy_look(&of->wanted, lossy);
    printf("%s: verify %d, state %d; repair %d, %d\n", of->damage, of->wanted.verify,
           (int)of->wanted.report.state, of->wanted.repair[0], of->wanted.repair[1]);
    if (of->wanted.verify || of->wanted.repair[1])
        wrong(of, "not even without a fault");
    disk_free(on);
}

int main(int argc, char **argv) {
    trial *of = trial_now();
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        begin(of, i);
        loops_run(of, argc > 1 ? argv[1] : NULL);
        disk_free(of->sound);
    }
    printf("%llu trials, each with a fault, %llu violations\n", (unsigned long long)of->trials,
           (unsigned long long)of->violations);
    return of->violations || !of->trials;
}
