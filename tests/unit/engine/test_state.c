/* The state directory: files that are damaged, newer or cannot be written, two nodes in one,
 * another log, none. */
#include "rig_seen.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void file_of(const struct shop *shop, char path[512]) {
    snprintf(path, 512, "%s/%s.state", shop->state, shop->log.id);
}

/* Every cut, and every changed byte: it counts as absent, and is named. */
static void a_damaged_file_counts_as_absent(void **state) {
    struct shop shop;
    char path[512];
    char text[4096];
    char message[300];
    etx_seen seen = {.size = sizeof seen};
    (void)state;
    shop_make(&shop);
    shop_lose_partition_2(&shop);
    file_of(&shop, path);
    int fd = open(path, O_RDWR);
    ssize_t len = read(fd, text, sizeof text);
    assert_true(len > 0 && len < (ssize_t)sizeof text);
    for (ssize_t at = 0; at < len; at++) {
        char changed = (char)(text[at] ^ 1);
        assert_int_equal(pwrite(fd, &changed, 1, at), 1);
        int rc = etx_seen_read(shop.state, shop.log.id, &seen, message, sizeof message);
        assert_true(rc == ETX_ECORRUPT || rc == ETX_EVERSION);
        assert_non_null(strstr(message, path));
        assert_int_equal(pwrite(fd, &text[at], 1, at), 1);
    }
    assert_int_equal(etx_seen_read(shop.state, shop.log.id, &seen, message, sizeof message), 0);
    etx_seen_free(&seen);
    for (ssize_t left = len - 1; left >= 0; left--) {
        assert_int_equal(ftruncate(fd, left), 0);
        assert_int_equal(etx_seen_read(shop.state, shop.log.id, &seen, message, sizeof message),
                         ETX_ECORRUPT);
    }
    close(fd);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_here(one, 2);
    assert_int_equal(atomic_load(&shop.failed), 1);
    assert_non_null(strstr(shop.said, path));
    assert_int_equal(atomic_load(&shop.regressed), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void a_newer_file_is_named(void **state) {
    struct shop shop;
    char path[512];
    char message[300];
    etx_seen seen = {.size = sizeof seen};
    (void)state;
    shop_make(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    rig_close(one, ETX_CLOSE_FINISH);
    file_of(&shop, path);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "etx-state 2\n", 12), 12);
    close(fd);
    assert_int_equal(etx_seen_read(shop.state, shop.log.id, &seen, message, sizeof message),
                     ETX_EVERSION);
    assert_non_null(strstr(message, "newer version"));
    shop_end(&shop);
}

static int start_in_child(struct shop *shop) {
    pid_t child = fork();
    if (child == 0) {
        etx_engine *other = shop_node_make(shop, "two", shop->state);
        _exit(etx_engine_start(other) == ETX_EBUSY ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* Two nodes would write over what the other remembers: the second does not start. */
static void two_nodes_do_not_share_it(void **state) {
    struct shop shop;
    char message[300];
    (void)state;
    shop_make(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    etx_engine *two = shop_node_make(&shop, "two", shop.state);
    assert_int_equal(etx_engine_start(two), ETX_EBUSY);
    etx_engine_message(two, message, sizeof message);
    assert_non_null(strstr(message, "of its own"));
    etx_engine_free(two);
    assert_int_equal(start_in_child(&shop), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    two = shop_node_start(&shop, "two", shop.state);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void a_directory_that_cannot_be_is_told(void **state) {
    struct shop shop;
    char message[300];
    char file[HOST_PATH_MAX + 32];
    char below[HOST_PATH_MAX + 64];
    (void)state;
    shop_make(&shop);
    snprintf(file, sizeof file, "%s/file", shop.dir.path);
    close(open(file, O_WRONLY | O_CREAT, 0600));
    snprintf(below, sizeof below, "%s/state", file);
    etx_engine *one = shop_node_make(&shop, "one", below);
    assert_int_equal(etx_engine_start(one), ETX_EIO);
    etx_engine_message(one, message, sizeof message);
    assert_non_null(strstr(message, below));
    etx_engine_free(one);
    shop_end(&shop);
}

/* The tables were made anew: another log is where the home was. */
static void another_log_in_its_place_is_refused(void **state) {
    struct shop shop;
    char message[500];
    (void)state;
    shop_make(&shop);
    rig_log_backup(&shop.log); /* it is empty */
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_restore(&shop.log);
    char then[ETX_HOME_ID_LEN + 1];
    char path[512];
    memcpy(then, shop.log.id, sizeof then);
    file_of(&shop, path);
    shop.log.id[1] = shop.log.id[1] == 'x' ? 'y' : 'x';
    one = shop_node_make(&shop, "one", shop.state);
    assert_int_equal(etx_engine_start(one), ETX_EREGRESSED);
    etx_engine_message(one, message, sizeof message);
    assert_non_null(strstr(message, then));
    assert_non_null(strstr(message, path));
    etx_engine_free(one);
    assert_int_equal(unlink(path), 0);
    one = shop_node_start(&shop, "one", shop.state);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void without_one_the_home_says_so(void **state) {
    struct shop shop;
    etx_home_status home = {.size = sizeof home};
    (void)state;
    shop_make(&shop);
    etx_engine *one = shop_node_start(&shop, "one", NULL);
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_non_null(strstr(home.remark, "without a state directory"));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Nothing can take its name while a directory has it. */
static void put_in_the_way(const char *path) {
    (void)unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void await_file(const char *path) {
    for (uint64_t until = host_now_ms() + 20000; access(path, F_OK) != 0;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

static void await_told(const atomic_uint *count, unsigned times) {
    for (uint64_t until = host_now_ms() + 20000; atomic_load(count) < times;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

static void await_written(const struct shop *shop) {
    etx_seen seen = {.size = sizeof seen};
    char message[300];
    for (uint64_t until = host_now_ms() + 20000;
         etx_seen_read(shop->state, shop->log.id, &seen, message, sizeof message) != 0;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    etx_seen_free(&seen);
}

/* It is told once, written as soon as it can be, whether or not anything else is put, and told
 * again when that fails once more. */
static void what_cannot_be_written_is_told_once(void **state) {
    struct shop shop;
    char path[512];
    char fresh[520];
    (void)state;
    shop_make(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_here(one, 2);
    file_of(&shop, path);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    await_written(&shop);
    put_in_the_way(path);
    shop_commit_in(one, "one", 2);
    await_told(&shop.failed, 1);
    assert_non_null(strstr(shop.said, path));
    assert_int_equal(unlink(fresh), 0);
    await_file(fresh); /* the next attempt: it fails as well, unless the way is free by then */
    assert_int_equal(unlink(fresh), 0);
    await_file(fresh); /* ... and is over */
    assert_int_equal(atomic_load(&shop.failed), 1);
    assert_int_equal(rmdir(path), 0);
    await_written(&shop);
    assert_int_equal(atomic_load(&shop.failed), 1);
    put_in_the_way(path);
    shop_commit_in(one, "two", 2);
    await_told(&shop.failed, 2);
    assert_int_equal(rmdir(path), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* What can be written of one home does not make what cannot be written of another news. */
static void each_home_is_told_for_itself(void **state) {
    struct shop shop;
    rig_log second;
    etx_home_status home = {.size = sizeof home};
    char url[64];
    char path[512];
    char fresh[520];
    (void)state;
    shop_make(&shop);
    rig_log_make(&second, NULL, "partitions=4");
    snprintf(url, sizeof url, "shared%s", strchr(second.url, ':'));
    etx_engine *one = shop_node_make(&shop, "one", shop.state);
    rig_must(one, etx_engine_home(one, url), "second home");
    rig_start(one);
    shop_await_here(one, 2);
    rig_must(one, etx_engine_home_status(one, 1, &home), "status");
    file_of(&shop, path);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    await_written(&shop);
    put_in_the_way(path);
    shop_commit_in(one, "one", 2);
    await_told(&shop.failed, 1);
    for (int i = 0; i < 3; i++) { /* an attempt is over when there is another */
        char gid[64];
        etx_outcome outcome = ETX_OUTCOME_INIT;
        snprintf(gid, sizeof gid, "@%s:well-%d", home.id, i);
        rig_must(one, etx_tx_run(rig_pair(one, "bank", gid, 'D'), &outcome), "run");
        assert_int_equal(unlink(fresh), 0);
        await_file(fresh);
    }
    assert_int_equal(atomic_load(&shop.failed), 1);
    assert_int_equal(rmdir(path), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_end(&second);
    shop_end(&shop);
}

/* Of the same log, and sound, but of more partitions than that has. */
static void a_file_of_other_partitions_counts_as_absent(void **state) {
    struct shop shop;
    char path[512];
    char text[4096];
    char sum[16];
    (void)state;
    shop_make(&shop);
    shop_lose_partition_2(&shop);
    file_of(&shop, path);
    int fd = open(path, O_RDWR);
    ssize_t len = read(fd, text, sizeof text - 1);
    assert_true(len > 0);
    text[len] = 0;
    char *partitions = strstr(text, "\npartitions 4\n");
    char *last = strstr(text, "\nsum ");
    assert_true(partitions != NULL && last != NULL);
    partitions[sizeof "\npartitions"] = '9';
    last++;
    snprintf(sum, sizeof sum, "sum %08x\n", etx_crc32c(0, text, (size_t)(last - text)));
    memcpy(last, sum, strlen(sum));
    assert_int_equal(pwrite(fd, text, (size_t)len, 0), len);
    close(fd);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    assert_int_equal(atomic_load(&shop.failed), 1);
    assert_non_null(strstr(shop.said, "other partitions"));
    shop_await_whole(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Each fact has one line of the file, whatever an adapter says of its store. */
static void what_has_lines_is_one_line(void **state) {
    struct shop shop;
    char message[300];
    etx_seen seen = {.size = sizeof seen};
    (void)state;
    shop_make(&shop);
    shop.log.identity = "system 1\ntimeline 1";
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    rig_close(one, ETX_CLOSE_FINISH);
    assert_int_equal(etx_seen_read(shop.state, shop.log.id, &seen, message, sizeof message), 0);
    assert_string_equal(seen.identity, "system 1 timeline 1");
    etx_seen_free(&seen);
    shop_end(&shop);
}

/* A node's directory is its own; who only reads remembers nothing, and does not take it. */
static void who_only_reads_does_not_take_it(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop.flags = ETX_INSPECT | ETX_READ_ONLY;
    etx_engine *reader = shop_node_start(&shop, "reader", shop.state);
    rig_close(reader, ETX_CLOSE_LEAVE);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_file_counts_as_absent),
        cmocka_unit_test(a_newer_file_is_named),
        cmocka_unit_test(two_nodes_do_not_share_it),
        cmocka_unit_test(a_directory_that_cannot_be_is_told),
        cmocka_unit_test(another_log_in_its_place_is_refused),
        cmocka_unit_test(without_one_the_home_says_so),
        cmocka_unit_test(what_cannot_be_written_is_told_once),
        cmocka_unit_test(each_home_is_told_for_itself),
        cmocka_unit_test(a_file_of_other_partitions_counts_as_absent),
        cmocka_unit_test(what_has_lines_is_one_line),
        cmocka_unit_test(who_only_reads_does_not_take_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
