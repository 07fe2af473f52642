/* Puts into PostgreSQL: one statement each, and what it came to.
 *
 * The primary key lets a slot be written once. The statement inserts only where the partition's
 * mark is not above the slot and the row before it has the checksum, and it locks the mark's row:
 *
 * A put that comes late, after its slot was filled by another, trimmed and deleted: its snapshot
 *   may be from before all that, and the key is free again. But the lock waits for the trim, reads
 *   the mark as it is then, and the put inserts nothing. A put that has the lock holds up the trim
 *   until it is over, and finds the slot filled.
 * An attempt whose answer was lost, still running in the server while the same put is sent again:
 *   the second waits for the first at the key, and finds the first one's row or none.
 * A commit that gave up waiting for its synchronous standby: a warning says so, and the row can be
 *   seen although a failover may lose it. That is unknown; so is every put with a warning.
 *
 * A statement that inserted nothing has had no effect, and a second one looks why. */
#include "postgres.h"

#include <string.h>

enum { TRIES = 5 };

static const char insert_slot[] =
    "INSERT INTO etx_log_slot(partition, slot, nonce, predecessor, checksum, batch)"
    " SELECT $1::integer, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bytea"
    " FROM etx_log_partition AS p WHERE p.partition = $1::integer AND p.below <= $2::bigint"
    " AND (($2::bigint = 0 AND $4::bigint = 0) OR EXISTS(SELECT 1 FROM etx_log_slot AS s WHERE"
    "  s.partition = $1::integer AND s.slot = $2::bigint - 1 AND s.checksum = $4::bigint))"
    " FOR SHARE OF p ON CONFLICT DO NOTHING";

static const char look[] =
    "SELECT p.below > $2::bigint, s.nonce, s.checksum,"
    " ($2::bigint = 0 AND $3::bigint = 0) OR coalesce(b.checksum = $3::bigint, false)"
    " FROM etx_log_partition AS p"
    " LEFT JOIN etx_log_slot AS s ON s.partition = p.partition AND s.slot = $2::bigint"
    " LEFT JOIN etx_log_slot AS b ON b.partition = p.partition AND b.slot = $2::bigint - 1"
    " WHERE p.partition = $1::integer";

/* Why the statement inserted nothing; 0: nothing speaks against it any more. */
static etx_put_result look_why(etx__pg_session *session, etx_put *put) {
    etx__pg_params params = {.count = 0};
    PGresult *result = NULL;
    etx_put_result why = 0;
    etx__pg_number(&params, put->partition);
    etx__pg_number(&params, put->slot);
    etx__pg_number(&params, put->predecessor);
    if (etx__pg_exec(session, look, &params, &result) != ETX__PG_DONE)
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, session->rc, session->text);
    if (PQntuples(result) != 1) {
        why = etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_ECORRUPT,
                                 "the partition's own row is gone");
    } else if (PQgetvalue(result, 0, 0)[0] == 't') {
        put->found_trimmed = 1;
        why = ETX_PUT_OCCUPIED;
    } else if (!PQgetisnull(result, 0, 1)) {
        put->found_nonce = (uint64_t)etx__pg_number_at(result, 0, 1);
        put->found_checksum = (uint32_t)etx__pg_number_at(result, 0, 2);
        why = ETX_PUT_OCCUPIED;
    } else if (PQgetvalue(result, 0, 3)[0] != 't') {
        why = ETX_PUT_PREDECESSOR;
    }
    PQclear(result);
    return why;
}

/* One attempt; 0: it had no effect and may be made again. */
static etx_put_result try_once(etx__pg_session *session, etx_put *put) {
    etx__pg_params params = {.count = 0};
    PGresult *result = NULL;
    etx__pg_number(&params, put->partition);
    etx__pg_number(&params, put->slot);
    etx__pg_number(&params, put->nonce);
    etx__pg_number(&params, put->predecessor);
    etx__pg_number(&params, put->checksum);
    etx__pg_bytes(&params, put->batch);
    etx__pg_outcome outcome = etx__pg_exec_put(session, insert_slot, &params, &result);
    int inserted = outcome == ETX__PG_DONE && strcmp(PQcmdTuples(result), "1") == 0;
    PQclear(result);
    if (outcome == ETX__PG_LOST || (inserted && session->warned))
        return etx__store_put_end(put, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE, session->text);
    if (inserted)
        return ETX_PUT_WRITTEN;
    if (outcome == ETX__PG_DONE)
        return look_why(session, put);
    etx_put_result result_now =
        etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, session->rc, session->text);
    return outcome == ETX__PG_REFUSED && session->rc == ETX_EBUSY ? 0 : result_now;
}

etx_put_result etx__pg_put(etx_log *head, etx_put *put) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx_put_result result =
        etx__store_put_begin(&log->store.common, log->partition_count, ETX__PG_BATCH_MAX, put);
    if (result)
        return result;
    etx__pg_partition *partition = &log->partition[put->partition];
    for (int i = 0; i < TRIES && !result; i++)
        result = try_once(&partition->session, put);
    return etx__store_put_finish(put, result, &partition->bytes);
}
