/* The state directory: a shared store that was restored from an older backup is noticed, also if no
 * node ran then; and somebody may go on without what was lost. */
#include "rig.h"

#include <fcntl.h>
#include <sys/wait.h>

enum { PARTITIONS = 4, LEASE_MS = 1000 };

struct shop {
    rig_log log;
    rig_bank bank;
    host_dir dir;
    char url[64];
    char state[HOST_PATH_MAX + 16];
    atomic_uint regressed, accepted, failed; /* as the nodes tell */
    pthread_mutex_t lock;
    char said[512]; /* with the last of those */
};

static void on_event(const etx_event *event, void *user) {
    struct shop *shop = user;
    atomic_uint *count = event->type == ETX_EVENT_LOG_REGRESSED   ? &shop->regressed
                         : event->type == ETX_EVENT_LOSS_ACCEPTED ? &shop->accepted
                         : event->type == ETX_EVENT_STATE_FAILED  ? &shop->failed
                                                                  : NULL;
    if (count != NULL) {
        pthread_mutex_lock(&shop->lock);
        snprintf(shop->said, sizeof shop->said, "%s", event->reason);
        pthread_mutex_unlock(&shop->lock);
        atomic_fetch_add(count, 1);
    }
}

static void shop_make(struct shop *shop) {
    memset(shop, 0, sizeof *shop);
    pthread_mutex_init(&shop->lock, NULL);
    host_dir_make(&shop->dir);
    snprintf(shop->state, sizeof shop->state, "%s/state", shop->dir.path);
    rig_log_make(&shop->log, NULL, "partitions=4");
    snprintf(shop->url, sizeof shop->url, "shared%s", strchr(shop->log.url, ':'));
    rig_bank_make(&shop->bank, 1000);
}

static void shop_end(struct shop *shop) {
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
    host_dir_remove(&shop->dir);
    pthread_mutex_destroy(&shop->lock);
}

static etx_engine *node_make(struct shop *shop, const char *name, const char *state) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_engine *engine = NULL;
    monitor.on_event = on_event;
    monitor.user = shop;
    options.monitor = &monitor;
    options.node = name;
    options.lease_ms = LEASE_MS;
    options.state_dir = state;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    rig_must(engine, etx_engine_log(engine, rig_shared_ops()), "log");
    rig_must(engine, etx_engine_home(engine, shop->url), "home");
    rig_bank_register(&shop->bank, engine, "bank", ETX_TCC, ETX_INLINE);
    return engine;
}

static etx_engine *node_start(struct shop *shop, const char *name, const char *state) {
    etx_engine *engine = node_make(shop, name, state);
    rig_start(engine);
    return engine;
}

static etx_partition_status partition_of(etx_engine *engine, uint32_t number) {
    etx_partition_status status = {.size = sizeof status};
    rig_must(engine, etx_engine_partition_status(engine, 0, number, &status), "status");
    return status;
}

/* Waits until the engine works on the partition, or has found that something is lost there. */
static void await_here(etx_engine *engine, uint32_t number) {
    for (uint64_t until = host_now_ms() + 60000; !partition_of(engine, number).here;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

static void await_regressed(etx_engine *engine, uint32_t number) {
    for (uint64_t until = host_now_ms() + 60000; !partition_of(engine, number).regressed;) {
        assert_false(partition_of(engine, number).here);
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

/* The same where nothing is lost. */
static void await_whole(etx_engine *engine, uint32_t number) {
    for (uint64_t until = host_now_ms() + 60000; !partition_of(engine, number).here;) {
        assert_false(partition_of(engine, number).regressed);
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

/* A gid of the caller's own that belongs to the partition. */
static void gid_in(etx_engine *engine, const char *prefix, uint32_t number, char gid[32]) {
    etx_partition_status status = {.size = sizeof status};
    for (int i = 0; i == 0 || status.number != number; i++) {
        snprintf(gid, 32, "%s-%d", prefix, i);
        rig_must(engine, etx_engine_gid_status(engine, gid, &status), "gid");
    }
}

static int run_in(etx_engine *engine, const char *prefix, uint32_t number, etx_outcome *outcome) {
    char gid[32];
    gid_in(engine, prefix, number, gid);
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    return etx_tx_run(rig_pair(engine, "bank", gid, 'D'), outcome);
}

static void commit_in(etx_engine *engine, const char *prefix, uint32_t number) {
    etx_outcome outcome;
    rig_must(engine, run_in(engine, prefix, number, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
}

/* One commits in every partition, and in partition 2 once more after the backup; it is restored
 * when nobody runs. */
static void lose_partition_2(struct shop *shop) {
    etx_engine *one = node_start(shop, "one", shop->state);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        commit_in(one, "before", i);
    }
    assert_true(rig_written(one, PARTITIONS));
    rig_log_backup(&shop->log);
    commit_in(one, "after", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_restore(&shop->log);
}

/* What `etx log accept-loss` writes. */
static void accept_loss(struct shop *shop, uint32_t number, uint64_t time_ms) {
    uint8_t room[512] = {etx_codec_binary()->id};
    etx_record own = {.type = ETX_RECORD_OWN};
    etx_record loss = {.type = ETX_RECORD_LOSS};
    own.u.own = (etx_record_own){.nonce = 4711, .time_ms = time_ms};
    loss.u.loss = (etx_record_loss){time_ms, {"ann", 3}, {"the disk burnt", 14}};
    size_t len = 1 + etx_codec_binary()->encode(&own, room + 1);
    len += etx_codec_binary()->encode(&loss, room + len);
    rig_log_put(&shop->log, number, 4711, (etx_bytes){room, len});
}

static void an_older_backup_is_noticed_at_start(void **state) {
    struct shop shop;
    etx_outcome outcome;
    etx_home_status home = {.size = sizeof home};
    (void)state;
    shop_make(&shop);
    lose_partition_2(&shop);
    etx_engine *one = node_start(&shop, "one", shop.state);
    await_regressed(one, 2);
    assert_int_equal(atomic_load(&shop.regressed), 1);
    etx_partition_status status = partition_of(one, 2);
    assert_false(status.here);
    assert_non_null(strstr(status.why, "partition 2"));
    assert_non_null(strstr(status.why, "'etx log diff URL --state "));
    assert_non_null(strstr(status.why, "'etx log accept-loss URL --state "));
    assert_non_null(strstr(status.why, shop.state));
    assert_string_equal(shop.said, status.why);
    assert_int_equal(run_in(one, "after", 2, &outcome), ETX_EUNAVAILABLE);
    assert_non_null(strstr(outcome.reason, "the store has lost what it acknowledged"));
    for (uint32_t i = 0; i < PARTITIONS; i++) { /* the others go on */
        if (i != 2) {
            await_here(one, i);
            commit_in(one, "later", i);
        }
    }
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_true(home.usable);
    assert_null(strstr(home.remark, "state directory"));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* The same slots in another store: nothing is lost. */
static void a_copy_that_has_all_is_no_loss(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    shop.log.identity = "system 1, timeline 1";
    etx_engine *one = node_start(&shop, "one", shop.state);
    commit_in(one, "before", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_backup(&shop.log);
    rig_log_restore(&shop.log);
    shop.log.identity = "system 1, timeline 2";
    one = node_start(&shop, "one", shop.state);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        await_here(one, i);
    }
    assert_int_equal(atomic_load(&shop.regressed), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void another_store_is_named(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    shop.log.identity = "system 1, timeline 1";
    lose_partition_2(&shop);
    shop.log.identity = "system 9, timeline 1";
    for (int i = 0; i < 2; i++) { /* also by the next start */
        etx_engine *one = node_start(&shop, "one", shop.state);
        await_regressed(one, 2);
        etx_partition_status status = partition_of(one, 2);
        assert_non_null(strstr(status.why,
                               "The store was system 1, timeline 1 then, and is system "
                               "9, timeline 1."));
        rig_close(one, ETX_CLOSE_FINISH);
    }
    shop_end(&shop);
}

/* Somebody who remembered less has gone on: as far as before, and otherwise. */
static void another_slot_in_its_place_is_a_loss(void **state) {
    struct shop shop;
    etx_seen seen = {.size = sizeof seen};
    char message[300];
    (void)state;
    shop_make(&shop);
    lose_partition_2(&shop);
    assert_int_equal(etx_seen_read(shop.state, shop.log.id, &seen, message, sizeof message), 0);
    while (rig_log_records(&shop.log, 2, 0, NULL, NULL) <= seen.mark[2].slot) {
        rig_log_put(&shop.log, 2, 4711, (etx_bytes){"\x01", 1});
    }
    etx_seen_free(&seen);
    etx_engine *one = node_start(&shop, "one", shop.state);
    await_regressed(one, 2);
    assert_non_null(strstr(partition_of(one, 2).why, "another slot is in its place"));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* A loss that is accepted while a node runs: it goes on there, and says so in its claims. */
static void who_accepts_goes_on(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    lose_partition_2(&shop);
    etx_engine *one = node_start(&shop, "one", shop.state);
    await_regressed(one, 2);
    accept_loss(&shop, 2, host_now_ms());
    await_here(one, 2);
    assert_true(host_wait_for(&shop.accepted, 1));
    assert_string_equal(shop.said, "ann: the disk burnt");
    assert_string_equal(partition_of(one, 2).why, "");
    commit_in(one, "later", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    one = node_start(&shop, "one", shop.state);
    await_here(one, 2);
    assert_int_equal(atomic_load(&shop.accepted), 1); /* it has what was acknowledged since */
    assert_int_equal(atomic_load(&shop.regressed), 1);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void count_losses(const etx_slot *slot, const etx_record *record, void *user) {
    (void)slot;
    *(int *)user += record->type == ETX_RECORD_LOSS;
}

/* It is said again by each claim, so that it outlives the slot that it was written to; and what is
 * lost after it is another loss. */
static void a_later_loss_is_another_one(void **state) {
    struct shop shop;
    int losses = 0;
    (void)state;
    shop_make(&shop);
    lose_partition_2(&shop);
    accept_loss(&shop, 2, host_now_ms());
    etx_engine *one = node_start(&shop, "one", shop.state);
    await_whole(one, 2);
    commit_in(one, "later", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_records(&shop.log, 2, 0, count_losses, &losses);
    assert_int_equal(losses, 2);
    rig_log_backup(&shop.log);
    one = node_start(&shop, "one", shop.state);
    await_whole(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_restore(&shop.log);
    one = node_start(&shop, "one", shop.state);
    await_regressed(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* The claim of who accepted it says it too, and so does one that is said again: here because nobody
 * renewed the lease for a while. */
static void a_loss_is_said_with_each_claim(void **state) {
    struct shop shop;
    int before = 0;
    int after = 0;
    (void)state;
    shop_make(&shop);
    lose_partition_2(&shop);
    accept_loss(&shop, 2, host_now_ms());
    etx_engine *one = node_start(&shop, "one", shop.state);
    await_whole(one, 2);
    commit_in(one, "later", 2);
    rig_log_records(&shop.log, 2, 0, count_losses, &before);
    atomic_store(&shop.log.away, 1);
    usleep(LEASE_MS * 1500);
    atomic_store(&shop.log.away, 0);
    for (uint64_t until = host_now_ms() + 60000; after <= before;) {
        assert_true(host_now_ms() < until);
        usleep(5000);
        after = 0;
        rig_log_records(&shop.log, 2, 0, count_losses, &after);
    }
    commit_in(one, "again", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void note_claim(const etx_slot *slot, const etx_record *record, void *user) {
    if (record->type == ETX_RECORD_OWN) {
        *(uint64_t *)user = slot->slot;
    }
}

/* What this node was acknowledged last is not there any more, since another has trimmed it. */
static void what_was_trimmed_is_not_lost(void **state) {
    struct shop shop;
    uint64_t claim = 0;
    (void)state;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, "one", shop.state);
    commit_in(one, "before", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    etx_engine *two = node_start(&shop, "two", NULL);
    await_here(two, 2);
    commit_in(two, "after", 2);
    rig_close(two, ETX_CLOSE_FINISH);
    rig_log_records(&shop.log, 2, 0, note_claim, &claim);
    assert_true(claim > 2);
    assert_int_equal(shop.log.ops->trim(shop.log.inner, 2, claim), 0);
    one = node_start(&shop, "one", shop.state);
    await_whole(one, 2);
    assert_int_equal(atomic_load(&shop.regressed), 0);
    commit_in(one, "later", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* What a running node has noticed: without a state directory, too. */
static void it_goes_on_where_it_was_noticed(void **state) {
    struct shop shop;
    etx_outcome outcome;
    (void)state;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, "one", NULL);
    commit_in(one, "before", 2);
    assert_true(rig_written(one, 1));
    rig_log_backup(&shop.log);
    commit_in(one, "after", 2);
    rig_log_restore(&shop.log);
    assert_int_equal(run_in(one, "lost", 2, &outcome), ETX_EUNKNOWN);
    for (uint64_t until = host_now_ms() + 60000; !partition_of(one, 2).regressed;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    etx_partition_status status = partition_of(one, 2);
    assert_null(strstr(status.why, "--state"));
    accept_loss(&shop, 2, host_now_ms());
    await_here(one, 2);
    commit_in(one, "later", 2);
    assert_int_equal(atomic_load(&shop.regressed), 1);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static unsigned count_here(etx_engine *engine) {
    unsigned here = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        here += partition_of(engine, i).here;
    }
    return here;
}

/* Who comes must not be handed a partition that it would go on with, unknowing; nor by an
 * operator. */
static void what_is_lost_is_handed_to_nobody(void **state) {
    static const char *const names[] = {"two", "three", "four"};
    struct shop shop;
    etx_engine *others[3];
    unsigned here = 0;
    (void)state;
    shop_make(&shop);
    lose_partition_2(&shop);
    etx_engine *one = node_start(&shop, "one", shop.state);
    await_regressed(one, 2);
    for (int i = 0; i < 3; i++) {
        others[i] = node_start(&shop, names[i], NULL);
    }
    for (uint64_t until = host_now_ms() + 60000; here < 3;) {
        here = count_here(others[0]) + count_here(others[1]) + count_here(others[2]);
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    assert_true(partition_of(one, 2).regressed);
    assert_int_equal(etx_engine_move(one, 0, 2, "two"), ETX_ESTATE);
    for (int i = 0; i < 3; i++) {
        assert_false(partition_of(others[i], 2).here);
        assert_string_equal(partition_of(others[i], 2).node, "one");
    }
    for (int i = 0; i < 3; i++) {
        rig_close(others[i], ETX_CLOSE_FINISH);
    }
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Waits until what is remembered of the partition is written, up to that slot. */
static void await_written(const struct shop *shop, uint32_t number, uint64_t slot, etx_seen *seen) {
    char message[300];
    for (uint64_t until = host_now_ms() + 60000;;) {
        int rc = etx_seen_read(shop->state, shop->log.id, seen, message, sizeof message);
        if (rc == 0 && seen->mark[number].known && seen->mark[number].slot >= slot) {
            return;
        }
        assert_true(rc == 0 || rc == ETX_ENOTFOUND);
        etx_seen_free(seen);
        assert_true(host_now_ms() < until);
        usleep(5000);
    }
}

/* A put that did not come to pass is not remembered: its absence would be taken for a loss. */
static void what_was_not_acknowledged_is_not_missed(void **state) {
    struct shop shop;
    etx_seen seen = {.size = sizeof seen};
    rig_done done = {.count = 0};
    char gid[32];
    (void)state;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, "one", shop.state);
    commit_in(one, "before", 2);
    assert_true(rig_written(one, 1));
    gid_in(one, "never", 2, gid);
    rig_log_fail(&shop.log, RIG_HANGS_UNWRITTEN, 1);
    rig_must(one, etx_tx_submit(rig_pair(one, "bank", gid, 'D'), rig_done_fn, &done), "submit");
    assert_true(host_wait_for(&shop.log.hanging, 1));
    commit_in(one, "beside", 1);
    await_written(&shop, 1, rig_log_records(&shop.log, 1, 0, NULL, NULL) - 1, &seen);
    assert_true(seen.mark[2].slot < rig_log_records(&shop.log, 2, 0, NULL, NULL));
    etx_seen_free(&seen);
    sem_post(&shop.log.gate);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, ETX_EUNAVAILABLE);
    rig_close(one, ETX_CLOSE_LEAVE);
    one = node_start(&shop, "one", shop.state);
    await_whole(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* It is written while the node runs, and is there after it is killed. */
static void it_is_written_about_once_a_second(void **state) {
    struct shop shop;
    etx_seen seen = {.size = sizeof seen};
    (void)state;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, "one", shop.state);
    commit_in(one, "before", 2);
    await_written(&shop, 2, rig_log_records(&shop.log, 2, 0, NULL, NULL) - 1, &seen);
    assert_int_equal(seen.partitions, PARTITIONS);
    assert_string_equal(seen.home, shop.log.id);
    etx_seen_free(&seen);
    etx_engine_close(one, ETX_CLOSE_ABRUPT, 0);
    etx_engine_free(one);
    shop_end(&shop);
}

/* ---- the directory */

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
    lose_partition_2(&shop);
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
    etx_engine *one = node_start(&shop, "one", shop.state);
    await_here(one, 2);
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
    etx_engine *one = node_start(&shop, "one", shop.state);
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
        etx_engine *other = node_make(shop, "two", shop->state);
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
    etx_engine *one = node_start(&shop, "one", shop.state);
    etx_engine *two = node_make(&shop, "two", shop.state);
    assert_int_equal(etx_engine_start(two), ETX_EBUSY);
    etx_engine_message(two, message, sizeof message);
    assert_non_null(strstr(message, "of its own"));
    etx_engine_free(two);
    assert_int_equal(start_in_child(&shop), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    two = node_start(&shop, "two", shop.state);
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
    etx_engine *one = node_make(&shop, "one", below);
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
    etx_engine *one = node_start(&shop, "one", shop.state);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_restore(&shop.log);
    char then[ETX_HOME_ID_LEN + 1];
    char path[512];
    memcpy(then, shop.log.id, sizeof then);
    file_of(&shop, path);
    shop.log.id[1] = shop.log.id[1] == 'x' ? 'y' : 'x';
    one = node_make(&shop, "one", shop.state);
    assert_int_equal(etx_engine_start(one), ETX_EREGRESSED);
    etx_engine_message(one, message, sizeof message);
    assert_non_null(strstr(message, then));
    assert_non_null(strstr(message, path));
    etx_engine_free(one);
    assert_int_equal(unlink(path), 0);
    one = node_start(&shop, "one", shop.state);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void without_one_the_home_says_so(void **state) {
    struct shop shop;
    etx_home_status home = {.size = sizeof home};
    (void)state;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, "one", NULL);
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_non_null(strstr(home.remark, "without a state directory"));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_backup_is_noticed_at_start),
        cmocka_unit_test(a_copy_that_has_all_is_no_loss),
        cmocka_unit_test(another_store_is_named),
        cmocka_unit_test(another_slot_in_its_place_is_a_loss),
        cmocka_unit_test(who_accepts_goes_on),
        cmocka_unit_test(a_loss_is_said_with_each_claim),
        cmocka_unit_test(what_was_trimmed_is_not_lost),
        cmocka_unit_test(a_later_loss_is_another_one),
        cmocka_unit_test(it_goes_on_where_it_was_noticed),
        cmocka_unit_test(what_is_lost_is_handed_to_nobody),
        cmocka_unit_test(what_was_not_acknowledged_is_not_missed),
        cmocka_unit_test(it_is_written_about_once_a_second),
        cmocka_unit_test(a_damaged_file_counts_as_absent),
        cmocka_unit_test(a_newer_file_is_named),
        cmocka_unit_test(two_nodes_do_not_share_it),
        cmocka_unit_test(a_directory_that_cannot_be_is_told),
        cmocka_unit_test(another_log_in_its_place_is_refused),
        cmocka_unit_test(without_one_the_home_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
