/* What one node remembers of a partition counts also where another has it: a store that was
 * restored from an older backup is noticed, whoever takes what. */
#include "rig_seen.h"

/* Node two alone has gone on with partition 2, and keeps it, when node one comes, who remembers
 * more of it. */
static void meet(struct shop *shop, etx_engine **ret_one, etx_engine **ret_two) {
    shop_make(shop);
    shop_lose_partition_2(shop);
    *ret_two = shop_node_start(shop, "two", NULL);
    shop_await_here(*ret_two, 2);
    shop_commit_in(*ret_two, "unknowing", 2);
    rig_must(*ret_two, etx_engine_move(*ret_two, 0, 2, "two"), "move");
    *ret_one = shop_node_start(shop, "one", shop->state);
}

static void await_refused(etx_engine *engine, uint32_t number) {
    for (uint64_t until = host_now_ms() + 60000; !shop_partition(engine, number).regressed;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    assert_false(shop_partition(engine, number).here);
}

/* What the node says beside its address has the word, or has not. */
static void await_word(struct shop *shop, const char *node, const char *word, int there) {
    for (uint64_t until = host_now_ms() + 60000;;) {
        int found = 0;
        pthread_mutex_lock(&shop->log.lock);
        for (int i = 0; i < RIG_MEMBERS; i++) {
            found |= strcmp(shop->log.member[i].name, node) == 0 &&
                     strstr(shop->log.member[i].address, word) != NULL;
        }
        pthread_mutex_unlock(&shop->log.lock);
        if (found == there) {
            return;
        }
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

static void who_has_it_is_told(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_engine *one, *two;
    (void)state;
    meet(&shop, &one, &two);
    await_refused(two, 2);
    etx_partition_status status = shop_partition(two, 2);
    assert_non_null(strstr(status.why, "which node one remembers"));
    assert_non_null(strstr(status.why, "'etx log accept-loss URL --state DIR --partition 2'"));
    assert_int_equal(shop_run_in(two, "after", 2, &outcome), ETX_EUNAVAILABLE);
    assert_int_equal(atomic_load(&shop.regressed), 2); /* each has said it once */
    shop_await_here(two, 3);
    shop_commit_in(two, "later", 3);
    await_word(&shop, "one", " !2:", 1);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Also without who remembers it: that one may not come back. */
static void what_was_told_stays_told(void **state) {
    struct shop shop;
    etx_engine *one, *two;
    (void)state;
    meet(&shop, &one, &two);
    await_refused(two, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_await_here(two, 0);
    shop_await_here(two, 1);
    shop_await_here(two, 3);
    usleep(LEASE_MS * 1000); /* time enough for a mistake */
    assert_true(shop_partition(two, 2).regressed);
    assert_false(shop_partition(two, 2).here);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void who_accepts_ends_it(void **state) {
    struct shop shop;
    etx_engine *one, *two;
    (void)state;
    meet(&shop, &one, &two);
    await_refused(two, 2);
    await_word(&shop, "one", " !2:", 1);
    shop_accept_loss(&shop, 2, host_now_ms());
    shop_await_here(two, 2);
    assert_true(host_wait_for(&shop.accepted, 1));
    shop_commit_in(two, "later", 2);
    await_word(&shop, "one", "!", 0);
    shop_commit_in(two, "again", 2);
    assert_int_equal(atomic_load(&shop.accepted), 1);
    assert_int_equal(atomic_load(&shop.regressed), 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* ---- when it looks */

static void count_get(rig_log *log, uint32_t partition, uint64_t from) {
    (void)from;
    if (partition == 2) {
        atomic_fetch_add((atomic_uint *)log->watcher, 1);
    }
}

static void hold(struct shop *shop, const char *node) {
    pthread_mutex_lock(&shop->log.lock);
    snprintf(shop->log.lease[2].node, sizeof shop->log.lease[2].node, "%s", node);
    shop->log.lease[2].until_ms = host_now_ms() + 60000;
    pthread_mutex_unlock(&shop->log.lock);
}

/* Node one had partition 2, where somebody had accepted an earlier loss, and has looked that all is
 * there since another has it; then the store goes back. */
static etx_engine *lose_it_to_another(struct shop *shop, atomic_uint *looks) {
    shop_make(shop);
    atomic_init(looks, 0);
    shop_accept_loss(shop, 2, host_now_ms());
    etx_engine *one = shop_node_start(shop, "one", shop->state);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        shop_await_here(one, i);
        shop_commit_in(one, "before", i);
    }
    assert_true(rig_written(one, PARTITIONS));
    rig_log_backup(&shop->log);
    shop_commit_in(one, "after", 2);
    shop->log.watcher = looks;
    shop->log.on_get = count_get;
    hold(shop, "another");
    assert_true(host_wait_for(looks, 1));
    return one;
}

static void a_new_holder_is_looked_at(void **state) {
    struct shop shop;
    atomic_uint looks;
    (void)state;
    etx_engine *one = lose_it_to_another(&shop, &looks);
    rig_log_restore(&shop.log);
    hold(&shop, "a third");
    await_word(&shop, "one", " !2:", 1);
    assert_int_equal(atomic_load(&shop.regressed), 1);
    /* once it has the partition itself, it says so itself */
    rig_lease_take(&shop.log, 2, 0);
    shop_await_regressed(one, 2);
    await_word(&shop, "one", " !2:", 0);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Who has it has gone on, and needs what was before no more. */
static void what_was_trimmed_is_not_missed(void **state) {
    struct shop shop;
    atomic_uint looks;
    (void)state;
    etx_engine *one = lose_it_to_another(&shop, &looks);
    rig_log_put(&shop.log, 2, 4711, (etx_bytes){"\x01", 1});
    rig_log_put(&shop.log, 2, 4711, (etx_bytes){"\x01", 1});
    uint64_t last = rig_log_records(&shop.log, 2, 0, NULL, NULL) - 1;
    assert_int_equal(shop.log.ops->trim(shop.log.inner, 2, last), 0);
    hold(&shop, "a third");
    rig_wait_for_looks(one, 0, 2);
    hold(&shop, "a fourth");
    rig_wait_for_looks(one, 0, 2);
    assert_true(atomic_load(&looks) >= 3);
    assert_int_equal(atomic_load(&shop.regressed), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* More is missing than stands beside an address at a time: all of it is told, in turn. */
static void what_there_is_no_room_for_is_told_next(void **state) {
    enum { MANY = 16 };
    static const char address[] =
        "http://a-node-with-a-name-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-"
        "and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on.example:7400";
    struct shop shop;
    (void)state;
    shop_make(&shop);
    rig_log_end(&shop.log);
    rig_log_make(&shop.log, NULL, "partitions=16");
    snprintf(shop.url, sizeof shop.url, "shared%s", strchr(shop.log.url, ':'));
    shop.address = address;
    rig_log_backup(&shop.log);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    for (uint32_t i = 0; i < MANY; i++) {
        shop_await_here(one, i);
    }
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_restore(&shop.log);
    for (uint32_t i = 0; i < MANY; i++) {
        rig_lease_take(&shop.log, i, 600000);
    }
    one = shop_node_start(&shop, "one", shop.state);
    for (uint32_t i = 0; i < MANY; i++) {
        char word[16];
        snprintf(word, sizeof word, " !%u:", i);
        await_word(&shop, "one", word, 1);
    }
    assert_int_equal(atomic_load(&shop.regressed), MANY);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void it_looks_again_when_the_store_was_away(void **state) {
    struct shop shop;
    atomic_uint looks;
    (void)state;
    etx_engine *one = lose_it_to_another(&shop, &looks);
    unsigned before = atomic_load(&looks);
    usleep(LEASE_MS * 1000); /* time enough for a mistake */
    assert_int_equal(atomic_load(&looks), before);
    atomic_store(&shop.log.away, 1);
    rig_log_restore(&shop.log);
    usleep(LEASE_MS * 1500); /* longer than its lease: it has asked */
    atomic_store(&shop.log.away, 0);
    await_word(&shop, "one", " !2:", 1);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Who has found a loss, and is paused until another has the partition, says what is missing there;
 * and does not refuse what is whole again. */
static void a_loss_is_not_kept_without_the_partition(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    shop_lose_partition_2(&shop);
    etx_engine *one = shop_node_start(&shop, "one", shop.state);
    shop_await_regressed(one, 2);
    rig_lease_take(&shop.log, 2, 600000);
    for (uint64_t until = host_now_ms() + 60000; shop_partition(one, 2).regressed;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    assert_string_equal(shop_partition(one, 2).why, "");
    await_word(&shop, "one", " !2:", 1);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* ---- what others say */

/* A member of that name says it. */
static void say(struct shop *shop, const char *node, const char *words) {
    rig_member_be(&shop->log, node, 60000);
    pthread_mutex_lock(&shop->log.lock);
    for (int i = 0; i < RIG_MEMBERS; i++) {
        if (strcmp(shop->log.member[i].name, node) == 0) {
            snprintf(shop->log.member[i].address, sizeof shop->log.member[i].address, "%s", words);
        }
    }
    pthread_mutex_unlock(&shop->log.lock);
}

static void note_slot(const etx_slot *slot, const etx_record *record, void *user) {
    (void)record;
    *(etx_slot *)user = *slot;
}

/* It is read again, and what it says is there: nothing is lost. */
static void what_is_there_is_not_missed(void **state) {
    struct shop shop;
    etx_slot slot = {0};
    char words[128];
    atomic_uint reads;
    (void)state;
    atomic_init(&reads, 0);
    shop_make(&shop);
    etx_engine *two = shop_node_start(&shop, "two", NULL);
    rig_must(two, etx_engine_move(two, 0, 2, "two"), "move");
    shop_await_here(two, 2);
    shop_commit_in(two, "before", 2);
    assert_true(rig_written(two, 1));
    (void)rig_log_records(&shop.log, 2, 0, note_slot, &slot);
    snprintf(words, sizeof words, "http://three !2:%llu:%08x:0", (unsigned long long)slot.slot,
             slot.checksum);
    shop.log.watcher = &reads;
    shop.log.on_get = count_get;
    say(&shop, "three", words);
    assert_true(host_wait_for(&reads, 1));
    shop_await_here(two, 2);
    shop_commit_in(two, "after", 2);
    assert_int_equal(atomic_load(&shop.regressed), 0);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Who starts after that was accepted hears of it, and it is not accepted once more. */
static void an_old_word_is_no_new_loss(void **state) {
    struct shop shop;
    char words[128] = "";
    etx_seen seen = {.size = sizeof seen};
    char message[300];
    (void)state;
    shop_make(&shop);
    shop_lose_partition_2(&shop);
    assert_int_equal(etx_seen_read(shop.state, shop.log.id, &seen, message, sizeof message), 0);
    snprintf(words, sizeof words, "http://three !2:%llu:%08x:0",
             (unsigned long long)seen.mark[2].slot, seen.mark[2].checksum);
    etx_seen_free(&seen);
    shop_accept_loss(&shop, 2, host_now_ms());
    say(&shop, "three", words);
    etx_engine *two = shop_node_start(&shop, "two", NULL);
    rig_must(two, etx_engine_move(two, 0, 2, "two"), "move");
    shop_await_whole(two, 2);
    shop_commit_in(two, "later", 2);
    assert_int_equal(atomic_load(&shop.accepted), 0);
    assert_int_equal(atomic_load(&shop.regressed), 0);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Nor does the acceptance of a loss cover what was acknowledged, and lost, after it. */
static void a_word_behind_an_acceptance_counts(void **state) {
    struct shop shop;
    char words[128];
    uint64_t accepted_ms = host_now_ms();
    (void)state;
    shop_make(&shop);
    shop_accept_loss(&shop, 2, accepted_ms);
    snprintf(words, sizeof words, "http://three !2:4711:12345678:%llu",
             (unsigned long long)accepted_ms);
    etx_engine *two = shop_node_start(&shop, "two", NULL);
    shop_await_here(two, 2);
    rig_must(two, etx_engine_move(two, 0, 2, "two"), "move");
    say(&shop, "three", words);
    await_refused(two, 2);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* What a node missed when it was heard of last counts for who starts after that. */
static void what_one_missed_that_is_gone_counts(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    say(&shop, "three", "http://three pabcdef !3:4711:12345678:0");
    rig_member_be(&shop.log, "three", 0);
    etx_engine *two = shop_node_start(&shop, "two", NULL);
    await_refused(two, 3);
    assert_non_null(strstr(shop_partition(two, 3).why, "which node three remembers"));
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* It stands behind the node's homes, and is none of them. */
static void what_is_missed_is_no_home(void **state) {
    struct shop shop;
    etx_node_status node = {.size = sizeof node};
    (void)state;
    shop_make(&shop);
    say(&shop, "three", "http://three:1 pabcdef !3:4711:12345678:0");
    etx_engine *two = shop_node_start(&shop, "two", NULL);
    await_refused(two, 3);
    rig_must(two, etx_engine_node_status(two, 0, 0, &node), "node");
    assert_string_equal(node.node, "three");
    assert_string_equal(node.address, "http://three:1");
    assert_string_equal(node.homes, " pabcdef");
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void note_place(const etx_slot *slot, const etx_record *record, void *user) {
    etx_slot *two = user;
    (void)record;
    if (slot->slot != two[1].slot) {
        two[0] = two[1];
        two[1] = *slot;
    }
}

/* Each is weighed once, also where they say different things of a partition. */
static void two_that_say_different_things(void **state) {
    struct shop shop;
    etx_slot slot[2] = {{0}};
    char words[2][128];
    atomic_uint reads;
    (void)state;
    atomic_init(&reads, 0);
    shop_make(&shop);
    etx_engine *two = shop_node_start(&shop, "two", NULL);
    shop_await_here(two, 2);
    rig_must(two, etx_engine_move(two, 0, 2, "two"), "move");
    shop_commit_in(two, "before", 2);
    assert_true(rig_written(two, 1));
    (void)rig_log_records(&shop.log, 2, 0, note_place, slot);
    for (int i = 0; i < 2; i++) {
        snprintf(words[i], sizeof words[i], "http://there !2:%llu:%08x:0",
                 (unsigned long long)slot[i].slot, slot[i].checksum);
    }
    shop.log.watcher = &reads;
    shop.log.on_get = count_get;
    say(&shop, "three", words[0]);
    say(&shop, "four", words[1]);
    rig_wait_for_looks(two, 0, 3);
    assert_true(atomic_load(&reads) > 0 && atomic_load(&reads) <= 2);
    shop_commit_in(two, "after", 2);
    assert_int_equal(atomic_load(&shop.regressed), 0);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* What no node says is passed over; behind it stands what one does. */
static void nonsense_is_passed_over(void **state) {
    static const char nonsense[] =
        "http://three 0123456789abcdef !2 !2:77 !2:77:x:0 !-1:7:7:0 !4:77:0:0 "
        "!2:77:12345678:0x !4294967298:7:7:0 !2:::0 !!2:1:1:0 !";
    struct shop shop;
    char words[400];
    (void)state;
    shop_make(&shop);
    etx_engine *two = shop_node_start(&shop, "two", NULL);
    rig_must(two, etx_engine_move(two, 0, 2, "two"), "move");
    rig_must(two, etx_engine_move(two, 0, 3, "two"), "move");
    snprintf(words, sizeof words, "%s !3:4711:12345678:0", nonsense);
    say(&shop, "three", words);
    await_refused(two, 3);
    assert_non_null(strstr(shop_partition(two, 3).why, "slot 4711 (12345678), which node three"));
    shop_await_here(two, 2);
    assert_int_equal(atomic_load(&shop.regressed), 1);
    rig_close(two, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_it_is_told),
        cmocka_unit_test(what_was_told_stays_told),
        cmocka_unit_test(who_accepts_ends_it),
        cmocka_unit_test(a_new_holder_is_looked_at),
        cmocka_unit_test(what_was_trimmed_is_not_missed),
        cmocka_unit_test(what_there_is_no_room_for_is_told_next),
        cmocka_unit_test(it_looks_again_when_the_store_was_away),
        cmocka_unit_test(a_loss_is_not_kept_without_the_partition),
        cmocka_unit_test(what_is_there_is_not_missed),
        cmocka_unit_test(an_old_word_is_no_new_loss),
        cmocka_unit_test(a_word_behind_an_acceptance_counts),
        cmocka_unit_test(what_one_missed_that_is_gone_counts),
        cmocka_unit_test(what_is_missed_is_no_home),
        cmocka_unit_test(two_that_say_different_things),
        cmocka_unit_test(nonsense_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
