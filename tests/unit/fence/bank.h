/* A bank with one account, its fence, and two connections: what the tests of a fence stand on. */
#ifndef ETX_TESTS_UNIT_FENCE_BANK_H
#define ETX_TESTS_UNIT_FENCE_BANK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "subject.h"

/* A connection. */
typedef struct bank {
    const fence_subject *of;
    void *db;
} bank;

typedef struct fixture {
    const fence_subject *of;
    char place[PLACE_MAX];
    bank *db;
    bank *other; /* a second connection to the same database */
    bank banks[2];
} fixture;

/* The business: to hold 10 of the account, to take what is held, to give it back. */
#define SQL_HOLD "UPDATE account SET held = held + 10 WHERE id = 1"
#define SQL_BOOK "UPDATE account SET held = held - 10, balance = balance - 10 WHERE id = 1"
#define SQL_DROP "UPDATE account SET held = held - 10 WHERE id = 1"

int bank_set_up(void **state);
int bank_tear_down(void **state);
/* SQL that must work. */
void execute(bank *db, const char *sql);
int64_t ask(bank *db, const char *sql);
/* Of branch 0, in a transaction begun at 1000. */
etx_fence_call make_call(const char *gid, etx_kind kind, etx_operation operation);
etx_fence_answer enter(bank *db, const etx_fence_call *call);
/* One whole operation, as a participant does it: `sql` is the business work. Returns 0 if it ran,
 * else the reply that was kept. */
etx_reply operate(bank *db, const etx_fence_call *call, const char *sql, etx_reply reply);

#endif
