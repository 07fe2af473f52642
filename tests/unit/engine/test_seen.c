/* A shared store that was restored from an older backup is noticed, also if no node ran then; and
 * somebody may go on without what was lost. */
#include "rig_seen.h"

static void an_older_backup_is_noticed_at_start(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_home_status home = {.size = sizeof home};
    (void)state;
    shop_make(&shop);
    shop_lose_partition_2(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_regressed(one, 2);
    assert_int_equal(atomic_load(&shop.regressed), 1);
    etx_partition_status status = shop_partition(one, 2);
    assert_false(status.here);
    assert_non_null(strstr(status.why, "partition 2"));
    assert_non_null(strstr(status.why, "'etx log diff URL --state "));
    assert_non_null(strstr(status.why, "'etx log accept-loss URL --state "));
    assert_non_null(strstr(status.why, shop.state));
    assert_string_equal(shop.said, status.why);
    assert_int_equal(shop_run_in(one, "after", 2, &outcome), ETX_EUNAVAILABLE);
    assert_non_null(strstr(outcome.reason, "the store has lost what it acknowledged"));
    for (uint32_t i = 0; i < PARTITIONS; i++) { /* the others go on */
        if (i != 2) {
            shop_await_here(one, i);
            shop_commit_in(one, "later", i);
        }
    }
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_true(home.usable);
    assert_null(strstr(home.remark, "state directory"));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* All of it is lost: the home says so, and whether it is the same store is not guessed at. */
static void an_empty_store_has_lost_all(void **state) {
    struct shop shop;
    etx_home_status home = {.size = sizeof home};
    (void)state;
    shop_make(&shop);
    shop.log.identity = "system 1, timeline 1";
    rig_log_backup(&shop.log);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        shop_await_here(one, i);
    }
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_restore(&shop.log);
    one = shop_node_start(&shop, "one", shop.state);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        shop_await_regressed(one, i);
        etx_partition_status status = shop_partition(one, i);
        assert_non_null(strstr(status.why, "is not there, the log is empty."));
        assert_null(strstr(status.why, "The store was"));
    }
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_false(home.usable);
    assert_non_null(strstr(home.why, "the store has lost what it acknowledged in partition"));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* The same slots in another store: nothing is lost. */
static void a_copy_that_has_all_is_no_loss(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    shop.log.identity = "system 1, timeline 1";
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_commit_in(one, "before", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_backup(&shop.log);
    rig_log_restore(&shop.log);
    shop.log.identity = "system 1, timeline 2";
    one = shop_node_start(&shop, "one", shop.state);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        shop_await_here(one, i);
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
    shop_lose_partition_2(&shop);
    shop.log.identity = "system 9, timeline 1";
    for (int i = 0; i < 2; i++) { /* also by the next start */
        etx_engine *one = shop_node_start(&shop, "one", shop.state);
        shop_await_regressed(one, 2);
        etx_partition_status status = shop_partition(one, 2);
        assert_non_null(strstr(status.why,
                               "The store was system 1, timeline 1 then, and is system "
                               "9, timeline 1."));
        rig_close(one, ETX_CLOSE_FINISH);
    }
    shop_end(&shop);
}

static void expect_commands(struct shop *shop, const char *state) {
    char diff[600];
    char accept[600];
    etx_engine *one = shop_node_start(shop, "one", shop->state);
    shop_await_regressed(one, 2);
    etx_partition_status status = shop_partition(one, 2);
    snprintf(diff, sizeof diff, "'etx log diff URL --state %s' shows it.", state);
    snprintf(accept, sizeof accept,
             "'etx log accept-loss URL --state %s --partition 2' goes on without", state);
    assert_non_null(strstr(status.why, diff));
    assert_non_null(strstr(status.why, accept));
    rig_close(one, ETX_CLOSE_FINISH);
}

/* What there is no room for is left out, and no command is cut. */
static void the_commands_stand_there_whole(void **state) {
    static const char then[] = "system 1 in a house with a name that goes on and on and on and on";
    static const char now[] = "system 9 in a house with a name that goes on and on and on and on";
    struct shop shop;
    size_t len;
    (void)state;
    shop_make(&shop);
    len = strlen(shop.state);
    memset(shop.state + len, 'x', 80 - len);
    shop.log.identity = then;
    shop_lose_partition_2(&shop);
    shop.log.identity = now;
    expect_commands(&shop, shop.state);
    shop_end(&shop);
    shop_make(&shop);
    len = strlen(shop.state);
    memset(shop.state + len, 'x', 170 - len);
    shop_lose_partition_2(&shop);
    expect_commands(&shop, "DIR");
    shop_end(&shop);
}

/* Somebody who remembered less has gone on: as far as before, and otherwise. */
static void another_slot_in_its_place_is_a_loss(void **state) {
    struct shop shop;
    etx_seen seen = {.size = sizeof seen};
    char message[300];
    (void)state;
    shop_make(&shop);
    shop_lose_partition_2(&shop);
    assert_int_equal(etx_seen_read(shop.state, shop.log.id, &seen, message, sizeof message), 0);
    while (rig_log_records(&shop.log, 2, 0, NULL, NULL) <= seen.mark[2].slot) {
        rig_log_put(&shop.log, 2, 4711, (etx_bytes){"\x01", 1});
    }
    /* also where nothing before it is kept any more */
    assert_int_equal(shop.log.ops->trim(shop.log.inner, 2, seen.mark[2].slot), 0);
    etx_seen_free(&seen);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_regressed(one, 2);
    assert_non_null(strstr(shop_partition(one, 2).why, "another slot is in its place"));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* A store that was away, and is an older one now, in which the leases stand as if nothing had
 * been: who has nothing to put notices all the same. */
static void what_an_idle_node_has_lost_is_noticed(void **state) {
    struct shop shop;
    etx_home_status home = {.size = sizeof home};
    (void)state;
    shop_make(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_here(one, 2);
    shop_commit_in(one, "before", 2);
    assert_true(rig_written(one, 1));
    rig_log_backup(&shop.log);
    shop_commit_in(one, "after", 2);
    assert_true(rig_written(one, 2));
    atomic_store(&shop.log.away, 1);
    for (uint64_t end = host_now_ms() + 60000; host_now_ms() < end && !home.why[0];) {
        rig_must(one, etx_engine_home_status(one, 0, &home), "home");
        usleep(1000);
    }
    assert_int_equal(home.usable, 0);
    rig_log_restore(&shop.log);
    pthread_mutex_lock(&shop.log.lock);
    for (int i = 0; i < PARTITIONS; i++) {
        shop.log.lease[i].until_ms = host_now_ms() + 600000;
    }
    pthread_mutex_unlock(&shop.log.lock);
    atomic_store(&shop.log.away, 0);
    for (uint64_t end = host_now_ms() + 60000; !shop_partition(one, 2).regressed;) {
        assert_true(host_now_ms() < end);
        usleep(2000);
    }
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* A loss that is accepted while a node runs: it goes on there, and says so in its claims. */
static void who_accepts_goes_on(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    shop_lose_partition_2(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_regressed(one, 2);
    shop_accept_loss(&shop, 2, host_now_ms());
    shop_await_here(one, 2);
    assert_true(host_wait_for(&shop.accepted, 1));
    assert_string_equal(shop.said, "ann: the disk burnt");
    assert_string_equal(shop_partition(one, 2).why, "");
    shop_commit_in(one, "later", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    one = shop_node_start(&shop, "one", shop.state);
    shop_await_here(one, 2);
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
    shop_lose_partition_2(&shop);
    shop_accept_loss(&shop, 2, host_now_ms());
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_whole(one, 2);
    assert_true(host_wait_for(&shop.accepted, 1)); /* when nobody ran */
    shop_commit_in(one, "later", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_records(&shop.log, 2, 0, count_losses, &losses);
    assert_int_equal(losses, 2);
    rig_log_backup(&shop.log);
    one = shop_node_start(&shop, "one", shop.state);
    shop_await_whole(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_restore(&shop.log);
    one = shop_node_start(&shop, "one", shop.state);
    shop_await_regressed(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_accept_loss(&shop, 2, host_now_ms()); /* behind the older one, which is there too */
    one = shop_node_start(&shop, "one", shop.state);
    shop_await_whole(one, 2);
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
    shop_lose_partition_2(&shop);
    shop_accept_loss(&shop, 2, host_now_ms());
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_whole(one, 2);
    shop_commit_in(one, "later", 2);
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
    shop_commit_in(one, "again", 2);
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
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_commit_in(one, "before", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    etx_engine *two = shop_node_start(&shop, "two", NULL);
    shop_await_here(two, 2);
    shop_commit_in(two, "after", 2);
    rig_close(two, ETX_CLOSE_FINISH);
    rig_log_records(&shop.log, 2, 0, note_claim, &claim);
    assert_true(claim > 2);
    assert_int_equal(shop.log.ops->trim(shop.log.inner, 2, claim), 0);
    one = shop_node_start(&shop, "one", shop.state);
    shop_await_whole(one, 2);
    assert_int_equal(atomic_load(&shop.regressed), 0);
    shop_commit_in(one, "later", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* What a running node has noticed: without a state directory, too. */
static void it_goes_on_where_it_was_noticed(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    etx_engine *one = shop_node_start(&shop, "one", NULL);
    shop_commit_in(one, "before", 2);
    assert_true(rig_written(one, 1));
    rig_log_backup(&shop.log);
    shop_commit_in(one, "after", 2);
    assert_true(rig_written(one, 2)); /* else its end is what notices */
    rig_log_restore(&shop.log);
    assert_int_equal(shop_run_in(one, "lost", 2, &outcome), ETX_EUNKNOWN);
    for (uint64_t until = host_now_ms() + 60000; !shop_partition(one, 2).regressed;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    etx_partition_status status = shop_partition(one, 2);
    assert_null(strstr(status.why, "--state"));
    shop_accept_loss(&shop, 2, host_now_ms());
    shop_await_here(one, 2);
    shop_commit_in(one, "later", 2);
    assert_int_equal(atomic_load(&shop.regressed), 1);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static unsigned count_here(etx_engine *engine) {
    unsigned here = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        here += shop_partition(engine, i).here;
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
    shop_lose_partition_2(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_regressed(one, 2);
    for (int i = 0; i < 3; i++) {
        others[i] = shop_node_start(&shop, names[i], NULL);
    }
    for (uint64_t until = host_now_ms() + 60000; here < 3;) {
        here = count_here(others[0]) + count_here(others[1]) + count_here(others[2]);
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    assert_true(shop_partition(one, 2).regressed);
    assert_int_equal(etx_engine_move(one, 0, 2, "two"), ETX_ESTATE);
    for (int i = 0; i < 3; i++) {
        assert_false(shop_partition(others[i], 2).here);
        assert_string_equal(shop_partition(others[i], 2).node, "one");
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
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_commit_in(one, "before", 2);
    assert_true(rig_written(one, 1));
    shop_gid_in(one, "never", 2, gid);
    rig_log_fail(&shop.log, RIG_HANGS_UNWRITTEN, 1);
    rig_must(one, etx_tx_submit(rig_pair(one, "bank", gid, 'D'), rig_done_fn, &done), "submit");
    assert_true(host_wait_for(&shop.log.hanging, 1));
    shop_commit_in(one, "beside", 1);
    await_written(&shop, 1, rig_log_records(&shop.log, 1, 0, NULL, NULL) - 1, &seen);
    assert_true(seen.mark[2].slot < rig_log_records(&shop.log, 2, 0, NULL, NULL));
    etx_seen_free(&seen);
    sem_post(&shop.log.gate);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, ETX_EUNAVAILABLE);
    rig_close(one, ETX_CLOSE_LEAVE);
    one = shop_node_start(&shop, "one", shop.state);
    shop_await_whole(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* It is written while the node runs, and is there after it is killed. */
static void it_is_written_about_once_a_second(void **state) {
    struct shop shop;
    etx_seen seen = {.size = sizeof seen};
    (void)state;
    shop_make(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_commit_in(one, "before", 2);
    await_written(&shop, 2, rig_log_records(&shop.log, 2, 0, NULL, NULL) - 1, &seen);
    assert_int_equal(seen.partitions, PARTITIONS);
    assert_string_equal(seen.home, shop.log.id);
    etx_seen_free(&seen);
    etx_engine_close(one, ETX_CLOSE_ABRUPT, 0);
    etx_engine_free(one);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_backup_is_noticed_at_start),
        cmocka_unit_test(an_empty_store_has_lost_all),
        cmocka_unit_test(a_copy_that_has_all_is_no_loss),
        cmocka_unit_test(another_store_is_named),
        cmocka_unit_test(the_commands_stand_there_whole),
        cmocka_unit_test(another_slot_in_its_place_is_a_loss),
        cmocka_unit_test(what_an_idle_node_has_lost_is_noticed),
        cmocka_unit_test(who_accepts_goes_on),
        cmocka_unit_test(a_loss_is_said_with_each_claim),
        cmocka_unit_test(what_was_trimmed_is_not_lost),
        cmocka_unit_test(a_later_loss_is_another_one),
        cmocka_unit_test(it_goes_on_where_it_was_noticed),
        cmocka_unit_test(what_is_lost_is_handed_to_nobody),
        cmocka_unit_test(what_was_not_acknowledged_is_not_missed),
        cmocka_unit_test(it_is_written_about_once_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
