/* The ownership state machine: each verdict by hand, then every sequence of puts, failovers and
 * late copies of two owners up to a depth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store.h"

/* ---- by hand */

static const etx_bytes batch = {"batch", 5};

static etx__owner claimed(void) {
    etx__owner owner;
    etx_put put;
    etx__owner_claim(&owner, 3, 77, 10, 1234);
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_WRITTEN), ETX__DURABLE);
    return owner;
}

static void test_claim_and_put(void **state) {
    (void)state;
    etx__owner owner;
    etx_put put;
    etx__owner_claim(&owner, 3, 77, 10, 1234);
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(put.size, sizeof put);
    assert_int_equal(put.partition, 3);
    assert_int_equal(put.slot, 10);
    assert_int_equal(put.nonce, 77);
    assert_int_equal(put.predecessor, 1234);
    assert_int_equal(put.checksum, etx_slot_checksum(3, 10, 77, 1234, batch));
    uint32_t before = put.checksum;
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_WRITTEN), ETX__DURABLE);
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(put.slot, 11);
    assert_int_equal(put.predecessor, before);
}

static void test_unknown_is_settled_by_the_same_put(void **state) {
    (void)state;
    etx__owner owner = claimed();
    etx_put first, again;
    etx__owner_fill(&owner, batch, &first);
    assert_int_equal(etx__owner_judge(&owner, &first, ETX_PUT_UNKNOWN), ETX__AGAIN);
    for (int i = 0; i < 5; i++) {
        etx__owner_fill(&owner, batch, &again);
        assert_memory_equal(&again, &first, sizeof first);
        /* Not written after unknown is not believed. */
        etx_put_result result = i % 2 ? ETX_PUT_UNKNOWN : ETX_PUT_NOT_WRITTEN;
        assert_int_equal(etx__owner_judge(&owner, &again, result), ETX__AGAIN);
    }
    etx__owner_fill(&owner, batch, &again);
    assert_int_equal(etx__owner_judge(&owner, &again, ETX_PUT_WRITTEN), ETX__DURABLE);
    assert_int_equal(owner.slot, 12);
}

static void test_not_written_is_given_back(void **state) {
    (void)state;
    etx__owner owner = claimed();
    etx_put put;
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_NOT_WRITTEN), ETX__GIVE_BACK);
    etx__owner_fill(&owner, (etx_bytes){"other", 5}, &put); /* other bytes may go there now */
    assert_int_equal(put.slot, 11);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_WRITTEN), ETX__DURABLE);
}

/* Doubt is of one put: once that stands, the next one's refusal is a promise again. */
static void test_doubt_ends_with_its_put(void **state) {
    (void)state;
    etx__owner owner = claimed();
    etx_put put;
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_UNKNOWN), ETX__AGAIN);
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_WRITTEN), ETX__DURABLE);
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(put.slot, 12);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_NOT_WRITTEN), ETX__GIVE_BACK);
}

static etx__verdict find(etx__owner *owner, uint64_t nonce, uint32_t checksum, uint8_t trimmed) {
    etx_put put;
    etx__owner_fill(owner, batch, &put);
    put.found_nonce = nonce;
    put.found_checksum = checksum != 0 ? checksum : put.checksum;
    put.found_trimmed = trimmed;
    return etx__owner_judge(owner, &put, ETX_PUT_OCCUPIED);
}

static void test_occupied(void **state) {
    (void)state;
    etx__owner owner = claimed();
    assert_int_equal(find(&owner, 5, 99, 0), ETX__LOST); /* another's */
    assert_int_equal(owner.state, ETX__OWNER_OVER);
    owner = claimed();
    assert_int_equal(find(&owner, 77, 0, 1), ETX__LOST); /* below the mark */
    owner = claimed();
    assert_int_equal(find(&owner, 77, 99, 0), ETX__BROKEN); /* our own, but other bytes */
    owner = claimed();
    assert_int_equal(find(&owner, 77, 0, 0), ETX__PROVE);
}

/* Our own bytes are proven by an empty batch behind them, and only by that. */
static void test_proof(void **state) {
    (void)state;
    etx_put put;
    etx__owner owner = claimed();
    assert_int_equal(find(&owner, 77, 0, 0), ETX__PROVE);
    for (int i = 0; i < 3; i++) {
        etx__owner_fill(&owner, batch, &put);
        assert_int_equal(put.slot, 12);
        assert_int_equal(put.predecessor, owner.checksum);
        assert_int_equal(put.batch.len, etx__owner_empty().len);
        etx_put_result result = i == 0   ? ETX_PUT_UNKNOWN
                                : i == 1 ? ETX_PUT_NOT_WRITTEN
                                         : ETX_PUT_WRITTEN;
        assert_int_equal(etx__owner_judge(&owner, &put, result), i < 2 ? ETX__PROVE : ETX__DURABLE);
    }
    assert_int_equal(owner.slot, 13);
    assert_int_equal(owner.predecessor, put.checksum);
}

static void test_proof_that_fails(void **state) {
    (void)state;
    etx_put put;
    static const struct {
        uint64_t nonce;
        uint8_t trimmed;
        etx__verdict verdict;
    } found[] = {{5, 0, ETX__LOST}, {77, 1, ETX__LOST}, {77, 0, ETX__BROKEN}};
    for (unsigned i = 0; i < 3; i++) {
        etx__owner owner = claimed();
        assert_int_equal(find(&owner, 77, 0, 0), ETX__PROVE);
        etx__owner_fill(&owner, batch, &put);
        put.found_nonce = found[i].nonce;
        put.found_trimmed = found[i].trimmed;
        assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_OCCUPIED), found[i].verdict);
    }
    /* What was found was erased again: the same put again, and a refusal settles nothing. */
    etx__owner owner = claimed();
    assert_int_equal(find(&owner, 77, 0, 0), ETX__PROVE);
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_PREDECESSOR), ETX__AGAIN);
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(put.slot, 11);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_NOT_WRITTEN), ETX__AGAIN);
}

static void test_predecessor_and_errors(void **state) {
    (void)state;
    etx__owner owner = claimed();
    etx_put put;
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_PREDECESSOR), ETX__REGRESSED);
    etx__owner_claim(&owner, 3, 77, 10, 1234); /* what was read was never acknowledged to it */
    etx__owner_fill(&owner, batch, &put);
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_PREDECESSOR), ETX__LOST);
    owner = claimed();
    etx__owner_fill(&owner, batch, &put);
    put.error = ETX_EIO;
    assert_int_equal(etx__owner_judge(&owner, &put, ETX_PUT_UNKNOWN), ETX__BROKEN);
    assert_int_equal(owner.state, ETX__OWNER_OVER);
    for (int i = 0; i < 2; i++) {
        owner = claimed();
        assert_int_equal(find(&owner, 77, 0, 0), ETX__PROVE);
        etx__owner_fill(&owner, batch, &put);
        put.error = ETX_EIO;
        assert_int_equal(
            etx__owner_judge(&owner, &put, i == 0 ? ETX_PUT_UNKNOWN : ETX_PUT_NOT_WRITTEN),
            ETX__BROKEN);
    }
}

/* ---- all sequences */

enum { DEPTH = 7, SEEN = 1 << 20 };

typedef struct search {
    uint64_t *seen; /* hashes of states, with the depth that was left */
    uint64_t states;
    int path[DEPTH];
} search;

static uint64_t hash_of(const store *s, int left) {
    const uint8_t *bytes = (const uint8_t *)s;
    uint64_t hash = 1469598103934665603ull + (uint64_t)left;
    for (size_t i = 0; i < sizeof *s; i++) {
        hash = (hash ^ bytes[i]) * 1099511628211ull;
    }
    return hash | 1;
}

static int is_new(search *all, uint64_t hash) {
    for (uint64_t at = hash % SEEN;; at = (at + 1) % SEEN) {
        if (all->seen[at] == hash) {
            return 0;
        }
        if (all->seen[at] == 0) {
            all->seen[at] = hash;
            assert_true(++all->states < SEEN / 4 * 3);
            return 1;
        }
    }
}

static void explore(search *all, const store *from, int depth) {
    if (depth == DEPTH || !is_new(all, hash_of(from, DEPTH - depth))) {
        return;
    }
    for (int action = 0;; action++) {
        store next;
        const char *wrong = NULL;
        memcpy(&next, from, sizeof next);
        int rc = store_act(&next, action, &wrong);
        if (rc == 0) {
            return;
        }
        all->path[depth] = action;
        if (wrong != NULL) {
            for (int i = 0; i <= depth; i++) {
                fprintf(stderr, "  %d %s\n", all->path[i], store_action_name(all->path[i]));
            }
            fail_msg("%s", wrong);
        }
        if (rc > 0) {
            explore(all, &next, depth + 1);
        }
    }
}

static void test_every_sequence(void **state) {
    (void)state;
    search all = {.seen = calloc(SEEN, sizeof(uint64_t))};
    store first;
    assert_non_null(all.seen);
    store_make(&first);
    explore(&all, &first, 0);
    assert_true(all.states > 50000);
    printf("%llu states\n", (unsigned long long)all.states);
    free(all.seen);
}

/* What is no result of a put: nothing is known, so the log is read anew. */
static void test_results_that_are_none(void **state) {
    (void)state;
    static const int odd[] = {-1, 0, 77};
    for (unsigned i = 0; i < 3; i++) {
        etx_put put;
        etx__owner owner = claimed();
        etx__owner_fill(&owner, batch, &put);
        etx__verdict verdict = etx__owner_judge(&owner, &put, (etx_put_result)odd[i]);
        assert_true(verdict == ETX__BROKEN || odd[i] == ETX_PUT_WRITTEN);
        owner = claimed();
        assert_int_equal(find(&owner, 77, 0, 0), ETX__PROVE);
        etx__owner_fill(&owner, batch, &put);
        verdict = etx__owner_judge(&owner, &put, (etx_put_result)odd[i]);
        assert_true(verdict == ETX__BROKEN || odd[i] == ETX_PUT_WRITTEN);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claim_and_put),
        cmocka_unit_test(test_unknown_is_settled_by_the_same_put),
        cmocka_unit_test(test_not_written_is_given_back),
        cmocka_unit_test(test_doubt_ends_with_its_put),
        cmocka_unit_test(test_occupied),
        cmocka_unit_test(test_proof),
        cmocka_unit_test(test_proof_that_fails),
        cmocka_unit_test(test_predecessor_and_errors),
        cmocka_unit_test(test_results_that_are_none),
        cmocka_unit_test(test_every_sequence),
    };
    return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
