/* SQLite as the tests of its fence see it: a file in a directory of its own. */
#include "subject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

static void make(char ret_place[PLACE_MAX]) {
    strncpy(ret_place, "/tmp/etx-fence-XXXXXX", PLACE_MAX - 1);
    assert_non_null(mkdtemp(ret_place));
}

static void remove_place(const char *place) {
    char command[PLACE_MAX + 16];
    snprintf(command, sizeof command, "rm -rf %s", place);
    assert_int_equal(system(command), 0);
}

static const char *execute(void *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? NULL : sqlite3_errmsg(db);
}

static void *connect_to(const char *place) {
    char path[PLACE_MAX + 16];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/bank.db", place);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 30000), SQLITE_OK);
    assert_null(execute(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF"));
    return db;
}

static void disconnect(void *db) {
    sqlite3_close(db);
}

static int64_t ask(void *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int64_t value;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

SUBJECT_FENCE(sqlite)

const fence_subject subject = {
    1500, "BEGIN IMMEDIATE", make,  remove_place, connect_to, disconnect, execute,
    ask,  prepare,           enter, finish,       clean,
};
