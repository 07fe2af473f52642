/* Puts and reads beside a store that is broken meanwhile, and sees that nothing is lost. */
#include "log_writers.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 500 };

log_chain writer_chain(log_subject *subject, uint64_t nonce) {
    return (log_chain){.subject = subject, .nonce = nonce};
}

etx_put_result writer_put(log_chain *chain, etx_put *ret_put) {
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

/* 1: it stands. NULL or what is wrong in *ret_odd. */
static int try_put(log_chain *chain, const char **ret_odd) {
    etx_put put;
    etx_put_result result = writer_put(chain, &put);
    *ret_odd = NULL;
    if (result == ETX_PUT_WRITTEN)
        return 1;
    if (result == ETX_PUT_OCCUPIED && put.found_nonce == chain->nonce &&
        put.found_checksum == put.checksum) {
        chain->next++;
        chain->checksum = put.checksum;
        return 1;
    }
    if ((result != ETX_PUT_UNKNOWN && result != ETX_PUT_NOT_WRITTEN) ||
        put.error != ETX_EUNAVAILABLE || !put.message[0])
        *ret_odd = "a put came to something else";
    return 0;
}

static const char *put_until_it_stands(log_chain *chain) {
    const char *odd;
    for (int i = 0; i < LOG_WAIT_STEPS; i++) {
        if (try_put(chain, &odd) || odd)
            return odd;
        usleep(LOG_WAIT_US);
    }
    return "a put never stands";
}

void writer_put_surely(log_chain *chain) {
    const char *odd = put_until_it_stands(chain);
    if (odd)
        fail_msg("%s", odd);
}

/* ---- one on its own */

static void *write_on(void *user) {
    log_writer *writer = user;
    const char *odd = NULL;
    while (!odd && !writer->stop) {
        odd = put_until_it_stands(&writer->chain);
        writer->written = writer->chain.next;
    }
    return (void *)(uintptr_t)odd;
}

void writer_start(log_writer *writer, log_subject *subject, uint64_t nonce) {
    *writer = (log_writer){.chain = writer_chain(subject, nonce)};
    assert_int_equal(pthread_create(&writer->thread, NULL, write_on, writer), 0);
}

void writer_await(const log_writer *writer, uint64_t more) {
    uint64_t wanted = writer->written + more;
    for (int i = 0; writer->written < wanted && i < LOG_WAIT_STEPS; i++)
        usleep(LOG_WAIT_US);
    assert_true(writer->written >= wanted);
}

void writer_end(log_writer *writer) {
    void *odd;
    writer->stop = 1;
    pthread_join(writer->thread, &odd);
    if (odd)
        fail_msg("%s", (char *)odd);
    writer_put_surely(&writer->chain);
    assert_int_equal(chain_check(writer->chain.subject, 0, 0, NULL), writer->chain.next);
}

/* ---- two that race */

typedef struct racer {
    pthread_t thread;
    log_chain chain;
    uint64_t slots;
    uint64_t won;
} racer;

static int follow(const etx_slot *slot, void *user) {
    log_chain *chain = user;
    chain->next = slot->slot + 1;
    chain->checksum = slot->checksum;
    return 0;
}

static void *race(void *user) {
    racer *r = user;
    const log_subject *subject = r->chain.subject;
    while (r->chain.next < r->slots) {
        etx_put put;
        uint64_t mark;
        etx_put_result result = writer_put(&r->chain, &put);
        if (result == ETX_PUT_WRITTEN) {
            r->won++;
            continue;
        }
        if (result != ETX_PUT_OCCUPIED || put.found_nonce == r->chain.nonce)
            return "the put came to something else";
        if (subject->ops->get(subject->log, 0, r->chain.next, follow, &r->chain, &mark, NULL, 0))
            return "reading failed";
    }
    return NULL;
}

typedef struct winners {
    uint64_t first;
    uint64_t of_first;
    uint64_t all;
} winners;

static int count_winner(const etx_slot *slot, void *user) {
    winners *w = user;
    w->of_first += slot->nonce == w->first;
    w->all++;
    return 0;
}

void writers_race(log_subject *one, log_subject *two, uint64_t slots) {
    racer racers[2] = {{.chain = writer_chain(one, 100), .slots = slots},
                       {.chain = writer_chain(two, 101), .slots = slots}};
    winners found = {.first = 100};
    uint64_t mark;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *odd;
        pthread_join(racers[i].thread, &odd);
        if (odd)
            fail_msg("%s", (char *)odd);
    }
    assert_int_equal(one->ops->get(one->log, 0, 0, count_winner, &found, &mark, NULL, 0), 0);
    assert_int_equal(found.of_first, racers[0].won);
    assert_int_equal(found.all, racers[0].won + racers[1].won);
    assert_int_equal(chain_check(one, 0, 0, NULL), found.all);
}

/* ---- surveys */

typedef struct seen {
    char text[512];
    size_t len;
} seen;

static void see_node(const etx_log_node *node, void *user) {
    seen *all = user;
    assert_true(node->left_ms > 0);
    all->len += (size_t)snprintf(all->text + all->len, sizeof all->text - all->len, "%s@%s ",
                                 node->name, node->address);
}

static void see_lease(const etx_log_lease *lease, void *user) {
    seen *all = user;
    assert_true(lease->left_ms > 0);
    all->len += (size_t)snprintf(all->text + all->len, sizeof all->text - all->len, "%u:%s ",
                                 lease->partition, lease->node);
}

static seen look(const log_subject *subject) {
    seen all = {.len = 0};
    etx_log_survey survey = {sizeof survey, see_node, see_lease, &all};
    assert_int_equal(subject->ops->survey(subject->log, &survey, NULL, 0), 0);
    return all;
}

void survey_expect(const log_subject *subject, const char *wanted) {
    seen all = look(subject);
    assert_string_equal(all.text, wanted);
}

void survey_await(const log_subject *subject, const char *wanted) {
    seen all = look(subject);
    for (int i = 0; strcmp(all.text, wanted) != 0 && i < LOG_WAIT_STEPS; i++) {
        usleep(LOG_WAIT_US);
        all = look(subject);
    }
    assert_string_equal(all.text, wanted);
}
