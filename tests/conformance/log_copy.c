/* The contract of <etx/log.h> for a log that takes the place of another, judged. */
#include "log_copier.h"

#include <string.h>

/* Nobody opens a copy before it is whole. */
static void copy_all(log_subject *subject, int whole) {
    log_copier copier = copier_of(subject, subject->copy);
    assert_int_equal(copier_begin(&copier), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(copier_fill(&copier, i), 0);
        assert_int_not_equal(subject_open(&copier.dest, ETX_LOG_NO_CREATE), 0);
    }
    assert_int_equal(copier_end(&copier, whole), 0);
    if (!whole)
        assert_int_not_equal(subject_open(&copier.dest, ETX_LOG_NO_CREATE), 0);
}

static int cannot_be_copied(const log_subject *subject) {
    if (subject->ops->copy_begin)
        return 0;
    print_message("skipped: %s takes no other log's place\n", subject->ops->scheme);
    return 1;
}

/* Slots keep their numbers and their chain, and the log its id: it goes on where the other was. */
void test_copy(void **state) {
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 1);
    log_chain short_chain = chain_of(subject, 2);
    etx_log_info before = {.size = sizeof before};
    etx_log_info after = {.size = sizeof after};
    uint64_t mark;
    if (cannot_be_copied(subject))
        skip();
    puts_many(&chain, 200, 9000);
    puts_many(&short_chain, 3, 10);
    assert_int_equal(subject->ops->trim(subject->log, 1, 150), 0);
    uint64_t slots = chain_check(subject, 1, 0, &mark);
    assert_int_equal(subject->ops->info(subject->log, &before), 0);
    copy_all(subject, 0);
    copy_all(subject, 1);
    subject->ops->close(subject->log, 1);
    memcpy(subject->url, subject->copy, sizeof subject->url);
    assert_int_equal(subject_open(subject, ETX_LOG_NO_CREATE), 0);
    assert_int_equal(subject->ops->info(subject->log, &after), 0);
    assert_string_equal(before.id, after.id);
    assert_int_equal(before.partitions, after.partitions);
    uint64_t mark_then = mark;
    assert_int_equal(chain_check(subject, 1, 0, &mark), slots);
    assert_int_equal(mark, mark_then);
    assert_int_equal(chain_check(subject, 2, 0, NULL), 3);
    assert_int_equal(chain_check(subject, 0, 0, NULL), 0);
    log_chain empty = chain_of(subject, 0);
    puts_many(&empty, 2, 100);
    puts_many(&chain, 5, 100);
    puts_many(&short_chain, 5, 100);
    subject_reopen(subject, 0);
    assert_int_equal(chain_check(subject, 1, 0, NULL), slots + 5);
    assert_int_equal(chain_check(subject, 2, 0, NULL), 8);
    log_copier again = copier_of(subject, subject->copy);
    assert_int_equal(copier_begin(&again), ETX_EBUSY);
}

static void retire(log_subject *subject, etx_retirement what, const char *words) {
    assert_int_equal(
        subject->ops->retire(subject->log, what, words, subject->message, sizeof subject->message),
        0);
    subject->ops->close(subject->log, 1);
    subject->log = NULL;
}

/* Who opens it hears where it went; it can be read, and taken back. */
void test_retire(void **state) {
    static const etx_retirement kinds[] = {ETX_RETIRE_COPYING, ETX_RETIRE_MOVED};
    log_subject *subject = *state;
    log_chain chain = chain_of(subject, 1);
    if (cannot_be_copied(subject))
        skip();
    puts_many(&chain, 3, 100);
    for (size_t i = 0; i < 2; i++) {
        etx_log_info info = {.size = sizeof info};
        retire(subject, kinds[i], "it went away: 100 %s of it");
        assert_int_equal(subject_open(subject, 0), ETX_ECONFLICT);
        assert_non_null(strstr(subject->message, "it went away: 100 %s of it"));
        assert_int_equal(subject_open(subject, ETX_LOG_READ_ONLY), 0);
        assert_int_equal(chain_check(subject, 1, 0, NULL), 3);
        assert_int_not_equal(subject->ops->retire(subject->log, ETX_RETIRE_NOT, "", NULL, 0), 0);
        subject->ops->close(subject->log, 1);
        assert_int_equal(subject_open(subject, ETX_LOG_RETIRED), 0);
        assert_int_equal(subject->ops->info(subject->log, &info), 0);
        assert_int_equal(info.flags & (ETX_LOG_COPYING | ETX_LOG_MOVED),
                         kinds[i] == ETX_RETIRE_MOVED ? ETX_LOG_MOVED : ETX_LOG_COPYING);
    }
    retire(subject, ETX_RETIRE_NOT, "");
    assert_int_equal(subject_open(subject, 0), 0);
    puts_many(&chain, 2, 100);
    assert_int_equal(chain_check(subject, 1, 0, NULL), 5);
}
