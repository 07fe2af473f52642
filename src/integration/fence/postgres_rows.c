/* The table of the PostgreSQL fence, row by row: the statements behind postgres.c. */
#include "postgres_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMS_MAX = 9 };

/* The parameters of a statement: $1 is gid, $2 branch, $3 operation, then what is added. */
typedef struct params {
    const char *values[PARAMS_MAX];
    int lengths[PARAMS_MAX];
    int formats[PARAMS_MAX]; /* 0 text, 1 the bytes themselves */
    char numbers[PARAMS_MAX][24];
    int count;
} params;

int etx__postgres_error(const PGresult *result) {
    static const struct {
        const char *state; /* or how it begins */
        int rc;
    } rows[] = {
        {"40", ETX_EBUSY},    /* the transaction was rolled back: a deadlock, for one */
        {"55P03", ETX_EBUSY}, /* lock_timeout */
        {"57014", ETX_EBUSY}, /* statement_timeout */
        {"25", ETX_EINVALID}, /* a statement failed before, or the transaction only reads */
        {"3B", ETX_EINVALID}, /* no such savepoint: enter is missing */
        {"42", ETX_EINVALID}, /* no such table, or not for this user: prepare is missing */
    };
    ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    size_t i;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        return 0;
    }
    for (i = 0; state != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        if (strncmp(state, rows[i].state, strlen(rows[i].state)) == 0) {
            return rows[i].rc;
        }
    }
    return ETX_EIO;
}

int etx__postgres_run(void *db, const char *sql) {
    PGresult *result = PQexec(db, sql);
    int rc = etx__postgres_error(result);
    PQclear(result);
    return rc;
}

static void add_number(params *p, int64_t number) {
    snprintf(p->numbers[p->count], sizeof p->numbers[0], "%" PRId64, number);
    p->values[p->count] = p->numbers[p->count];
    p->count++;
}

static void add_bytes(params *p, const void *bytes, size_t len) {
    p->values[p->count] = bytes != NULL ? bytes : "";
    p->lengths[p->count] = (int)len;
    p->formats[p->count] = 1;
    p->count++;
}

static void set_params(params *p, const etx_fence_call *call, etx_operation operation) {
    memset(p, 0, sizeof *p);
    p->values[0] = call->gid;
    p->values[1] = call->branch;
    p->count = 2;
    add_number(p, (int64_t)operation);
}

/* The caller clears the result in either case. */
static int run_query(PGconn *conn, const char *sql, const params *p, PGresult **ret_result) {
    *ret_result = PQexecParams(conn, sql, p->count, NULL, p->values, p->lengths, p->formats, 0);
    return etx__postgres_error(*ret_result);
}

/* *ret_count: of the rows that it wrote. */
static int run_change(PGconn *conn, const char *sql, const params *p, int *ret_count) {
    PGresult *result = NULL;
    int rc = run_query(conn, sql, p, &result);
    if (rc == 0) {
        *ret_count = (int)strtol(PQcmdTuples(result), NULL, 10);
    }
    PQclear(result);
    return rc;
}

int etx__postgres_insert(void *db,
                         const etx_fence_call *call,
                         const etx__fence_row *row,
                         int *ret_inserted) {
    static const char sql[] =
        "INSERT INTO etx_fence(gid, branch, operation, kind, begin_ms, reply, marker, reason)"
        " SELECT $1, $2, $3::smallint, $4::smallint, $5::bigint, $6::smallint, $7::smallint,"
        " $8::bytea FROM etx_fence_meta"
        " WHERE id = 1 AND version = 1 AND (horizon_ms <= $5::bigint OR $9::smallint = 0)"
        " ON CONFLICT(gid, branch, operation) DO NOTHING";
    params p;
    set_params(&p, call, row->operation);
    add_number(&p, (int64_t)call->kind);
    add_number(&p, (int64_t)call->begin_ms);
    add_number(&p, row->reply);
    add_number(&p, row->operation == ETX_FORWARD && call->operation == ETX_UNDO);
    add_bytes(&p, row->reason, strlen(row->reason));
    add_number(&p, row->first);
    return run_change(db, sql, &p, ret_inserted);
}

static int64_t number_at(const PGresult *result, int row, int column) {
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

int etx__postgres_meta(void *db, int64_t *ret_version, int64_t *ret_horizon) {
    PGresult *result = PQexec(db, "SELECT version, horizon_ms FROM etx_fence_meta WHERE id = 1");
    int rc = etx__postgres_error(result);
    if (rc == 0 && PQntuples(result) != 1) {
        rc = ETX_EINVALID; /* no row: nobody prepared it */
    }
    if (rc == 0) {
        *ret_version = number_at(result, 0, 0);
        *ret_horizon = number_at(result, 0, 1);
    }
    PQclear(result);
    return rc;
}

static int copy_answer(const PGresult *result, int row, etx_fence_answer *answer) {
    size_t reason_len = 0;
    size_t result_len = 0;
    unsigned char *reason =
        PQunescapeBytea((const unsigned char *)PQgetvalue(result, row, 2), &reason_len);
    unsigned char *bytes =
        PQunescapeBytea((const unsigned char *)PQgetvalue(result, row, 3), &result_len);
    int rc = reason == NULL || bytes == NULL ? ETX_ENOMEM : 0;
    if (rc == 0) {
        etx__fence_answer_keep(answer, reason, reason_len, bytes, result_len);
    }
    PQfreemem(reason);
    PQfreemem(bytes);
    return rc;
}

static int copy_rows(const PGresult *result,
                     const etx_fence_call *call,
                     etx__fence_rows *rows,
                     etx_fence_answer *answer) {
    int rc = 0;
    int row;
    memset(rows, 0, sizeof *rows);
    for (row = 0; row < PQntuples(result) && rc == 0; row++) {
        int64_t operation = number_at(result, row, 0);
        if (operation < 0 || operation > 2) {
            continue;
        }
        rows->found[operation] = 1;
        rows->reply[operation] = (int)number_at(result, row, 1);
        if (operation == (int64_t)call->operation) {
            rc = copy_answer(result, row, answer);
        }
    }
    return rc;
}

/* Two statements, since each sees what was committed when it began: the first waits for whoever
 * has the branch, and the second sees what that one did. */
int etx__postgres_read(void *db,
                       const etx_fence_call *call,
                       etx__fence_rows *rows,
                       etx_fence_answer *answer) {
    static const char lock[] =
        "SELECT operation FROM etx_fence WHERE gid = $1 AND branch = $2"
        " ORDER BY operation FOR UPDATE";
    static const char read[] =
        "SELECT operation, reply, reason, coalesce(result, '') FROM etx_fence"
        " WHERE gid = $1 AND branch = $2";
    PGresult *result = NULL;
    params p;
    int rc;
    set_params(&p, call, call->operation);
    p.count = 2;
    rc = run_query(db, lock, &p, &result);
    PQclear(result);
    if (rc != 0) {
        return rc;
    }
    rc = run_query(db, read, &p, &result);
    if (rc == 0) {
        rc = copy_rows(result, call, rows, answer);
    }
    PQclear(result);
    return rc;
}

int etx__postgres_reopen(void *db, const etx_fence_call *call) {
    static const char sql[] =
        "UPDATE etx_fence SET reply = 0 WHERE gid = $1 AND branch = $2 AND operation = "
        "$3::smallint";
    params p;
    int count = 0;
    set_params(&p, call, call->operation);
    return run_change(db, sql, &p, &count);
}

int etx__postgres_close(void *db,
                        const etx_fence_call *call,
                        const etx__fence_end *end,
                        int *ret_closed) {
    static const char sql[] =
        "UPDATE etx_fence SET reply = $4::smallint, reason = $5::bytea, result = $6::bytea"
        " WHERE gid = $1 AND branch = $2 AND operation = $3::smallint AND reply = 0";
    params p;
    set_params(&p, call, call->operation);
    add_number(&p, (int64_t)end->reply);
    add_bytes(&p, end->reason, end->reason_len);
    add_bytes(&p, end->result, end->result_len);
    return run_change(db, sql, &p, ret_closed);
}
