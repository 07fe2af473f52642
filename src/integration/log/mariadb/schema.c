/* The tables of a MariaDB log: made once, or found and looked at.
 *
 * MariaDB commits each CREATE by itself. So tables that are there do not make a log, but the row in
 * #meta does, which comes with all other rows in one transaction: of two that make a log at once,
 * the second waits at that row and finds the first one's, and what a crash has left half made is
 * made by the next.
 *
 * That row also says whether another log has taken this one's place (`retired`), and whether this
 * one is a copy that is not whole yet (`copying`: by which process; its version is 0, so that an
 * ETX that knows nothing of copies does not open it either). */
#include "mariadb.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define TABLE " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4"
/* Columns that tables of an older ETX do not have. */
#define RETIRED "retired int NOT NULL DEFAULT 0" /* etx_retirement */
#define RETIRED_WHY "retired_why varbinary(512) NOT NULL DEFAULT ''"
#define COPYING "copying varbinary(16) NOT NULL DEFAULT ''"
#define COPIED "copied bigint unsigned NOT NULL DEFAULT 0" /* transactions, of a copy */

/* Names are bytes: no collation takes two for one. Times are UTC. */
static const char *const create_tables[] = {
    "CREATE TABLE IF NOT EXISTS #meta("
    " id int PRIMARY KEY,"
    " version int NOT NULL,"
    " home varbinary(16) NOT NULL," /* its id */
    " partitions int NOT NULL,"
    " made_at datetime NOT NULL, " RETIRED ", " RETIRED_WHY ", " COPYING ", " COPIED ")" TABLE,
    "CREATE TABLE IF NOT EXISTS #partition("
    " part int unsigned PRIMARY KEY,"
    " below bigint unsigned NOT NULL DEFAULT 0)" TABLE, /* the trim mark */
    "CREATE TABLE IF NOT EXISTS #lease("
    " part int unsigned PRIMARY KEY,"
    " node varbinary(64) NOT NULL DEFAULT '',"
    " until datetime(6) NOT NULL DEFAULT '2000-01-01')" TABLE,
    "CREATE TABLE IF NOT EXISTS #node("
    " name varbinary(64) PRIMARY KEY,"
    " address varbinary(512) NOT NULL,"
    " process varbinary(16) NOT NULL," /* who said so last */
    " until datetime(6) NOT NULL)" TABLE,
    "CREATE TABLE IF NOT EXISTS #slot("
    " part int unsigned NOT NULL,"
    " slot bigint unsigned NOT NULL,"
    " nonce bigint unsigned NOT NULL,"
    " predecessor int unsigned NOT NULL," /* CRC-32C of slot - 1 */
    " checksum int unsigned NOT NULL,"
    " size int unsigned NOT NULL," /* of the batch, which is not read to tell it */
    " batch longblob NOT NULL,"
    " PRIMARY KEY(part, slot))" TABLE};

static const char *const look_at_tables[] = {
    "SELECT part, below FROM #partition LIMIT 0", "SELECT part, node, until FROM #lease LIMIT 0",
    "SELECT name, address, process, until FROM #node LIMIT 0",
    "SELECT part, slot, nonce, predecessor, checksum, size, batch FROM #slot LIMIT 0"};

/* Where #meta lacks a column, its name is that of `older`. */
static const char read_meta[] =
    "SELECT m.version, m.home, m.partitions, (SELECT retired FROM #meta WHERE id = 1),"
    " (SELECT retired_why FROM #meta WHERE id = 1), (SELECT copying FROM #meta WHERE id = 1)"
    " FROM #meta AS m, (SELECT 0 AS retired, '' AS retired_why, '' AS copying) AS older"
    " WHERE m.id = 1";

static int take_meta(etx__maria_log *log, MYSQL_ROW row, uint32_t flags) {
    const char *prefix = log->store.prefix;
    uint64_t version = etx__maria_number(row[0]);
    if (version > ETX__MARIA_VERSION) {
        etx__maria_say(&log->care, ETX_EVERSION,
                       "the log in tables %s_log_... has version %" PRIu64
                       ", made by a newer ETX: this one knows %d",
                       prefix, version, ETX__MARIA_VERSION);
        return ETX_EVERSION;
    }
    if (row[5][0]) {
        etx__maria_say(&log->care, ETX_EBUSY,
                       "the log in tables %s_log_... is a copy that is being made, or was left "
                       "unfinished: see etx log copy",
                       prefix);
        return ETX_EBUSY;
    }
    uint64_t partitions = etx__maria_number(row[2]);
    if (version < ETX__MARIA_VERSION || partitions < 1 || partitions > ETX__STORE_PARTITIONS_MAX ||
        strlen(row[1]) != ETX_HOME_ID_LEN) {
        etx__maria_say(&log->care, ETX_ECORRUPT, "the table %s_log_meta is not as ETX made it",
                       prefix);
        return ETX_ECORRUPT;
    }
    memcpy(log->id, row[1], ETX_HOME_ID_LEN);
    log->partition_count = (uint32_t)partitions;
    log->retired = (uint8_t)etx__maria_number(row[3]);
    if (log->retired && !(flags & (ETX_LOG_RETIRED | ETX_LOG_READ_ONLY))) {
        etx__maria_say(&log->care, ETX_ECONFLICT, "%s", row[4]);
        return ETX_ECONFLICT;
    }
    return 0;
}

/* ETX_ENOTFOUND: there is no log yet. */
static int find(etx__maria_log *log, uint32_t flags) {
    MYSQL_RES *result = NULL;
    etx__maria_session *care = &log->care;
    if (etx__maria_ask(care, &result, read_meta) != ETX__MARIA_DONE)
        return care->code == ER_NO_SUCH_TABLE ? ETX_ENOTFOUND : care->rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    int rc = row ? take_meta(log, row, flags) : ETX_ENOTFOUND;
    mysql_free_result(result);
    return rc;
}

/* "(0),(1),(2)" */
static void list_numbers(char *to, size_t size, uint32_t count) {
    size_t len = 0;
    for (uint32_t i = 0; i < count && len < size; i++)
        len += (size_t)snprintf(to + len, size - len, "%s(%u)", i ? "," : "", i);
}

static int fill_rows(etx__maria_log *log) {
    char numbers[6 * ETX__STORE_PARTITIONS_MAX];
    etx__maria_session *care = &log->care;
    list_numbers(numbers, sizeof numbers, log->store.common.partitions);
    int rc = etx__maria_run(care, "INSERT INTO #partition(part) VALUES%s", numbers);
    rc = rc ? rc : etx__maria_run(care, "INSERT INTO #lease(part) VALUES%s", numbers);
    return rc ? rc : etx__maria_run(care, "COMMIT");
}

static int fill(etx__maria_log *log) {
    char id[ETX_HOME_ID_LEN + 1];
    etx__maria_session *care = &log->care;
    if (etx__store_id_draw(id)) {
        etx__maria_say(care, ETX_EIO, "the system gives no random numbers");
        return ETX_EIO;
    }
    int rc = etx__maria_run(care, "START TRANSACTION");
    rc = rc ? rc
            : etx__maria_run(care,
                             "INSERT INTO #meta(id, version, home, partitions, made_at)"
                             " VALUES(1, %d, '%s', %u, UTC_TIMESTAMP())",
                             ETX__MARIA_VERSION, id, log->store.common.partitions);
    return rc ? rc : fill_rows(log);
}

/* `may_lack`: those that are there. */
static int look_at_all(etx__maria_session *care, int may_lack) {
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof look_at_tables / sizeof look_at_tables[0]; i++) {
        MYSQL_RES *result = NULL;
        rc = etx__maria_ask(care, &result, "%s", look_at_tables[i]) == ETX__MARIA_DONE ? 0
                                                                                       : care->rc;
        mysql_free_result(result);
        if (rc && may_lack && care->code == ER_NO_SUCH_TABLE)
            rc = 0;
    }
    return rc;
}

/* Where another program has a table of such a name, none is made, and none of its rows goes. */
static int make_tables(etx__maria_log *log) {
    etx__maria_session *care = &log->care;
    int rc = look_at_all(care, 1);
    for (size_t i = 0; !rc && i < sizeof create_tables / sizeof create_tables[0]; i++)
        rc = etx__maria_run(care, "%s", create_tables[i]);
    if (rc && care->code == ER_TABLEACCESS_DENIED_ERROR) {
        etx__maria_say(care, ETX_EINVALID,
                       "this user may not make the log's tables: GRANT CREATE, SELECT, INSERT, "
                       "UPDATE, DELETE ON %s.* TO it",
                       log->store.place.path);
        return ETX_EINVALID;
    }
    return rc;
}

static int make(etx__maria_log *log) {
    etx__maria_session *care = &log->care;
    int rc = make_tables(log);
    care->pinned = 1;
    rc = rc ? rc : fill(log);
    care->pinned = 0;
    if (rc) /* and what was begun with it */
        etx__maria_drop(care);
    /* another has made it meanwhile */
    return rc == ETX_ECONFLICT || rc == ETX_EBUSY ? 0 : rc;
}

/* ---- of copies */

/* What is left of an earlier copy goes; a log stays, and its row is in the way. */
static int fill_copy(etx__maria_log *log, const char *id) {
    static const char *const before[] = {
        "START TRANSACTION", "DELETE FROM #meta WHERE id = 1 AND copying <> ''",
        "DELETE FROM #node", "DELETE FROM #lease", "DELETE FROM #partition"};
    etx__maria_session *care = &log->care;
    int rc = 0;
    for (size_t i = 0; !rc && i < 2; i++)
        rc = etx__maria_run(care, "%s", before[i]);
    rc = rc ? rc
            : etx__maria_run(care,
                             "INSERT INTO #meta(id, version, home, partitions, made_at, copying)"
                             " VALUES(1, 0, '%s', %u, UTC_TIMESTAMP(), '%s')",
                             id, log->store.common.partitions, log->store.common.process);
    for (size_t i = 2; !rc && i < sizeof before / sizeof before[0]; i++)
        rc = etx__maria_run(care, "%s", before[i]);
    return rc ? rc : fill_rows(log);
}

int etx__maria_schema_begin(etx__maria_log *log, const char *id) {
    etx__maria_session *care = &log->care;
    int rc = etx__maria_session_ready(care);
    care->pinned = 1;
    rc = rc ? rc : fill_copy(log, id);
    if (rc && care->code == ER_NO_SUCH_TABLE) {
        rc = make_tables(log);
        rc = rc ? rc : fill_copy(log, id);
    }
    if (rc == ETX_ECONFLICT || (rc && care->code == ER_BAD_FIELD_ERROR)) {
        rc = ETX_EBUSY;
        etx__maria_say(care, rc,
                       "there is a log, or something else, in tables %s_log_... of the database "
                       "%s: name another prefix=",
                       log->store.prefix, log->store.place.path);
    }
    return rc;
}

int etx__maria_schema_renew(etx__maria_log *log) {
    int rc = etx__maria_run(&log->care, "ALTER TABLE #meta ADD COLUMN IF NOT EXISTS " RETIRED
                                        ", ADD COLUMN IF NOT EXISTS " RETIRED_WHY
                                        ", ADD COLUMN IF NOT EXISTS " COPYING
                                        ", ADD COLUMN IF NOT EXISTS " COPIED);
    if (rc && log->care.code == ER_TABLEACCESS_DENIED_ERROR)
        etx__maria_say(&log->care, ETX_EINVALID,
                       "the table %s_log_meta was made by an older ETX, and this user may not give "
                       "it the columns that it lacks: GRANT ALTER ON %s.%s_log_meta TO it",
                       log->store.prefix, log->store.place.path, log->store.prefix);
    return rc ? log->care.rc : 0;
}

/* A right that is missing would be noticed when it is needed first, or, as a trim and the end of a
 * lease may fail, by nobody. Nothing is changed; the server says which right it is. */
static const char use_rights[] =
    "BEGIN NOT ATOMIC"
    " UPDATE #partition SET below = below WHERE FALSE;"
    " INSERT INTO #slot SELECT * FROM #slot WHERE FALSE; DELETE FROM #slot WHERE FALSE;"
    " UPDATE #lease SET node = node, until = until WHERE FALSE;"
    " INSERT INTO #node SELECT * FROM #node WHERE FALSE;"
    " UPDATE #node SET address = address, process = process, until = until WHERE FALSE;"
    " DELETE FROM #node WHERE FALSE; END";

int etx__maria_schema_open(etx__maria_log *log, uint32_t flags) {
    etx__maria_session *care = &log->care;
    int rc = find(log, flags);
    if (rc == ETX_ENOTFOUND && !(flags & (ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE))) {
        rc = make(log);
        rc = rc ? rc : find(log, flags);
    }
    if (rc == ETX_ENOTFOUND)
        etx__maria_say(care, rc, "there is no log in tables %s_log_... of the database %s",
                       log->store.prefix, log->store.place.path);
    rc = rc ? rc : look_at_all(care, 0);
    return rc || (flags & ETX_LOG_READ_ONLY) ? rc : etx__maria_run(care, "%s", use_rights);
}
