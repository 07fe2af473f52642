/* Nodes and leases, as every store that several engines may share has them. */
#include "log_leases.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AWAIT_STEPS = 6000, GONE_STEPS = 1000 };

static int open_as(const log_subject *subject, log_subject *other, const char *node) {
    *other = *subject;
    etx_log_config config = {.size = sizeof config,
                             .url = other->url,
                             .node = node,
                             .message = other->message,
                             .message_size = sizeof other->message};
    return other->ops->open(&config, &other->log);
}

typedef struct seen {
    char text[512];
    size_t len;
    char gone[512];
    size_t gone_len;
} seen;

static void see_node(const etx_log_node *node, void *user) {
    seen *all = user;
    assert_true(node->left_ms > 0 && node->left_ms <= 60000);
    all->len += (size_t)snprintf(all->text + all->len, sizeof all->text - all->len, "%s@%s ",
                                 node->name, node->address);
}

static void see_lease(const etx_log_lease *lease, void *user) {
    seen *all = user;
    assert_true(lease->left_ms > 0 && lease->left_ms <= 60000);
    all->len += (size_t)snprintf(all->text + all->len, sizeof all->text - all->len, "%u:%s ",
                                 lease->partition, lease->node);
}

static void see_gone(const etx_log_node *node, void *user) {
    seen *all = user;
    assert_int_equal(node->left_ms, 0);
    all->gone_len += (size_t)snprintf(all->gone + all->gone_len, sizeof all->gone - all->gone_len,
                                      "%s@%s ", node->name, node->address);
}

static void take_survey(const log_subject *subject, seen *all) {
    etx_log_survey survey = {sizeof survey, see_node, see_lease, all, see_gone};
    *all = (seen){.len = 0};
    assert_int_equal(subject->ops->survey(subject->log, &survey, NULL, 0), 0);
}

static void expect_survey(const log_subject *subject, const char *wanted) {
    seen all;
    take_survey(subject, &all);
    assert_string_equal(all.text, wanted);
}

/* Until what runs out has run out, by the store's clock. */
static void await_survey(const log_subject *subject, const char *wanted) {
    seen all = {.len = 0};
    for (int i = 0; i < AWAIT_STEPS; i++) {
        take_survey(subject, &all);
        if (strcmp(all.text, wanted) == 0)
            return;
        usleep(10000);
    }
    assert_string_equal(all.text, wanted);
}

/* As long as it may be, it is told whole. */
static void long_check(const log_subject *a) {
    enum { LONGEST = 375 };
    char where[LONGEST + 1];
    char wanted[LONGEST + 64];
    memset(where, 'x', LONGEST);
    memcpy(where, "http://a ", 9);
    memcpy(where + LONGEST - 8, " !3:4:5:", 9);
    assert_int_equal(a->ops->attend(a->log, where, 60000, NULL, 0), 0);
    snprintf(wanted, sizeof wanted, "a@%s b@http://b 1:a 2:b ", where);
    expect_survey(a, wanted);
}

/* In the order of names, of one moment; who is not heard of is gone, and who leaves at once. */
void nodes_check(const log_subject *subject) {
    log_subject a;
    log_subject b;
    log_subject again;
    char message[200] = "";
    const etx_log_ops *ops = subject->ops;
    assert_int_equal(open_as(subject, &b, "b"), 0);
    assert_int_equal(open_as(subject, &a, "a"), 0);
    expect_survey(&a, "");
    assert_int_equal(ops->attend(b.log, "http://b", 60000, message, sizeof message), 0);
    assert_int_equal(ops->attend(a.log, "", 60000, message, sizeof message), 0);
    assert_int_equal(ops->renew(b.log, 2, 60000), 1);
    assert_int_equal(ops->renew(a.log, 1, 60000), 1);
    expect_survey(&b, "a@ b@http://b 1:a 2:b ");
    assert_int_equal(open_as(subject, &again, "a"), 0); /* another process of that name */
    assert_int_equal(ops->attend(again.log, "http://a", 60000, message, sizeof message), 0);
    expect_survey(&b, "a@http://a b@http://b 1:a 2:b ");
    assert_int_equal(ops->attend(a.log, "", 60000, message, sizeof message), ETX_ECONFLICT);
    assert_int_equal(ops->attend(a.log, "", 0, message, sizeof message), 0); /* not its own */
    assert_int_equal(ops->attend(again.log, "http://a", 60000, message, sizeof message), 0);
    long_check(&again);
    assert_int_equal(ops->attend(again.log, "", 0, message, sizeof message), 0);
    expect_survey(&b, "b@http://b 1:a 2:b ");
    /* the name is free: also for who had it before; when that is not heard of, it is free again */
    assert_int_equal(ops->attend(a.log, "http://a", 60000, message, sizeof message), 0);
    assert_int_equal(ops->attend(again.log, "", 60000, message, sizeof message), ETX_ECONFLICT);
    assert_int_equal(ops->attend(a.log, "http://a x", 1, message, sizeof message), 0);
    await_survey(&b, "b@http://b 1:a 2:b ");
    assert_int_equal(ops->attend(again.log, "http://c", 60000, message, sizeof message), 0);
    expect_survey(&b, "a@http://c b@http://b 1:a 2:b ");
    assert_int_equal(ops->attend(again.log, "", 0, message, sizeof message), 0);
    assert_int_equal(ops->attend(b.log, "", 1, message, sizeof message), 0);
    await_survey(&b, "1:a 2:b ");
    ops->close(a.log, 1);
    ops->close(b.log, 1);
    ops->close(again.log, 1);
}

void leases_check(const log_subject *subject) {
    log_subject a;
    log_subject b;
    const etx_log_ops *ops = subject->ops;
    assert_int_equal(open_as(subject, &a, "a"), 0);
    assert_int_equal(open_as(subject, &b, "b"), 0);
    assert_int_equal(ops->renew(a.log, 1, 60000), 1);
    assert_int_equal(ops->renew(b.log, 1, 60000), ETX_EBUSY);
    assert_int_equal(ops->renew(b.log, 2, 60000), 1);
    assert_int_equal(ops->renew(a.log, 1, 60000), 0);
    assert_int_equal(ops->release(b.log, 1), 0); /* not its own */
    assert_int_equal(ops->renew(b.log, 1, 60000), ETX_EBUSY);
    assert_int_equal(ops->release(a.log, 1), 0);
    assert_int_equal(ops->renew(b.log, 1, 1), 1);
    await_survey(&b, "2:b ");
    assert_int_equal(ops->renew(a.log, 1, 60000), 1);
    assert_int_equal(ops->renew(a.log, 3, 60000), ETX_EINVALID);
    uint64_t theirs = 0;
    assert_int_equal(ops->clock(a.log, &theirs), 0);
    int64_t off = (int64_t)time(NULL) - (int64_t)(theirs / 1000); /* it runs on this machine */
    assert_true(off > -60 && off < 60);
    ops->close(a.log, 1);
    ops->close(b.log, 1);
}

/* Until it is told that these are gone. */
static void await_gone(const log_subject *subject, const char *wanted) {
    seen all = {.len = 0};
    for (int i = 0; i < GONE_STEPS; i++) {
        take_survey(subject, &all);
        if (strcmp(all.gone, wanted) == 0)
            return;
        usleep(10000);
    }
    assert_string_equal(all.gone, wanted);
}

/* Where a node was is told after it left, and after it was not heard of any more, if it had said
 * more than its address; until it is there again. */
void gone_check(const log_subject *subject) {
    log_subject a;
    log_subject b;
    log_subject again;
    const etx_log_ops *ops = subject->ops;
    assert_int_equal(open_as(subject, &a, "a"), 0);
    assert_int_equal(open_as(subject, &b, "b"), 0);
    assert_int_equal(ops->attend(b.log, "http://b", 60000, NULL, 0), 0);
    assert_int_equal(ops->attend(a.log, "http://a f000001 f000002", 60000, NULL, 0), 0);
    await_gone(&b, "");
    assert_int_equal(ops->attend(b.log, "", 0, NULL, 0), 0);
    expect_survey(&b, "a@http://a f000001 f000002 ");
    await_gone(&b, ""); /* it had none */
    assert_int_equal(ops->attend(a.log, "", 0, NULL, 0), 0);
    expect_survey(&b, "");
    await_gone(&b, "a@http://a f000001 f000002 ");
    ops->close(a.log, 1);
    assert_int_equal(open_as(subject, &again, "a"), 0); /* there again, with one of them */
    assert_int_equal(ops->attend(again.log, " f000002", 60000, NULL, 0), 0);
    expect_survey(&b, "a@ f000002 ");
    await_gone(&b, "");
    assert_int_equal(ops->attend(again.log, " f000002", 1, NULL, 0), 0);
    await_gone(&b, "a@ f000002 ");
    const etx_log_survey older = {offsetof(etx_log_survey, on_gone), see_node, see_lease,
                                  &(seen){.len = 0}, (void (*)(const etx_log_node *, void *))abort};
    assert_int_equal(ops->survey(b.log, &older, NULL, 0), 0); /* who does not ask is not told */
    assert_int_equal(ops->attend(again.log, "http://a", 60000, NULL, 0), 0);
    assert_int_equal(ops->attend(again.log, "", 0, NULL, 0), 0);
    expect_survey(&b, "");
    await_gone(&b, "");
    ops->close(b.log, 1);
    ops->close(again.log, 1);
}
