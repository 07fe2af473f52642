/* Entries, index and the order by first_seq: against a model, with hashes that collide. */
#include "unit.h"

enum { NAMES = 400, ENTRIES = 300 };

typedef struct model {
    etx__entry *entry[NAMES];
    uint64_t seq[NAMES];
    uint32_t count;
} model;

static etx_bytes name_of(int i, char *room) {
    snprintf(room, 32, "gid-%d", i);
    return text_of(room);
}

/* Few different hashes, so that many names share one. */
static uint32_t hash_of(int i, uint32_t spread) {
    return (uint32_t)i % spread * 2654435761u;
}

static void check_order(const etx__core *core, const model *m) {
    uint64_t before = 0;
    uint32_t count = 0;
    uint32_t back = 0;
    for (uint32_t link = core->oldest; link != 0; link = core->entry[link - 1].newer) {
        assert_true(core->entry[link - 1].first_seq > before);
        assert_int_equal(core->entry[link - 1].older, back);
        before = core->entry[link - 1].first_seq;
        back = link;
        count++;
    }
    assert_int_equal(core->newest, back);
    assert_int_equal(count, m->count);
}

static void churn(uint32_t spread) {
    world *w = NULL;
    model m = {.count = 0};
    uint32_t seed = spread;
    uint64_t seq = 100;
    say(&w, "world transactions=100 history=136");
    for (int round = 0; round < 6000; round++) {
        char room[32];
        seed = seed * 1664525u + 1013904223u;
        int i = (int)(seed >> 8) % NAMES;
        etx_bytes gid = name_of(i, room);
        uint32_t hash = hash_of(i, spread);
        assert_ptr_equal(etx__entry_find(w->core, gid, hash), m.entry[i]);
        if (m.entry[i] != NULL && seed % 3 == 0) {
            etx__entry_renew(w->core, m.entry[i], ++seq);
        } else if (m.entry[i] != NULL) {
            etx__entry_forget(w->core, m.entry[i]);
            m.entry[i] = NULL;
            m.count--;
        } else if (m.count < ENTRIES) {
            m.entry[i] = etx__entry_make(w->core, gid, hash);
            assert_non_null(m.entry[i]);
            etx__entry_renew(w->core, m.entry[i], ++seq);
            m.count++;
        }
        if (round % 100 == 0) {
            check_order(w->core, &m);
        }
    }
    for (int i = 0; i < NAMES; i++) {
        char room[32];
        assert_ptr_equal(etx__entry_find(w->core, name_of(i, room), hash_of(i, spread)),
                         m.entry[i]);
    }
    world_free(w);
}

static void test_spread_hashes(void **state) {
    (void)state;
    churn(NAMES);
}

static void test_colliding_hashes(void **state) {
    (void)state;
    churn(7);
    churn(1);
}

static void test_full(void **state) {
    (void)state;
    world *w = NULL;
    char room[32];
    say(&w, "world transactions=8 history=8");
    uint64_t used = w->core->pool.used_bytes;
    int made = 0;
    while (etx__entry_make(w->core, name_of(made, room), (uint32_t)made) != NULL) {
        made++;
    }
    assert_int_equal(made, (int)w->core->entries_max);
    assert_true(made >= 16);
    for (int i = 0; i < made; i++) {
        etx__entry *entry = etx__entry_find(w->core, name_of(i, room), (uint32_t)i);
        assert_non_null(entry);
        etx__entry_forget(w->core, entry);
    }
    assert_int_equal(w->core->pool.used_bytes, used);
    assert_non_null(etx__entry_make(w->core, name_of(1, room), 1));
    world_free(w);
}

/* As many participants as there may be: each is found, and in a few looks. */
static void test_participants(void **state) {
    enum { COUNT = 1000, LOOKS = 64 };
    const etx__core_options options = {.transactions_max = 1,
                                       .branches_max = 1,
                                       .history_max = 1,
                                       .participants_max = COUNT,
                                       .pool_size = 1 << 17};
    void *memory = calloc(1, etx__core_size(&options) + 64);
    etx__core *core = etx__core_init((void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63), &options);
    etx__policy policy = {.name_len = 0};
    (void)state;
    for (uint32_t twice = 0; twice < 2; twice++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            policy.name_len = (uint8_t)snprintf(policy.name, sizeof policy.name, "shop-%u", i);
            policy.attempts_max = i + twice;
            etx__policy_set(core, i, &policy);
        }
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        char name[32];
        size_t len = (size_t)snprintf(name, sizeof name, "shop-%u", i);
        assert_int_equal(etx__policy_find(core, (const uint8_t *)name, len), i);
        assert_int_equal(core->policy[i].attempts_max, i + 1);
        assert_int_equal(etx__policy_find(core, (const uint8_t *)name, len - 1),
                         i < 10 ? ETX__NOBODY : i / 10);
    }
    assert_int_equal(etx__policy_find(core, (const uint8_t *)"", 0), ETX__NOBODY);
    uint32_t taken = 0, looks = 0;
    for (uint32_t i = 0; i <= core->named_mask; i++) {
        looks = core->named[i] != 0 ? looks + 1 : 0;
        taken += core->named[i] != 0;
        assert_true(looks < LOOKS);
    }
    assert_int_equal(taken, COUNT);
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spread_hashes),
        cmocka_unit_test(test_colliding_hashes),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_participants),
    };
    return cmocka_run_group_tests_name("core tables", tests, NULL, NULL);
}
