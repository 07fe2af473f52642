/* Writers of a log, for tests that break its store. */
#include "log_writer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 500, AWAIT_STEPS = 6000, RACE = 300 };

int subject_beside(const log_subject *subject,
                   log_subject *other,
                   const char *more,
                   uint32_t flags) {
    *other = *subject;
    other->log = NULL;
    snprintf(other->url, sizeof other->url, "%.300s%.200s", subject->url, more);
    return subject_open(other, flags);
}

log_chain chain_make(log_subject *subject, uint64_t nonce) {
    return (log_chain){.subject = subject, .nonce = nonce};
}

etx_put_result chain_put_next(log_chain *chain, etx_put *ret_put) {
    uint8_t bytes[BATCH];
    batch_fill(chain->next, bytes, sizeof bytes);
    *ret_put = put_make(chain, chain->next, bytes, sizeof bytes);
    etx_put_result result = chain->subject->ops->put(chain->subject->log, ret_put);
    if (result == ETX_PUT_WRITTEN) {
        chain->next++;
        chain->checksum = ret_put->checksum;
    }
    ret_put->batch = (etx_bytes){0};
    return result;
}

void chain_put_surely(log_chain *chain) {
    for (int i = 0; i < AWAIT_STEPS; i++) {
        etx_put put;
        etx_put_result result = chain_put_next(chain, &put);
        if (result == ETX_PUT_WRITTEN)
            return;
        if (result == ETX_PUT_OCCUPIED) {
            assert_int_equal(put.found_nonce, chain->nonce);
            assert_int_equal(put.found_checksum, put.checksum);
            chain->next++;
            chain->checksum = put.checksum;
            return;
        }
        assert_true(result == ETX_PUT_UNKNOWN || result == ETX_PUT_NOT_WRITTEN);
        assert_int_equal(put.error, ETX_EUNAVAILABLE);
        assert_true(put.message[0]);
        usleep(10000);
    }
    fail_msg("a put never stands");
}

void chain_settle(log_chain *chain) {
    etx_put put;
    assert_int_equal(chain_put_next(chain, &put), ETX_PUT_OCCUPIED);
    assert_int_equal(put.found_nonce, chain->nonce);
    assert_int_equal(put.found_checksum, put.checksum);
    chain->next++;
    chain->checksum = put.checksum;
    assert_int_equal(chain_put_next(chain, &put), ETX_PUT_WRITTEN);
}

static void *put_run(void *user) {
    put_thread *put = user;
    put->result = chain_put_next(put->chain, &put->put);
    put->over = 1;
    return NULL;
}

void put_begin(put_thread *put, log_chain *chain) {
    put->chain = chain;
    put->over = 0;
    assert_int_equal(pthread_create(&put->thread, NULL, put_run, put), 0);
}

etx_put_result put_end(put_thread *put) {
    pthread_join(put->thread, NULL);
    return put->result;
}

static void *write_on(void *user) {
    log_writer *writer = user;
    while (!writer->stop) {
        chain_put_surely(&writer->chain);
        writer->written = writer->chain.next;
    }
    return NULL;
}

void writer_begin(log_writer *writer, log_subject *subject) {
    *writer = (log_writer){.chain = chain_make(subject, 7)};
    assert_int_equal(pthread_create(&writer->thread, NULL, write_on, writer), 0);
}

void writer_await(log_writer *writer, uint64_t more) {
    uint64_t wanted = writer->written + more;
    for (int i = 0; writer->written < wanted && i < AWAIT_STEPS; i++)
        usleep(10000);
    assert_true(writer->written >= wanted);
}

void writer_end(log_writer *writer) {
    writer->stop = 1;
    pthread_join(writer->thread, NULL);
    chain_put_surely(&writer->chain);
    assert_int_equal(chain_check(writer->chain.subject, 0, 0, NULL), writer->chain.next);
}

typedef struct racer {
    log_subject subject;
    log_chain chain;
    uint64_t won;
} racer;

static int follow(const etx_slot *slot, void *user) {
    log_chain *chain = user;
    chain->next = slot->slot + 1;
    chain->checksum = slot->checksum;
    return 0;
}

/* Each reads on when it has lost, and tries again; also when it is not known who has won. */
static void *race(void *user) {
    racer *r = user;
    while (r->chain.next < RACE) {
        etx_put put;
        uint64_t mark;
        etx_put_result result = chain_put_next(&r->chain, &put);
        if (result == ETX_PUT_WRITTEN) {
            r->won++;
            continue;
        }
        if (result != ETX_PUT_OCCUPIED && put.error == ETX_EUNAVAILABLE)
            continue;
        if (result != ETX_PUT_OCCUPIED)
            return "the put came to something else";
        r->won += put.found_nonce == r->chain.nonce && put.found_checksum == put.checksum;
        if (r->subject.ops->get(r->subject.log, 0, r->chain.next, follow, &r->chain, &mark, NULL,
                                0))
            return "reading failed";
    }
    return NULL;
}

typedef struct counter {
    uint64_t nonce;
    uint64_t slots;
} counter;

static int count_own(const etx_slot *slot, void *user) {
    counter *own = user;
    own->slots += slot->nonce == own->nonce;
    return 0;
}

void race_check(log_subject *one, log_subject *two) {
    racer racers[2];
    pthread_t threads[2];
    uint64_t all = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(subject_beside(i ? two : one, &racers[i].subject, "", 0), 0);
        racers[i].chain = chain_make(&racers[i].subject, 100 + (uint64_t)i);
        racers[i].won = 0;
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        void *odd;
        pthread_join(threads[i], &odd);
        if (odd)
            fail_msg("%s", (char *)odd);
    }
    for (int i = 0; i < 2; i++) {
        counter own = {.nonce = 100 + (uint64_t)i};
        assert_int_equal(one->ops->get(one->log, 0, 0, count_own, &own, NULL, NULL, 0), 0);
        assert_int_equal(own.slots, racers[i].won);
        all += racers[i].won;
        racers[i].subject.ops->close(racers[i].subject.log, 0);
    }
    assert_int_equal(chain_check(one, 0, 0, NULL), all);
}
