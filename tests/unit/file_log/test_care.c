/* Verify, backup, repair and the sync cost: of sound logs, of logs in use, of damaged ones. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct findings {
    int count;
    etx_file_finding first, last;
    char file[400];
    char text[200];
} findings;

static void found(const etx_file_finding *finding, void *user) {
    findings *all = user;
    all->first = all->count++ ? all->first : *finding;
    all->last = *finding;
    snprintf(all->file, sizeof all->file, "%s", finding->file);
    snprintf(all->text, sizeof all->text, "%s", finding->text);
}

static etx_file_report verify(log_fixture *fixture, const char *name, findings *all) {
    etx_file_report report = {.size = sizeof report};
    char message[300] = "";
    *all = (findings){0};
    int rc = etx_log_file_verify(fixture_path(fixture, name), found, all, &report, message,
                                 sizeof message);
    if (rc)
        print_message("%s\n", message);
    assert_int_equal(rc, 0);
    return report;
}

static void test_verify_sound(void **state) {
    log_fixture *fixture = *state;
    findings all;
    fixture_puts(fixture, 100, 20000);
    etx_file_report report = verify(fixture, "log", &all);
    assert_int_equal(report.state, ETX_FILE_SOUND);
    assert_int_equal(report.in_use, 1);
    assert_int_equal(report.clean, 0);
    assert_int_equal(report.slots, 100);
    assert_true(report.bytes >= 100 * 20000);
    fixture_close(fixture, 1);
    report = verify(fixture, "log", &all);
    assert_int_equal(report.in_use, 0);
    assert_int_equal(report.owner_pid, 0);
    assert_int_equal(report.clean, 1);
    assert_int_equal(report.partitions, 1);
    assert_int_equal(all.count, 0);
    assert_int_equal(fixture_open(fixture, 0), 0);
    fixture_puts(fixture, 1, 10);
    fixture_close(fixture, 0);
    assert_int_equal(verify(fixture, "log", &all).clean, 0);
}

static void test_verify_damaged(void **state) {
    log_fixture *fixture = *state;
    findings all;
    fixture_puts(fixture, 5, 3000);
    fixture_close(fixture, 0);
    file_spoil(fixture_path(fixture, "log/p00-00000001.seg"), 4096 + 4 * 4096 + 1024);
    etx_file_report report = verify(fixture, "log", &all);
    assert_int_equal(report.state, ETX_FILE_CORRUPT);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.last.offset, 4096 + 4 * 4096 + 1024);
    assert_int_equal(all.last.slot, 4);
    assert_non_null(strstr(all.file, "/log/p00-00000001.seg"));
    uint8_t zeros[512] = {0};
    file_patch(fixture_path(fixture, "log/p00-00000001.seg"), 4096 + 4 * 4096 + 1024, zeros, 512);
    report = verify(fixture, "log", &all);
    assert_int_equal(report.state, ETX_FILE_TORN);
    assert_int_equal(all.last.state, ETX_FILE_TORN);
    assert_int_equal(all.last.slot, 4);
    file_spoil(fixture_path(fixture, "log/home"), 100);
    report = verify(fixture, "log", &all);
    assert_int_equal(report.state, ETX_FILE_CORRUPT);
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "none"), found, &all, &report, NULL, 0),
        ETX_ENOTFOUND);
}

typedef struct care_writer {
    log_fixture *fixture;
    int stop;
    int failed;
} care_writer;

static void *write_on(void *user) {
    care_writer *writer = user;
    uint8_t bytes[7000];
    while (!__atomic_load_n(&writer->stop, __ATOMIC_SEQ_CST)) {
        log_chain *chain = &writer->fixture->chain;
        batch_fill(chain->next, bytes, sizeof bytes);
        if (chain_put(chain, bytes, sizeof bytes) != ETX_PUT_WRITTEN)
            writer->failed = 1;
        if (chain->next % 500 == 0)
            chain->subject->ops->trim(chain->subject->log, 0, chain->next - 300);
    }
    return NULL;
}

static void test_in_use(void **state) {
    log_fixture *fixture = *state;
    care_writer writer = {.fixture = fixture};
    pthread_t thread;
    findings all;
    fixture_puts(fixture, 300, 7000);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    for (int i = 0; i < 8; i++) {
        char message[300] = "";
        char dest[300];
        etx_file_report report = verify(fixture, "log", &all);
        if (all.count)
            print_message("%s at %lu: %s\n", all.file, (unsigned long)all.last.offset, all.text);
        assert_int_equal(report.state, ETX_FILE_SOUND);
        snprintf(dest, sizeof dest, "%s/copy%d", fixture->subject.dir, i);
        int rc = etx_log_file_backup(fixture_path(fixture, "log"), dest, i % 2, &report, message,
                                     sizeof message);
        if (rc)
            print_message("%s\n", message);
        assert_true(rc == 0 || rc == ETX_EBUSY);
        if (rc)
            continue;
        assert_true(report.slots >= 300);
        log_subject copy = fixture->subject;
        snprintf(copy.url, sizeof copy.url, "file:%s", dest);
        assert_int_equal(subject_open(&copy, 0), 0);
        assert_int_equal(chain_check(&copy, 0, 0, NULL), report.slots);
        copy.ops->close(copy.log, 1);
    }
    __atomic_store_n(&writer.stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    assert_int_equal(writer.failed, 0);
}

/* What verify says of the same directory. */
static void same_figures(log_fixture *fixture, const char *name, const etx_file_report *report) {
    findings all;
    etx_file_report found = verify(fixture, name, &all);
    assert_int_equal(found.partitions, report->partitions);
    assert_int_equal(found.segments, report->segments);
    assert_int_equal(found.slots, report->slots);
    assert_int_equal(found.bytes, report->bytes);
    assert_int_equal(found.clean, report->clean);
    assert_int_equal(found.in_use, report->in_use);
}

static void test_backup(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    etx_log_info info = {.size = sizeof info};
    etx_log_info copied = {.size = sizeof copied};
    log_subject copy = fixture->subject;
    char dest[300];
    char message[300] = "";
    uint64_t mark;
    findings all;
    fixture_puts(fixture, 200, 20000);
    fixture->subject.ops->trim(fixture->subject.log, 0, 77);
    fixture->subject.ops->info(fixture->subject.log, &info);
    for (int same = 0; same < 2; same++) {
        snprintf(dest, sizeof dest, "%s/copy%d", fixture->subject.dir, same);
        assert_int_equal(etx_log_file_backup(fixture_path(fixture, "log"), dest, same, &report,
                                             message, sizeof message),
                         0);
        assert_int_equal(report.slots, 123);
        same_figures(fixture, same ? "copy1" : "copy0", &report);
        assert_int_equal(etx_log_file_backup(fixture_path(fixture, "log"), dest, same, &report,
                                             message, sizeof message),
                         ETX_EBUSY);
        snprintf(copy.url, sizeof copy.url, "copy%d", same);
        assert_int_equal(verify(fixture, copy.url, &all).clean, 1);
        snprintf(copy.url, sizeof copy.url, "file:%s", dest);
        assert_int_equal(subject_open(&copy, 0), 0);
        assert_int_equal(chain_check(&copy, 0, 0, &mark), 123);
        assert_int_equal(mark, 77);
        copy.ops->info(copy.log, &copied);
        assert_int_equal(strcmp(info.id, copied.id) == 0, same);
        log_chain chain = fixture->chain;
        chain.subject = &copy;
        uint8_t bytes[100];
        batch_fill(chain.next, bytes, sizeof bytes);
        assert_int_equal(chain_put(&chain, bytes, sizeof bytes), ETX_PUT_WRITTEN);
        copy.ops->close(copy.log, 0);
    }
}

/* Repairs into NAME; the copy must open and hold `kept` slots. */
static void repair_into(log_fixture *fixture,
                        int accept,
                        int wanted,
                        uint64_t kept,
                        findings *all,
                        etx_file_state worst) {
    etx_file_report report = {.size = sizeof report};
    char dest[300];
    char message[300] = "";
    *all = (findings){0};
    snprintf(dest, sizeof dest, "%s/repaired", fixture->subject.dir);
    fixture_command("rm -rf '%s'", dest);
    int rc = etx_log_file_repair(fixture_path(fixture, "log"), dest, accept, found, all, &report,
                                 message, sizeof message);
    if (rc != wanted)
        print_message("%s\n", message);
    assert_int_equal(rc, wanted);
    if (rc || (!accept && worst != ETX_FILE_CORRUPT)) {
        assert_int_not_equal(access(dest, F_OK), 0);
        if (!rc)
            same_figures(fixture, "log", &report);
        return;
    }
    same_figures(fixture, "repaired", &report);
    if (!accept)
        assert_int_equal(report.state, worst);
    assert_int_equal(report.slots, kept);
    log_subject copy = fixture->subject;
    snprintf(copy.url, sizeof copy.url, "file:%s", dest);
    if (subject_open(&copy, 0)) {
        print_message("%s\n", copy.message);
        fail();
    }
    assert_int_equal(chain_check(&copy, 0, 0, NULL), kept);
    copy.ops->close(copy.log, 1);
}

static void repair(log_fixture *fixture, int accept, int wanted, uint64_t kept, findings *all) {
    repair_into(fixture, accept, wanted, kept, all, ETX_FILE_SOUND);
}

static void test_repair(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    findings all;
    fixture_puts(fixture, 100, 20000);
    repair(fixture, 0, ETX_EBUSY, 0, &all);
    fixture_close(fixture, 1);
    fixture_command("cp -r '%s/log' '%s/saved'", dir, dir);
    repair(fixture, 0, 0, 0, &all); /* sound: nothing would be lost */
    assert_int_equal(all.count, 0);
    repair(fixture, 1, 0, 100, &all);
    file_spoil(fixture_path(fixture, "log/p00-00000002.seg"), 4096 + 10 * 24576 + 5);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
    assert_int_equal(all.count, 2);
    assert_int_equal(all.first.offset, 4096 + 10 * 24576);
    assert_int_equal(all.first.slot, all.last.slot);
    char words[100]; /* all that goes, and not only where it begins */
    snprintf(words, sizeof words, "leaves out slots %u to 99 (%u)", (unsigned)all.last.slot,
             100 - (unsigned)all.last.slot);
    assert_non_null(strstr(all.text, words));
    repair(fixture, 1, 0, all.last.slot, &all);
    assert_non_null(strstr(all.text, words));
    fixture_command("rm -rf '%s/log' && cp -r '%s/saved' '%s/log' && rm '%s/log/home'", dir, dir,
                    dir, dir);
    repair(fixture, 1, 0, 100, &all);
    assert_int_equal(all.count, 1);
    file_spoil(fixture_path(fixture, "log/p00-00000002.seg"), 77);
    repair(fixture, 1, 0, 100, &all); /* a header hides nothing */
    fixture_command("rm '%s/log/p00-00000002.seg'", dir);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
    repair(fixture, 1, 0, 42, &all);
    fixture_command("rm '%s/log/p00.state'", dir);
    repair(fixture, 1, 0, 42, &all);
}

/* Of a log that was not closed no mark tells how far it went: what stands behind the damage does */
static void test_repair_says_all_that_it_loses(void **state) {
    log_fixture *fixture = *state;
    findings all;
    fixture_puts(fixture, 100, 20000);
    fixture_close(fixture, 0);
    file_spoil(fixture_path(fixture, "log/p00-00000001.seg"), 4096 + 10 * 24576 + 5);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
    assert_int_equal(all.first.slot, 10);
    assert_non_null(strstr(all.text, "leaves out slots 10 to 99 (90)"));
    repair(fixture, 1, 0, 10, &all);
    /* The last segment's name is a link to nothing: how far it went, nothing tells. */
    fixture_command("cd '%s/log' && for last in p00-*.seg; do :; done && ln -sf nowhere $last",
                    fixture->subject.dir);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
    assert_non_null(strstr(all.text, "leaves out at least slots 10 to "));
    assert_non_null(strstr(all.text, "nothing tells how far it went"));
    repair(fixture, 1, 0, 10, &all);
}

/* Nothing but a link has the name of the only segment that holds anything. */
static void test_repair_of_a_link_to_nothing(void **state) {
    log_fixture *fixture = *state;
    findings all;
    fixture_puts(fixture, 20, 20000);
    fixture_await(fixture, 2);
    fixture_close(fixture, 0);
    fixture_command("cd '%s/log' && ln -sf nowhere p00-00000001.seg", fixture->subject.dir);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
    assert_non_null(strstr(all.text, "leaves out at least slots 0 to 0 (1)"));
    repair(fixture, 1, 0, 0, &all);
}

/* Nothing is left above the mark: an empty copy, which goes on at the mark. */
static void test_repair_to_nothing(void **state) {
    log_fixture *fixture = *state;
    findings all;
    fixture_puts(fixture, 100, 20000);
    fixture->subject.ops->trim(fixture->subject.log, 0, 99);
    fixture_close(fixture, 1);
    fixture_command("rm -f '%s'/log/*.seg", fixture->subject.dir);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
    repair(fixture, 1, 0, 0, &all);
    log_subject copy = fixture->subject;
    log_chain chain = {.subject = &copy, .next = 99, .nonce = 3};
    uint8_t bytes[100];
    snprintf(copy.url, sizeof copy.url, "file:%s/repaired", fixture->subject.dir);
    assert_int_equal(subject_open(&copy, 0), 0);
    batch_fill(99, bytes, sizeof bytes);
    assert_int_equal(chain_put(&chain, bytes, sizeof bytes), ETX_PUT_WRITTEN);
    copy.ops->close(copy.log, 0);
    assert_int_equal(subject_open(&copy, 0), 0);
    assert_int_equal(chain_check(&copy, 0, 0, NULL), 1);
    copy.ops->close(copy.log, 1);
    /* What it has taken since is no more allowed to be missing than in any other log. */
    const uint8_t zeros[4096] = {0};
    file_patch(fixture_path(fixture, "repaired/p00-00000001.seg"), 4096, zeros, sizeof zeros);
    assert_int_equal(subject_open(&copy, 0), ETX_ECORRUPT);
}

static void test_torn_is_no_loss(void **state) {
    log_fixture *fixture = *state;
    uint8_t zeros[512] = {0};
    findings all;
    fixture_puts(fixture, 5, 3000);
    fixture_close(fixture, 0);
    file_patch(fixture_path(fixture, "log/p00-00000001.seg"), 4096 + 4 * 4096 + 1024, zeros, 512);
    repair(fixture, 0, 0, 0, &all);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.last.state, ETX_FILE_TORN);
    repair(fixture, 1, 0, 4, &all);
}

/* Writes both copies of the state anew, for a log that never had these. */
static void state_patch(log_fixture *fixture, uint8_t mark, uint8_t settled, uint8_t flags) {
    const char *path = fixture_path(fixture, "log/p00.state");
    size_t len;
    uint8_t *bytes = file_load(path, &len);
    for (size_t at = 0; at < len; at += 4096) {
        uint32_t check;
        bytes[at + 32] = mark;
        bytes[at + 40] = settled;
        bytes[at + 64] = flags;
        check = etx_crc32c(0, bytes + at, 508);
        memcpy(bytes + at + 508, &check, sizeof check); /* little-endian machines only */
    }
    file_patch(path, 0, bytes, len);
    free(bytes);
}

/* Torn, but not where the log would be written on: opening does not cut that, so it is not called
 * harmless. */
static void test_torn_elsewhere(void **state) {
    log_fixture *fixture = *state;
    const uint8_t zeros[512] = {0};
    findings all;
    fixture_puts(fixture, 1, 9000);
    fixture_close(fixture, 0);
    file_patch(fixture_path(fixture, "log/p00-00000001.seg"), 4096 + 1024, zeros, sizeof zeros);
    repair(fixture, 0, 0, 0, &all);
    state_patch(fixture, 200, 200, 2);
    assert_int_equal(verify(fixture, "log", &all).state, ETX_FILE_CORRUPT);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
}

static int backup_code(log_fixture *fixture, const char *from, const char *to) {
    etx_file_report report = {.size = sizeof report};
    char source[300];
    char dest[300];
    char message[400] = "";
    snprintf(dest, sizeof dest, "%s", fixture_path(fixture, to));
    snprintf(source, sizeof source, "%s", fixture_path(fixture, from));
    int rc = etx_log_file_backup(source, dest, 1, &report, message, sizeof message);
    snprintf(fixture->subject.message, sizeof fixture->subject.message, "%s", message);
    return rc;
}

/* Open and verify refuse what a killed copy leaves, and what has lost its home. */
static void test_unfinished_copy(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    findings all;
    uint64_t count;
    fixture_puts(fixture, 30, 20000);
    fixture_close(fixture, 1);
    fixture_command("cp -r '%s/log' '%s/saved' && touch '%s/log/copying'", dir, dir, dir);
    for (int with_home = 1; with_home >= 0; with_home--) {
        assert_int_equal(fixture_read(fixture, 0, &count), ETX_ECORRUPT);
        assert_non_null(strstr(fixture->subject.message, "an unfinished copy: delete it"));
        assert_int_equal(verify(fixture, "log", &all).state, ETX_FILE_CORRUPT);
        assert_non_null(strstr(all.text, "an unfinished copy"));
        repair(fixture, 1, ETX_ECORRUPT, 0, &all);
        assert_int_equal(backup_code(fixture, "saved", "log"), ETX_EBUSY);
        if (with_home)
            fixture_command("cd '%s/log' && mv home home.tmp", dir);
    }
    fixture_command("rm '%s/log/copying'", dir); /* as an older version left it: slots are there */
    assert_int_equal(fixture_read(fixture, 0, &count), ETX_ECORRUPT);
    assert_int_equal(verify(fixture, "log", &all).state, ETX_FILE_CORRUPT);
    fixture_command("rm '%s'/log/*.seg '%s/log/home.tmp'", dir, dir);
    assert_int_equal(fixture_read(fixture, 0, &count), ETX_ECORRUPT); /* a state file alone */
    assert_int_equal(verify(fixture, "log", &all).state, ETX_FILE_CORRUPT);
    fixture_command("rm -rf '%s/log'", dir);
    assert_int_equal(backup_code(fixture, "saved", "log"), 0);
    assert_int_not_equal(access(fixture_path(fixture, "log/copying"), F_OK), 0);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 30);
}

/* Whenever a copy is killed, what it leaves is absent, refused, or complete. */
static void test_killed_copies(void **state) {
    log_fixture *fixture = *state;
    int refused = 0;
    fixture_puts(fixture, 200, 20000);
    fixture_close(fixture, 1);
    snprintf(fixture->subject.url, sizeof fixture->subject.url, "file:%s/copy",
             fixture->subject.dir);
    for (useconds_t i = 0; i < 30; i++) {
        uint64_t count;
        pid_t pid = fork();
        if (pid == 0)
            _exit(backup_code(fixture, "log", "copy") != 0);
        usleep(i * 400);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        int rc = fixture_read(fixture, ETX_LOG_READ_ONLY, &count);
        assert_true(rc == ETX_ECORRUPT || rc == ETX_ENOTFOUND || (rc == 0 && count == 200));
        refused += rc == ETX_ECORRUPT;
        fixture_command("rm -rf '%s/copy'", fixture->subject.dir);
    }
    print_message("%d of 30 were refused\n", refused);
}

/* However a making is killed, it is made anew, and verify says before that there is no log. */
static void test_killed_makings(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    for (useconds_t i = 0; i < 60; i++) {
        etx_file_report report = {.size = sizeof report};
        char message[300] = "";
        uint64_t count;
        fixture_command("rm -rf '%s/log'", fixture->subject.dir);
        pid_t pid = fork();
        if (pid == 0)
            _exit(fixture_open(fixture, 0) != 0);
        usleep(i * 100);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        int rc = etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report, message,
                                     sizeof message);
        assert_true(rc == ETX_ENOTFOUND || (rc == 0 && report.state == ETX_FILE_SOUND));
        assert_int_equal(fixture_read(fixture, ETX_LOG_READ_ONLY, &count), rc);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
    }
}

static void test_dest_in_source(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    const char *const dests[] = {"log", "log/copy", "link/copy", "link", "log/../log/copy//"};
    uint64_t count;
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    fixture_command("ln -s log '%s/link'", dir);
    for (size_t i = 0; i < sizeof dests / sizeof dests[0]; i++) {
        assert_int_equal(backup_code(fixture, "log", dests[i]), ETX_EINVALID);
        assert_non_null(strstr(fixture->subject.message, "directory elsewhere"));
    }
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
}

/* Damage that hides no slot is repaired without anybody's acceptance. */
static void test_repair_loses_nothing(void **state) {
    static const char *const damages[] = {
        "printf X | dd of=p00.state bs=1 seek=40 conv=notrunc status=none",
        "printf X | dd of=p00.state bs=1 seek=4136 conv=notrunc status=none",
        "printf X | dd of=home bs=1 seek=20 conv=notrunc status=none",
        "rm p00.state",
        "cp p00-00000001.seg p00-00000099.seg",
        "cp p00-00000001.seg p07-00000001.seg",
        "echo note > note.txt",
        ": > $(ls p00-*.seg | tail -1)",
    };
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    findings all;
    fixture_puts(fixture, 100, 20000);
    fixture_await(fixture, fixture_last_segment(fixture) + 1);
    fixture_close(fixture, 1);
    fixture_command("cp -r '%s/log' '%s/saved'", dir, dir);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        uint64_t count;
        fixture_command("rm -rf '%s/log' && cp -r '%s/saved' '%s/log' && cd '%s/log' && %s", dir,
                        dir, dir, dir, damages[i]);
        assert_int_not_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(verify(fixture, "log", &all).state, ETX_FILE_CORRUPT);
        repair_into(fixture, 0, 0, 100, &all, ETX_FILE_CORRUPT);
        assert_true(all.count > 0);
    }
}

/* Of an unclean log: the beginning of the last segment is damaged. Its groups are a loss. */
static void test_repair_doubts(void **state) {
    log_fixture *fixture = *state;
    char name[64];
    findings all;
    fixture_puts(fixture, 60, 20000);
    uint32_t last = fixture_last_segment(fixture);
    snprintf(name, sizeof name, "log/p00-%08u.seg", last);
    fixture_await(fixture, last + 1);
    fixture_close(fixture, 0);
    file_spoil(fixture_path(fixture, name), 4096 + 30);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
    assert_int_equal(unlink(fixture_path(fixture, name)), 0);
    repair(fixture, 0, ETX_ECORRUPT, 0, &all);
}

static void test_sync_cost(void **state) {
    log_fixture *fixture = *state;
    etx_sync_cost cost = {.size = sizeof cost};
    char message[200] = "";
    assert_int_equal(
        etx_log_file_sync_cost(fixture->subject.dir, 50, &cost, message, sizeof message), 0);
    assert_true(cost.count > 0);
    assert_true(cost.p50_us > 0 && cost.p99_us >= cost.p50_us && cost.per_s > 0);
    assert_int_equal(etx_log_file_sync_cost("/no/such", 10, &cost, message, sizeof message),
                     ETX_ENOTFOUND);
    assert_true(message[0] != 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_verify_sound),
        CASE(test_verify_damaged),
        CASE(test_in_use),
        CASE(test_backup),
        CASE(test_repair),
        CASE(test_repair_says_all_that_it_loses),
        CASE(test_repair_of_a_link_to_nothing),
        CASE(test_repair_to_nothing),
        CASE(test_torn_is_no_loss),
        CASE(test_torn_elsewhere),
        CASE(test_sync_cost),
        CASE(test_unfinished_copy),
        CASE(test_killed_copies),
        CASE(test_killed_makings),
        CASE(test_dest_in_source),
        CASE(test_repair_loses_nothing),
        CASE(test_repair_doubts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
