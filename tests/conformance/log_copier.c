/* Copies a log slot by slot, and compares. */
#include "log_copier.h"

#include <stdio.h>
#include <string.h>

log_copier copier_of(log_subject *source, const char *url) {
    log_copier copier = {.source = source, .dest = *source};
    copier.dest.log = NULL;
    snprintf(copier.dest.url, sizeof copier.dest.url, "%s", url);
    return copier;
}

static int tell(const log_copier *copier, int rc) {
    if (rc)
        print_message("%s\n", copier->dest.message);
    return rc;
}

int copier_begin(log_copier *copier) {
    etx_log_info info = {.size = sizeof info};
    etx_log_config config = {.size = sizeof config,
                             .url = copier->dest.url,
                             .node = "test",
                             .message = copier->dest.message,
                             .message_size = sizeof copier->dest.message};
    copier->dest.message[0] = 0;
    assert_int_equal(copier->source->ops->info(copier->source->log, &info), 0);
    return tell(copier, copier->source->ops->copy_begin(&config, &info, &copier->copy));
}

int copier_slot(log_copier *copier, const etx_slot *slot) {
    return copier->source->ops->copy_slot(copier->copy, slot, copier->dest.message,
                                          sizeof copier->dest.message);
}

static int take_slot(const etx_slot *slot, void *user) {
    return copier_slot(user, slot);
}

int copier_fill(log_copier *copier, uint32_t partition) {
    uint64_t mark;
    int rc = copier->source->ops->get(copier->source->log, partition, 0, take_slot, copier, &mark,
                                      copier->dest.message, sizeof copier->dest.message);
    return tell(copier, rc);
}

int copier_end(log_copier *copier, int whole) {
    return copier->source->ops->copy_end(copier->copy, whole, copier->dest.message,
                                         sizeof copier->dest.message);
}

void copier_refused(log_copier *copier, uint32_t flags) {
    assert_int_equal(subject_open(&copier->dest, flags), ETX_EBUSY);
    assert_non_null(strstr(copier->dest.message, "etx log copy"));
}

void copier_check(log_copier *copier) {
    assert_int_equal(subject_open(&copier->dest, ETX_LOG_NO_CREATE), 0);
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t mark;
        uint64_t mark_copied;
        uint64_t slots = chain_check(copier->source, i, 0, &mark);
        assert_int_equal(chain_check(&copier->dest, i, 0, &mark_copied), slots);
        assert_int_equal(mark_copied, mark);
    }
    copier->dest.ops->close(copier->dest.log, 1);
}

void copier_fill_source(log_subject *source) {
    size_t len = strlen(source->url);
    snprintf(source->url + len, sizeof source->url - len, "&timeout_ms=20000");
    subject_reopen(source, 1);
    log_chain chain = chain_of(source, 0);
    log_chain small = chain_of(source, 2);
    puts_many(&chain, 45, 60000);
    puts_many(&small, 120, 10);
    assert_int_equal(source->ops->trim(source->log, 0, 5), 0);
}

void copier_fill_all(log_copier *copier) {
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(copier_fill(copier, i), 0);
}

void copier_whole(log_copier *copier) {
    assert_int_equal(copier_begin(copier), 0);
    copier_fill_all(copier);
    copier_refused(copier, 0);
    assert_int_equal(copier_end(copier, 1), 0);
    copier_check(copier);
}
