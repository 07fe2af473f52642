/* What crash images have found, told one by one: a process is killed in the middle of a step, the
 * next one finds it done in the page cache, goes on, and then the power fails. */
#include "../conformance/log_subject.h"
#include "../fault/memory.h"
#include "../simulation/disk/disk.h"

#include <etx/log_file.h>

#include <errno.h>
#include <string.h>

#define LEN 3000

typedef struct story {
    disk *on;
    memory memory;
    log_subject subject;
    log_chain chain;
    disk_kind kind; /* the step at which the process is killed */
    const char *name;
    jmp_buf killed;
} story;

static int setup(void **state) {
    static story made;
    memset(&made, 0, sizeof made);
    memory_make(&made.memory);
    made.on = disk_make("/sim/0");
    made.subject.ops = etx_log_file();
    made.chain = (log_chain){.subject = &made.subject, .nonce = 1};
    *state = &made;
    return 0;
}

static int teardown(void **state) {
    story *of = *state;
    disk_free(of->on);
    return 0;
}

static void begin(story *of) {
    etx_log_config config = {.size = sizeof config,
                             .url = "file:/sim/0/log?partitions=1&segment=64K",
                             .node = "story",
                             .allocator = &of->memory.allocator,
                             .message = of->subject.message,
                             .message_size = sizeof of->subject.message};
    if (of->subject.ops->open(&config, &of->subject.log)) {
        print_message("%s\n", of->subject.message);
        fail();
    }
}

static void puts_some(story *of, int count) {
    uint8_t bytes[LEN];
    for (int i = 0; i < count; i++) {
        batch_fill(of->chain.next, bytes, sizeof bytes);
        assert_int_equal(chain_put(&of->chain, bytes, sizeof bytes), ETX_PUT_WRITTEN);
    }
}

static void kill_here(const disk_step *step, void *user) {
    story *of = user;
    size_t len = strlen(step->name);
    size_t wanted = strlen(of->name);
    if (step->kind == of->kind && len >= wanted && strcmp(step->name + len - wanted, of->name) == 0)
        longjmp(of->killed, 1);
}

static void kill_at(story *of, disk_kind kind, const char *name) {
    of->kind = kind;
    of->name = name;
    disk_watch(of->on, kill_here, of);
}

static void is_dead(story *of) {
    disk_watch(of->on, NULL, NULL);
    disk_close_all(of->on);
    memory_drop(&of->memory);
}

static uint32_t choose_nothing(void *user, uint32_t ways) {
    (void)user;
    (void)ways;
    return 0;
}

/* The power fails: all that was acknowledged, from `from` on, is there. */
static void power_fails(story *of, uint64_t from) {
    of->subject.ops->close(of->subject.log, 0);
    disk_crash(of->on, choose_nothing, NULL);
    begin(of);
    assert_int_equal(chain_check(&of->subject, 0, from, NULL), of->chain.next - from);
    of->subject.ops->close(of->subject.log, 1);
    assert_int_equal(of->memory.outstanding, 0);
}

/* A log is being made; its `home` has its name, but the directory is not synced. */
static void test_home_is_named_but_not_synced(void **state) {
    story *of = *state;
    kill_at(of, DISK_RENAME, "home.tmp");
    if (!setjmp(of->killed)) {
        begin(of);
        fail();
    }
    is_dead(of);
    begin(of);
    puts_some(of, 3);
    power_fails(of, 0);
}

/* The making of a log is interrupted, and what is left cannot be read for once: no damage. */
static void test_leftovers_that_cannot_be_read(void **state) {
    story *of = *state;
    etx_log_config config = {.size = sizeof config,
                             .url = "file:/sim/0/log?partitions=1&segment=64K",
                             .allocator = &of->memory.allocator,
                             .message = of->subject.message,
                             .message_size = sizeof of->subject.message};
    const disk_kind kinds[] = {DISK_OPEN, DISK_READ};
    kill_at(of, DISK_RENAME, "home.tmp");
    if (!setjmp(of->killed)) {
        begin(of);
        fail();
    }
    is_dead(of);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        disk_fault_add(
            of->on,
            &(disk_fault){.kind = kinds[i], .at = 1, .error = EIO, .file = "p00-00000001.seg"});
        assert_int_equal(of->subject.ops->open(&config, &of->subject.log), ETX_EIO);
        assert_non_null(strstr(of->subject.message, "p00-00000001.seg"));
    }
    begin(of);
    puts_some(of, 3);
    power_fails(of, 0);
}

/* A segment has its name, but the directory is not synced: what is put there must not go too. */
static void test_segment_is_named_but_not_synced(void **state) {
    story *of = *state;
    begin(of);
    puts_some(of, 10);
    kill_at(of, DISK_RENAME, "p00-spare.tmp");
    if (!setjmp(of->killed)) {
        while (disk_turn(of->on)) /* the settled mark, then the spare */
            ;
        fail();
    }
    is_dead(of);
    begin(of);
    puts_some(of, 10);
    assert_true(disk_file_size(of->on, "log/p00-00000002.seg") == 65536);
    power_fails(of, 0);
}

/* A trim has written its mark, but not synced it: no segment below it may go before it is. */
static void test_mark_is_written_but_not_synced(void **state) {
    story *of = *state;
    begin(of);
    puts_some(of, 40);
    kill_at(of, DISK_SYNC, "p00.state");
    if (!setjmp(of->killed)) {
        of->subject.ops->trim(of->subject.log, 0, 38);
        fail();
    }
    is_dead(of);
    begin(of);
    while (disk_turn(of->on))
        ;
    puts_some(of, 20);
    power_fails(of, 38);
}

/* A trim fails, since its mark cannot be synced; the kernel drops it, but shows it to the next
 * process. The mark that this one tells is not to fall again. */
static void test_mark_whose_sync_failed(void **state) {
    story *of = *state;
    uint64_t mark = 0;
    begin(of);
    puts_some(of, 5);
    disk_fault_add(of->on, &(disk_fault){.kind = DISK_SYNC, .at = 1, .error = EIO});
    assert_int_equal(of->subject.ops->trim(of->subject.log, 0, 3), ETX_EIO);
    of->subject.ops->close(of->subject.log, 0);
    begin(of);
    assert_int_equal(chain_check(&of->subject, 0, 0, &mark), 2);
    assert_int_equal(mark, 3);
    power_fails(of, 3);
    begin(of);
    assert_int_equal(chain_check(&of->subject, 0, 0, &mark), 2);
    assert_int_equal(mark, 3);
    of->subject.ops->close(of->subject.log, 1);
}

/* A backup cannot look at its source: it leaves no descriptor behind. */
static void test_backup_that_cannot_stat(void **state) {
    story *of = *state;
    begin(of);
    puts_some(of, 5);
    of->subject.ops->close(of->subject.log, 1);
    uint64_t most = disk_count(of->on, DISK_STAT);
    for (uint64_t at = 1; at <= most; at++) {
        disk_fault_clear(of->on);
        disk_fault_add(of->on, &(disk_fault){.kind = DISK_STAT, .at = at, .error = EIO});
        etx_log_file_backup("/sim/0/log", "/sim/0/log-copy", 1, NULL, NULL, 0);
        assert_int_equal(disk_descriptors(of->on), 0);
        disk_free(of->on); /* the copy goes with it */
        of->on = disk_make("/sim/0");
        of->chain = (log_chain){.subject = &of->subject, .nonce = 1};
        begin(of);
        puts_some(of, 5);
        of->subject.ops->close(of->subject.log, 1);
    }
}

/* The making of a log fails at its n-th step of a kind, and so does all that would clear up. Then
 * the power fails, in every way that there is: the next one makes the log, or finds it made. */
static int making_fails(story *of, disk_kind kind, uint64_t at) {
    disk_script script = {0};
    etx_log_config config = {.size = sizeof config,
                             .url = "file:/sim/1/log?partitions=1&segment=64K",
                             .allocator = &of->memory.allocator};
    disk *made = disk_make("/sim/1");
    disk *failed;
    int struck;
    disk_fault_add(made, &(disk_fault){.kind = kind, .at = at, .error = EIO, .for_good = 1});
    if (of->subject.ops->open(&config, &of->subject.log) == 0)
        of->subject.ops->close(of->subject.log, 0);
    struck = disk_struck(made) != 0;
    failed = disk_clone(made, NULL);
    disk_free(made);
    do {
        disk_free(of->on);
        of->on = disk_clone(failed, "/sim/0");
        disk_crash(of->on, disk_script_choose, &script);
        begin(of);
        of->subject.ops->close(of->subject.log, 0);
    } while (disk_script_next(&script));
    disk_free(failed);
    return struck;
}

static void test_making_that_fails(void **state) {
    const disk_kind kinds[] = {DISK_OPEN, DISK_LIST, DISK_SYNC_DIR, DISK_RENAME, DISK_UNLINK};
    story *of = *state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (uint64_t at = 1; making_fails(of, kinds[i], at); at++)
            ;
    }
}

/* A put has failed. While the last group is copied to a new segment, the process is killed: the
 * copy is seen, and the mark of an earlier clean close says that this slot was acknowledged. That
 * holds for the slot, not for the copy: it is to be written again. */
static void test_copy_is_written_but_not_synced(void **state) {
    story *of = *state;
    uint8_t bytes[LEN];
    etx_put put;
    begin(of);
    puts_some(of, 3);
    of->subject.ops->close(of->subject.log, 1);
    begin(of);
    disk_fault_add(of->on, &(disk_fault){.kind = DISK_WRITE, .at = 1, .error = EIO});
    batch_fill(of->chain.next, bytes, sizeof bytes);
    put = put_make(&of->chain, of->chain.next, bytes, sizeof bytes);
    assert_int_equal(of->subject.ops->put(of->subject.log, &put), ETX_PUT_UNKNOWN);
    kill_at(of, DISK_WRITE, "p00-00000002.seg");
    if (!setjmp(of->killed)) {
        of->subject.ops->reopen(of->subject.log, 0, NULL, 0);
        fail();
    }
    is_dead(of);
    begin(of);
    puts_some(of, 3);
    power_fails(of, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_home_is_named_but_not_synced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leftovers_that_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_segment_is_named_but_not_synced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mark_is_written_but_not_synced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_making_that_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mark_whose_sync_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backup_that_cannot_stat, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_is_written_but_not_synced, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
