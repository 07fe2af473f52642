/* The demo's audit: three ledgers, three fences, the log, and what callers were told, compared.
 *
 * It trusts nobody's counters. It opens the log as an operator would, lists what was decided, and
 * lets SQLite join that with what each bank says. Two questions: is every transfer in all of its
 * ledgers or in none, as decided? And is there as much money as at the beginning? */
#include <errno.h>
#include <string.h>

#include "demo.h"

enum { PAGE = 1000, SHOWN = 5, CLOSE_MS = 10000, HISTORY_MAX = 1 << 23 };

/* What is compared, from here on in temporary tables: decision, told, entry, fence, held. */
static const char prepare[] =
    "CREATE TEMP TABLE decision(gid TEXT PRIMARY KEY, state TEXT, ended INTEGER) WITHOUT ROWID;"
    "CREATE TEMP TABLE told(gid TEXT, state TEXT);"
    "CREATE TEMP VIEW entry AS SELECT gid, branch, amount, legs, step FROM north.ledger"
    " UNION ALL SELECT gid, branch, amount, legs, step FROM south.ledger"
    " UNION ALL SELECT gid, branch, amount, legs, step FROM west.ledger;"
    "CREATE TEMP VIEW fence AS SELECT * FROM north.etx_fence UNION ALL"
    " SELECT * FROM south.etx_fence UNION ALL SELECT * FROM west.etx_fence;"
    "CREATE TEMP VIEW held AS SELECT gid FROM north.hold UNION ALL SELECT gid FROM south.hold"
    " UNION ALL SELECT gid FROM west.hold;"
    "CREATE TEMP TABLE bad(gid TEXT, why TEXT);";

static const char summarize[] =
    /* A leg counts 1 if it is booked, 0 if it never was or was booked back; else it is odd. */
    "CREATE TEMP TABLE leg AS SELECT gid, branch, max(legs) AS legs, sum(amount) AS amount,"
    " sum(step = 'book') - sum(step = 'undo') AS net FROM entry GROUP BY gid, branch;"
    "CREATE TEMP TABLE whole AS SELECT gid, max(legs) AS legs, sum(amount) AS amount,"
    " sum(net) AS net, sum(net NOT IN (0, 1)) AS odd FROM leg GROUP BY gid;"
    "CREATE UNIQUE INDEX temp.whole_gid ON whole(gid);"
    "CREATE TEMP TABLE guard AS SELECT gid, branch, max(kind) AS kind,"
    " max(CASE WHEN operation = 0 THEN reply END) AS forward,"
    " max(CASE WHEN operation = 1 THEN reply END) AS confirmed,"
    " max(CASE WHEN operation = 2 THEN reply END) AS undone,"
    " min(reply) AS least FROM fence GROUP BY gid, branch;";

static const char *const checks[] = {
    "INSERT INTO bad SELECT d.gid, 'committed, but not in all ledgers' FROM decision d"
    " LEFT JOIN whole w ON w.gid = d.gid WHERE d.state = 'COMMITTED'"
    " AND (w.gid IS NULL OR w.net <> w.legs OR w.odd)",
    "INSERT INTO bad SELECT d.gid, 'aborted, but not undone in all ledgers' FROM decision d"
    " JOIN whole w ON w.gid = d.gid WHERE d.state = 'ABORTED' AND (w.net <> 0 OR w.odd)",
    "INSERT INTO bad SELECT w.gid, 'its legs do not add up to nothing' FROM whole w"
    " JOIN decision d ON d.gid = w.gid WHERE w.amount <> 0 AND d.ended",
    "INSERT INTO bad SELECT g.gid, 'a bank knows it, the log does not' FROM"
    " (SELECT gid FROM whole UNION SELECT gid FROM guard) g"
    " WHERE g.gid NOT IN (SELECT gid FROM decision)",
    "INSERT INTO bad SELECT g.gid, 'committed, but a fence says otherwise' FROM guard g"
    " JOIN decision d ON d.gid = g.gid WHERE d.state = 'COMMITTED'"
    " AND (g.undone IS NOT NULL OR (g.kind < 4 AND g.forward IS NOT 1)"
    " OR (g.kind IN (1, 4) AND g.confirmed IS NOT 1))",
    "INSERT INTO bad SELECT gid, 'a note was left twice, or of nothing that was committed' FROM"
    " (SELECT gid, branch, count(*) AS n FROM entry WHERE step = 'note' GROUP BY gid, branch)"
    " LEFT JOIN decision d USING(gid) WHERE n > 1 OR d.state IS NOT 'COMMITTED'",
    "INSERT INTO bad SELECT g.gid, 'aborted, but a fence says otherwise' FROM guard g"
    " JOIN decision d ON d.gid = g.gid WHERE d.state = 'ABORTED'"
    " AND (g.confirmed IS NOT NULL OR (g.forward = 1 AND g.undone IS NOT 1))",
    "INSERT INTO bad SELECT gid, 'entered at a fence, but never finished' FROM guard"
    " WHERE least = 0",
    /* NOTHING: that it was never begun. LATE: nothing, but it asked to commit past the deadline.
     * Who is told that all is done is told so a little before the log has its END: after a crash
     * the same decision may be carried out once more. */
    "INSERT INTO bad SELECT t.gid, 'its initiator was told ' || t.state FROM told t"
    " LEFT JOIN decision d ON d.gid = t.gid WHERE CASE t.state WHEN 'NOTHING' THEN d.state"
    " IS NOT NULL WHEN 'LATE' THEN d.state IS NOT 'ABORTED' ELSE d.state IS NOT t.state"
    " AND NOT (d.state = 'COMMITTING' AND t.state = 'COMMITTED')"
    " AND NOT (d.state = 'ABORTING' AND t.state = 'ABORTED') END",
    "INSERT INTO bad SELECT h.gid, 'ended, but money is still held' FROM held h"
    " JOIN decision d ON d.gid = h.gid WHERE d.ended",
};

/* Money made or lost: against what there was, and against each account's own entries; and money
 * that is held for nobody any more. */
static const char balance_of[] =
    "SELECT sum(held), sum(abs(balance - opening - coalesce(t.amount, 0))), sum(balance - opening),"
    " sum(balance), count(*) FROM %1$s.account AS a LEFT JOIN (SELECT account, sum(amount) AS "
    "amount"
    " FROM %1$s.ledger GROUP BY account) AS t ON t.account = a.id";

static int fail_audit(cli_context *cli, sqlite3 *db) {
    return etx__cli_fail(cli, NULL, "the audit cannot read the banks: %s", sqlite3_errmsg(db));
}

static int open_banks(cli_context *cli, const char *dir, sqlite3 **ret_db) {
    sqlite3 *db = NULL;
    int i;
    /* what is not there is not made, not even by ATTACH */
    if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        return fail_audit(cli, db);
    }
    *ret_db = db;
    for (i = 0; i < DEMO_BANKS; i++) {
        char path[DEMO_PATH_MAX];
        char uri[DEMO_PATH_MAX + 64];
        etx__demo_bank_path(dir, i, path, sizeof path);
        if (strpbrk(path, "'") != NULL) {
            return etx__cli_fail(cli, NULL, "%s: a directory without ' in its name, please", dir);
        }
        snprintf(uri, sizeof uri, "ATTACH '%s' AS %s", path, etx__demo_bank_name(i));
        if (sqlite3_exec(db, uri, NULL, NULL, NULL) != SQLITE_OK) {
            return fail_audit(cli, db);
        }
    }
    return sqlite3_exec(db, prepare, NULL, NULL, NULL) == SQLITE_OK ? CLI_OK : fail_audit(cli, db);
}

/* ---- what the log says */

typedef struct decision_list {
    sqlite3_stmt *insert;
    int failed;
} decision_list;

static int note_decision(const etx_status *status, void *user) {
    decision_list *list = user;
    sqlite3_bind_text(list->insert, 1, status->gid, -1, SQLITE_STATIC);
    sqlite3_bind_text(list->insert, 2, etx_state_name(status->state), -1, SQLITE_STATIC);
    sqlite3_bind_int(list->insert, 3, (status->marks & ETX_MARK_ENDED) != 0);
    list->failed |= sqlite3_step(list->insert) != SQLITE_DONE;
    sqlite3_reset(list->insert);
    return 0;
}

static int list_decisions(etx_engine *engine, sqlite3 *db) {
    decision_list list = {NULL, 0};
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    int rc;
    filter.remembered = 1;
    if (sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO decision VALUES(?1, ?2, ?3)", -1,
                           &list.insert, NULL) != SQLITE_OK) {
        return ETX_EIO;
    }
    do {
        rc = etx_list(engine, &filter, &cursor, PAGE, note_decision, &list);
    } while (rc == 0 && (cursor.word[0] != 0 || cursor.word[1] != 0));
    sqlite3_finalize(list.insert);
    return rc == 0 && list.failed ? ETX_EIO : rc;
}

static int read_log(cli_context *cli, const char *dir, sqlite3 *db) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_engine *engine = NULL;
    char url[DEMO_PATH_MAX + 16];
    char message[400] = "";
    int rc;
    options.node = "demo-audit";
    options.flags = ETX_INSPECT;
    options.shards = 1;
    options.workers = 1;
    options.history_max = HISTORY_MAX;
    options.history_age_ms = 365 * 86400000ULL;
    snprintf(url, sizeof url, "file:%s/log", dir);
    rc = etx_engine_create(&options, &engine);
    if (rc == 0) {
        rc = etx_engine_home(engine, url);
    }
    if (rc == 0) {
        rc = etx_engine_start(engine);
    }
    if (rc == 0) {
        rc = list_decisions(engine, db);
        (void)etx_engine_close(engine, ETX_CLOSE_LEAVE, CLOSE_MS);
    }
    if (rc != 0 && engine != NULL) {
        etx_engine_message(engine, message, sizeof message);
    }
    etx_engine_free(engine);
    return rc == 0 ? CLI_OK
                   : etx__cli_fail(cli, NULL, "the audit cannot read the log: %s (%s)", message,
                                   etx_error_name(rc));
}

/* ---- what initiators were told */

static int read_answers(cli_context *cli, const char *dir, sqlite3 *db) {
    char path[DEMO_PATH_MAX];
    char line[ETX_GID_MAX + 64];
    sqlite3_stmt *insert = NULL;
    FILE *file;
    int failed = 0;
    snprintf(path, sizeof path, "%s/answers", dir);
    file = fopen(path, "re");
    if (file == NULL) {
        return etx__cli_fail(cli, NULL, "%s: %s", path, strerror(errno));
    }
    failed =
        sqlite3_prepare_v2(db, "INSERT INTO told VALUES(?1, ?2)", -1, &insert, NULL) != SQLITE_OK;
    while (!failed && fgets(line, sizeof line, file) != NULL) {
        char *space = strchr(line, ' ');
        size_t len = strlen(line);
        if (space == NULL || line[len - 1] != '\n') {
            continue; /* cut by a kill */
        }
        sqlite3_bind_text(insert, 1, line, (int)(space - line), SQLITE_STATIC);
        sqlite3_bind_text(insert, 2, space + 1, (int)(line + len - 1 - (space + 1)), SQLITE_STATIC);
        failed = sqlite3_step(insert) != SQLITE_DONE;
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    (void)fclose(file);
    return failed ? fail_audit(cli, db) : CLI_OK;
}

/* ---- comparing */

static uint64_t count_of(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    uint64_t count = UINT64_MAX; /* a question that fails must not look like nothing found */
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        count = (uint64_t)sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return count;
}

static int compare(cli_context *cli, sqlite3 *db, demo_findings *findings) {
    size_t i;
    if (sqlite3_exec(db, summarize, NULL, NULL, NULL) != SQLITE_OK) {
        return fail_audit(cli, db);
    }
    for (i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (sqlite3_exec(db, checks[i], NULL, NULL, NULL) != SQLITE_OK) {
            return fail_audit(cli, db);
        }
    }
    findings->transfers = count_of(db, "SELECT count(*) FROM decision");
    findings->committed = count_of(db, "SELECT count(*) FROM decision WHERE state = 'COMMITTED'");
    findings->aborted = count_of(db, "SELECT count(*) FROM decision WHERE state = 'ABORTED'");
    findings->unfinished = count_of(db, "SELECT count(*) FROM decision WHERE NOT ended");
    findings->answers = count_of(db, "SELECT count(*) FROM told");
    findings->half_done = count_of(db, "SELECT count(DISTINCT gid) FROM bad");
    findings->misled = count_of(
        db, "SELECT count(DISTINCT gid) FROM bad WHERE why LIKE 'its initiator was told%'");
    return CLI_OK;
}

/* Sum and accounts are two views of one error: the larger counts, and what is still held. */
static int weigh_money(cli_context *cli, sqlite3 *db, demo_findings *findings) {
    int64_t difference = 0;
    uint64_t astray = 0;
    int i;
    for (i = 0; i < DEMO_BANKS; i++) {
        sqlite3_stmt *statement = NULL;
        char sql[600];
        snprintf(sql, sizeof sql, balance_of, etx__demo_bank_name(i));
        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW) {
            sqlite3_finalize(statement);
            return fail_audit(cli, db);
        }
        findings->imbalance += (uint64_t)sqlite3_column_int64(statement, 0);
        astray += (uint64_t)sqlite3_column_int64(statement, 1);
        difference += sqlite3_column_int64(statement, 2);
        findings->money += sqlite3_column_int64(statement, 3);
        findings->accounts += (uint64_t)sqlite3_column_int64(statement, 4);
        sqlite3_finalize(statement);
    }
    if (difference < 0) {
        difference = -difference;
    }
    findings->imbalance += astray > (uint64_t)difference ? astray : (uint64_t)difference;
    return CLI_OK;
}

static void show_bad(cli_context *cli, sqlite3 *db, demo_findings *findings) {
    sqlite3_stmt *statement = NULL;
    int shown = 0;
    if (sqlite3_prepare_v2(db, "SELECT gid, why FROM bad", -1, &statement, NULL) == SQLITE_OK) {
        while (shown < SHOWN && sqlite3_step(statement) == SQLITE_ROW) {
            const char *gid = (const char *)sqlite3_column_text(statement, 0);
            const char *why = (const char *)sqlite3_column_text(statement, 1);
            fprintf(cli->err, "%s: %s\n", gid, why);
            if (shown++ == 0) {
                snprintf(findings->first, sizeof findings->first, "%s: %s", gid, why);
            }
        }
    }
    sqlite3_finalize(statement);
}

/* The accounts that have another balance than their entries say, which is wrong at any time, or
 * hold money although nothing is under way. */
static const char astray_of[] =
    "SELECT a.id, balance - opening - coalesce(t.amount, 0) AS astray, held FROM %1$s.account AS a"
    " LEFT JOIN (SELECT account, sum(amount) AS amount FROM %1$s.ledger GROUP BY account) AS t"
    " ON t.account = a.id WHERE astray <> 0 OR (held <> 0 AND %2$d)";

static void show_account(cli_context *cli, int bank, sqlite3_stmt *row, demo_findings *findings) {
    long long id = sqlite3_column_int64(row, 0);
    long long astray = sqlite3_column_int64(row, 1);
    char text[160];
    if (astray != 0) {
        snprintf(text, sizeof text, "%s: account %lld has %lld cent%s %s than its entries say",
                 etx__demo_bank_name(bank), id, astray < 0 ? -astray : astray,
                 astray == 1 || astray == -1 ? "" : "s", astray < 0 ? "less" : "more");
    } else {
        snprintf(text, sizeof text, "%s: account %lld holds %lld cents for nobody",
                 etx__demo_bank_name(bank), id, (long long)sqlite3_column_int64(row, 2));
    }
    fprintf(cli->err, "%s\n", text);
    if (findings->first[0] == '\0') {
        snprintf(findings->first, sizeof findings->first, "%s", text);
    }
}

static void show_astray(cli_context *cli, sqlite3 *db, demo_findings *findings) {
    int shown = 0;
    int i;
    for (i = 0; i < DEMO_BANKS; i++) {
        sqlite3_stmt *statement = NULL;
        char sql[600];
        snprintf(sql, sizeof sql, astray_of, etx__demo_bank_name(i), findings->unfinished == 0);
        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK) {
            while (shown < SHOWN && sqlite3_step(statement) == SQLITE_ROW) {
                show_account(cli, i, statement, findings);
                shown++;
            }
        }
        sqlite3_finalize(statement);
    }
}

/* Spoils what is named, as a test of the audit. */
static int spoil(cli_context *cli, sqlite3 *db, const char *what) {
    static const struct {
        const char *name;
        const char *sql;
    } ways[] = {
        {"ledger", "DELETE FROM south.ledger WHERE id = (SELECT max(id) FROM south.ledger)"},
        {"money", "UPDATE north.account SET balance = balance + 1 WHERE id = 1"},
        {"fence",
         "DELETE FROM west.etx_fence WHERE (gid, branch) IN (SELECT gid, branch FROM"
         " west.etx_fence WHERE operation = 1 LIMIT 1) AND operation = 1"},
        {"answer",
         "UPDATE told SET state = CASE state WHEN 'ABORTED' THEN 'COMMITTED' ELSE"
         " 'ABORTED' END WHERE rowid = 1"},
        {"late",
         "INSERT INTO told SELECT gid, 'LATE' FROM decision WHERE state = 'COMMITTED' LIMIT 1"},
        {"nothing", "INSERT INTO told SELECT gid, 'NOTHING' FROM decision LIMIT 1"},
        {"note",
         "INSERT INTO north.ledger(account, amount, gid, branch, legs, step) SELECT 1, 0, gid, '9',"
         " 2, 'note' FROM decision WHERE state = 'ABORTED' LIMIT 1"},
        {"log", "DELETE FROM decision WHERE gid = (SELECT max(gid) FROM decision)"},
        {"ended", "UPDATE decision SET ended = 0 WHERE gid = (SELECT max(gid) FROM decision)"},
    };
    size_t i;
    for (i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(what, ways[i].name) == 0) {
            return sqlite3_exec(db, ways[i].sql, NULL, NULL, NULL) == SQLITE_OK
                       ? CLI_OK
                       : fail_audit(cli, db);
        }
    }
    return etx__cli_fail(cli, NULL, "--tamper: nothing is called '%s'", what);
}

int etx__demo_is_sound(const demo_findings *findings) {
    return findings->unfinished == 0 && findings->imbalance == 0 && findings->half_done == 0;
}

int etx__demo_audit(cli_context *cli,
                    const char *dir,
                    const char *tamper,
                    demo_findings *findings) {
    sqlite3 *db = NULL;
    int code = open_banks(cli, dir, &db);
    memset(findings, 0, sizeof *findings);
    if (code == CLI_OK) {
        code = read_log(cli, dir, db);
    }
    if (code == CLI_OK) {
        code = read_answers(cli, dir, db);
    }
    if (code == CLI_OK && tamper != NULL) {
        code = spoil(cli, db, tamper);
    }
    if (code == CLI_OK) {
        code = compare(cli, db, findings);
    }
    if (code == CLI_OK) {
        code = weigh_money(cli, db, findings);
    }
    if (code == CLI_OK) {
        show_bad(cli, db, findings);
        show_astray(cli, db, findings);
    }
    (void)sqlite3_close(db);
    return code;
}
