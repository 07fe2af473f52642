/* Opens a log adapter for the conformance suite, puts known batches, and checks what is read. */
#include "log_subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int subject_open(log_subject *subject, uint32_t flags) {
    etx_log_config config = {.size = sizeof config,
                             .url = subject->url,
                             .node = "test",
                             .flags = flags,
                             .message = subject->message,
                             .message_size = sizeof subject->message};
    subject->message[0] = 0;
    return subject->ops->open(&config, &subject->log);
}

void subject_reopen(log_subject *subject, int clean) {
    subject->ops->close(subject->log, clean);
    subject->log = NULL;
    int rc = subject_open(subject, 0);
    if (rc)
        print_message("%s\n", subject->message);
    assert_int_equal(rc, 0);
}

void subject_refused(const log_subject *subject,
                     const char *url,
                     uint32_t flags,
                     int wanted,
                     const char *words) {
    log_subject other = *subject;
    other.log = NULL;
    snprintf(other.url, sizeof other.url, "%s", url);
    int rc = subject_open(&other, flags);
    if (rc != wanted || !strstr(other.message, words))
        print_message("%s: %d %s\n", url, rc, other.message);
    assert_int_equal(rc, wanted);
    assert_non_null(strstr(other.message, words));
    assert_null(strstr(other.message, "secret"));
}

etx_put put_make(const log_chain *chain, uint64_t slot, const void *bytes, size_t len) {
    etx_put put = {.size = sizeof put,
                   .partition = chain->partition,
                   .predecessor = slot ? chain->checksum : 0,
                   .slot = slot,
                   .nonce = chain->nonce,
                   .batch = {bytes, len}};
    put.checksum =
        etx_slot_checksum(put.partition, put.slot, put.nonce, put.predecessor, put.batch);
    return put;
}

etx_put_result chain_put(log_chain *chain, const void *bytes, size_t len) {
    etx_put put = put_make(chain, chain->next, bytes, len);
    etx_put_result result = chain->subject->ops->put(chain->subject->log, &put);
    if (result == ETX_PUT_WRITTEN) {
        chain->next++;
        chain->checksum = put.checksum;
    } else if (put.message[0]) {
        print_message("%s\n", put.message);
    }
    return result;
}

size_t batch_fill(uint64_t slot, uint8_t *to, size_t len) {
    uint64_t state = slot * 0x9e3779b97f4a7c15u + len;
    for (size_t i = 0; i < len; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        to[i] = (uint8_t)(state >> 56);
    }
    return len;
}

typedef struct checker {
    uint64_t expected;
    uint64_t from;
    uint64_t count;
    uint32_t partition;
    uint32_t checksum;
} checker;

static int check_slot(const etx_slot *slot, void *user) {
    checker *state = user;
    uint8_t *wanted = malloc(slot->batch.len);
    assert_non_null(wanted);
    if (state->count == 0) {
        assert_true(slot->slot >= state->from);
    } else {
        assert_int_equal(slot->slot, state->expected);
        assert_int_equal(slot->predecessor, state->checksum);
    }
    assert_int_equal(slot->partition, state->partition);
    assert_int_equal(slot->checksum, etx_slot_checksum(slot->partition, slot->slot, slot->nonce,
                                                       slot->predecessor, slot->batch));
    batch_fill(slot->slot, wanted, slot->batch.len);
    assert_memory_equal(wanted, slot->batch.data, slot->batch.len);
    free(wanted);
    state->expected = slot->slot + 1;
    state->checksum = slot->checksum;
    state->count++;
    return 0;
}

uint64_t chain_check(log_subject *subject, uint32_t partition, uint64_t from, uint64_t *ret_mark) {
    checker state = {.from = from, .partition = partition};
    char message[512] = "";
    uint64_t mark = 0;
    int rc = subject->ops->get(subject->log, partition, from, check_slot, &state, &mark, message,
                               sizeof message);
    if (rc)
        print_message("%s\n", message);
    assert_int_equal(rc, 0);
    if (ret_mark)
        *ret_mark = mark;
    return state.count;
}

log_chain chain_of(log_subject *subject, uint32_t partition) {
    return (log_chain){.subject = subject, .partition = partition, .nonce = 77};
}

void puts_many(log_chain *chain, uint64_t count, size_t len) {
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    for (uint64_t i = 0; i < count; i++) {
        batch_fill(chain->next, bytes, len);
        assert_int_equal(chain_put(chain, bytes, len), ETX_PUT_WRITTEN);
    }
    free(bytes);
}
