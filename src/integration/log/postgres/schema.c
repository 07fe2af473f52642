/* The tables of a PostgreSQL log: made once, in one transaction, or found and looked at. */
#include "postgres.h"

#include <stdio.h>
#include <string.h>

/* Two that make a log at once: the second waits, and finds it. */
static const char lock_schema[] = "SELECT pg_advisory_xact_lock(hashtextextended('etx_log', 0))";

/* From the catalog itself: to_regclass() may answer from before the lock was waited for. */
static const char find_tables[] =
    "SELECT EXISTS(SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1 AND c.relname = 'etx_log_meta'),"
    " coalesce((SELECT has_schema_privilege(oid, 'USAGE')"
    "  FROM pg_namespace WHERE nspname = $1), false),"
    " EXISTS(SELECT 1 FROM pg_namespace WHERE nspname = $1)";

/* Batches are not compressed: most are small, and reading their size costs nothing. The rows of a
 * log come and go: what trimming leaves is used again soon (trim.c), and autovacuum is the net
 * below that. */
static const char *const create_tables[] = {
    "CREATE TABLE etx_log_meta("
    " id integer PRIMARY KEY CHECK(id = 1),"
    " version integer NOT NULL,"
    " log text NOT NULL," /* the home's id */
    " partitions integer NOT NULL,"
    " made_at timestamptz NOT NULL DEFAULT now(),"
    " retired integer NOT NULL DEFAULT 0," /* etx_retirement */
    " retired_why text NOT NULL DEFAULT '')",
    "CREATE TABLE etx_log_partition("
    " partition integer PRIMARY KEY,"
    " below bigint NOT NULL DEFAULT 0)" /* the trim mark */
    " WITH (fillfactor = 50)",
    "CREATE TABLE etx_log_lease("
    " partition integer PRIMARY KEY,"
    " node text NOT NULL,"
    " until timestamptz NOT NULL)"
    " WITH (fillfactor = 50)",
    "CREATE TABLE etx_log_node("
    " name text PRIMARY KEY,"
    " address text NOT NULL,"
    " process text NOT NULL," /* who said so last */
    " until timestamptz NOT NULL)"
    " WITH (fillfactor = 50)",
    "CREATE TABLE etx_log_slot("
    " partition integer NOT NULL,"
    " slot bigint NOT NULL,"
    " nonce bigint NOT NULL,"       /* 64 bits, as a signed number */
    " predecessor bigint NOT NULL," /* CRC-32C of slot - 1 */
    " checksum bigint NOT NULL,"
    " batch bytea NOT NULL,"
    " PRIMARY KEY(partition, slot))"
    " WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,"
    " autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0,"
    " toast.autovacuum_vacuum_threshold = 5000, toast.autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE etx_log_slot ALTER COLUMN batch SET STORAGE EXTERNAL"};

static int find(etx__pg_log *log, int *ret_tables, int *ret_schema) {
    PGresult *result = NULL;
    etx__pg_params params = {.count = 0};
    etx__pg_text(&params, log->store.schema);
    if (etx__pg_exec(&log->care, find_tables, &params, &result) != ETX__PG_DONE)
        return log->care.rc;
    *ret_tables = PQgetvalue(result, 0, 0)[0] == 't';
    *ret_schema = PQgetvalue(result, 0, 2)[0] == 't';
    /* without it the tables would seem to be gone */
    int may_use = !*ret_schema || PQgetvalue(result, 0, 1)[0] == 't';
    PQclear(result);
    if (!may_use) {
        etx__pg_say(&log->care, ETX_EINVALID,
                    "this user may not use the schema %s: GRANT USAGE ON SCHEMA %s, and SELECT, "
                    "INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s, to it",
                    log->store.schema, log->store.schema, log->store.schema);
        return ETX_EINVALID;
    }
    return 0;
}

static int fill(etx__pg_log *log, const char *given_id) {
    char id[ETX_HOME_ID_LEN + 1] = "";
    etx__pg_params meta = {.count = 0};
    etx__pg_params partitions = {.count = 0};
    if (given_id)
        memcpy(id, given_id, sizeof id);
    else if (etx__store_id_draw(id)) {
        etx__pg_say(&log->care, ETX_EIO, "the system gives no random numbers");
        return ETX_EIO;
    }
    etx__pg_number(&meta, ETX__PG_VERSION);
    etx__pg_text(&meta, id);
    etx__pg_number(&meta, log->store.common.partitions);
    etx__pg_number(&partitions, log->store.common.partitions - 1);
    int rc = etx__pg_run(&log->care,
                         "INSERT INTO etx_log_meta(id, version, log, partitions)"
                         " VALUES(1, $1::integer, $2, $3::integer)",
                         &meta);
    return rc ? rc
              : etx__pg_run(&log->care,
                            "INSERT INTO etx_log_partition(partition)"
                            " SELECT generate_series(0, $1::integer)",
                            &partitions);
}

static int make_all(etx__pg_log *log, const char *id, int *ret_found) {
    char sql[128];
    int tables = 0;
    int schema = 0;
    int rc = etx__pg_run(&log->care, lock_schema, NULL);
    rc = rc ? rc : find(log, &tables, &schema);
    *ret_found = tables;
    if (rc || tables)
        return rc;
    if (!schema) {
        snprintf(sql, sizeof sql, "CREATE SCHEMA \"%s\"", log->store.schema);
        rc = etx__pg_run(&log->care, sql, NULL);
    }
    for (size_t i = 0; !rc && i < sizeof create_tables / sizeof create_tables[0]; i++)
        rc = etx__pg_run(&log->care, create_tables[i], NULL);
    return rc ? rc : fill(log, id);
}

static int fail_make(etx__pg_log *log, int rc) {
    if (rc && strcmp(log->care.state, "42501") == 0)
        etx__pg_say(&log->care, ETX_EINVALID,
                    "this user may not make the log's tables: an administrator says CREATE SCHEMA "
                    "%s AUTHORIZATION of this user, or GRANT CREATE ON DATABASE to it",
                    log->store.schema);
    if (rc) /* and what was begun with it */
        etx__pg_drop(&log->care);
    return rc;
}

static int make(etx__pg_log *log) {
    int found = 0;
    int rc = etx__pg_run(&log->care, "BEGIN", NULL);
    log->care.pinned = 1;
    rc = rc ? rc : make_all(log, NULL, &found);
    rc = rc ? rc : etx__pg_run(&log->care, "COMMIT", NULL);
    log->care.pinned = 0;
    return fail_make(log, rc);
}

int etx__pg_schema_begin(etx__pg_log *log, const char *id) {
    int found = 0;
    int rc = etx__pg_run(&log->care, "BEGIN", NULL);
    log->care.pinned = 1; /* until it is closed */
    rc = rc ? rc : etx__pg_run(&log->care, "SET LOCAL statement_timeout = 0", NULL);
    rc = rc ? rc : make_all(log, id, &found);
    if (!rc && found) {
        rc = ETX_EBUSY;
        etx__pg_say(&log->care, rc,
                    "there is a log in schema %s of this database: name another "
                    "schema=",
                    log->store.schema);
    }
    return fail_make(log, rc);
}

static int take_meta(etx__pg_log *log, const PGresult *result, uint32_t flags) {
    int64_t version = PQntuples(result) == 1 ? etx__pg_number_at(result, 0, 0) : 0;
    if (version > ETX__PG_VERSION) {
        etx__pg_say(&log->care, ETX_EVERSION,
                    "the log in schema %s has version %lld, made by a newer ETX: this one knows %d",
                    log->store.schema, (long long)version, ETX__PG_VERSION);
        return ETX_EVERSION;
    }
    int64_t partitions = version == ETX__PG_VERSION ? etx__pg_number_at(result, 0, 2) : 0;
    if (partitions < 1 || partitions > ETX__STORE_PARTITIONS_MAX ||
        strlen(PQgetvalue(result, 0, 1)) != ETX_HOME_ID_LEN) {
        etx__pg_say(&log->care, ETX_ECORRUPT,
                    "the table etx_log_meta in schema %s is not as ETX made it", log->store.schema);
        return ETX_ECORRUPT;
    }
    memcpy(log->id, PQgetvalue(result, 0, 1), ETX_HOME_ID_LEN);
    log->partition_count = (uint32_t)partitions;
    log->retired = (uint8_t)etx__pg_number_at(result, 0, 3);
    if (log->retired && !(flags & (ETX_LOG_RETIRED | ETX_LOG_READ_ONLY))) {
        etx__pg_say(&log->care, ETX_ECONFLICT, "%s", PQgetvalue(result, 0, 4));
        return ETX_ECONFLICT;
    }
    return 0;
}

/* A right that is missing would be noticed when it is needed first, or, as a trim and the end of a
 * lease may fail, by nobody. That of one column is enough for the statements of ETX. */
static int check_rights(etx__pg_log *log) {
    static const char list_missing[] =
        "SELECT array_to_string((array_agg(r || ' ON ' || t))[1:3], ', ')"
        " || CASE WHEN count(*) > 3 THEN ' and ' || count(*) - 3 || ' more' ELSE '' END FROM "
        "(VALUES"
        " ('etx_log_partition', 'SELECT'), ('etx_log_partition', 'UPDATE'),"
        " ('etx_log_lease', 'SELECT'), ('etx_log_lease', 'INSERT'), ('etx_log_lease', 'UPDATE'),"
        " ('etx_log_lease', 'DELETE'), ('etx_log_node', 'SELECT'), ('etx_log_node', 'INSERT'),"
        " ('etx_log_node', 'UPDATE'), ('etx_log_node', 'DELETE'), ('etx_log_slot', 'INSERT'),"
        " ('etx_log_slot', 'DELETE')) AS needed(t, r) WHERE NOT CASE r"
        " WHEN 'DELETE' THEN has_table_privilege(t, r) ELSE has_any_column_privilege(t, r) END";
    PGresult *result = NULL;
    if (etx__pg_exec(&log->care, list_missing, NULL, &result) != ETX__PG_DONE)
        return log->care.rc;
    int rc = PQgetisnull(result, 0, 0) ? 0 : ETX_EINVALID;
    if (rc)
        etx__pg_say(&log->care, rc,
                    "this user lacks %.100s: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN "
                    "SCHEMA %s to it",
                    PQgetvalue(result, 0, 0), log->store.schema);
    PQclear(result);
    return rc;
}

int etx__pg_schema_open(etx__pg_log *log, uint32_t flags) {
    /* a log that was made before there was such a column has none */
    static const char read_meta[] =
        "SELECT version, log, partitions, coalesce((to_jsonb(m)->>'retired')::integer, 0),"
        " to_jsonb(m)->>'retired_why' FROM etx_log_meta AS m WHERE id = 1";
    PGresult *result = NULL;
    int tables = 0;
    int schema = 0;
    int rc = find(log, &tables, &schema);
    if (!rc && !tables && (flags & (ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE))) {
        rc = ETX_ENOTFOUND;
        etx__pg_say(&log->care, rc, "there is no log in schema %s of this database",
                    log->store.schema);
    }
    rc = rc || tables ? rc : make(log);
    if (!rc && etx__pg_exec(&log->care, read_meta, NULL, &result) != ETX__PG_DONE)
        rc = log->care.rc;
    rc = rc ? rc : take_meta(log, result, flags);
    PQclear(result);
    return rc || (flags & ETX_LOG_READ_ONLY) ? rc : check_rights(log);
}
