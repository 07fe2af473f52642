/* Puts into MariaDB: one statement each, which commits by itself, and what it came to.
 *
 * The primary key lets a slot be written once. The statement inserts only where the partition's
 * mark is not above the slot and the row before it has the checksum. It locks both rows, so InnoDB
 * reads them as they are now and not as they were when the statement began, and keeps them so until
 * the commit.
 *
 * A put that comes late, after its slot was filled by another, trimmed and deleted: the key is free
 *   again. But the lock waits for the trim, the mark is above the slot, and nothing is inserted. A
 *   put that has the lock holds up the trim until it is over, and finds the slot filled.
 * An attempt whose answer was lost, still running in the server while the same put is sent again:
 *   the second waits for the first at the key, and finds the first one's row or none.
 * A deadlock, or a lock that is held for too long: InnoDB rolls back the one statement, which is
 *   all that there is of the transaction, whatever innodb_rollback_on_timeout says.
 * A statement that takes too long is ended by the server (max_statement_time), which stops that
 *   clock before it begins to commit: so that is definite, and a commit is not cut short by it.
 * With Galera another node's put of the same slot fails at its commit, as a deadlock.
 *
 * A statement that inserted nothing has had no effect, and a second one looks why. */
#include "mariadb.h"

#include <inttypes.h>

enum { TRIES = 5 };

static const char insert_slot[] =
    "INSERT INTO #slot(part, slot, nonce, predecessor, checksum, size, batch)"
    " SELECT ?, ?, ?, ?, ?, ?, ? FROM #partition AS p"
    " LEFT JOIN #slot AS s ON s.part = ? AND s.slot = ?"
    " WHERE p.part = ? AND p.below <= ? AND ((? = 0 AND ? = 0) OR s.checksum = ?)"
    " LOCK IN SHARE MODE";
enum { PARAMS = 14 };

static const char look[] =
    "SELECT p.below > %" PRIu64
    ", s.nonce, s.checksum,"
    " (%" PRIu64
    " = 0 AND %u = 0) OR coalesce(b.checksum = %u, 0)"
    " FROM #partition AS p LEFT JOIN #slot AS s ON s.part = %u AND s.slot = %" PRIu64
    " LEFT JOIN #slot AS b ON b.part = %u AND b.slot = %" PRIu64 " WHERE p.part = %u";

/* Why the statement inserted nothing; 0: nothing speaks against it any more. */
static etx_put_result look_why(etx__maria_session *session, etx_put *put) {
    MYSQL_RES *result = NULL;
    etx_put_result why = 0;
    if (etx__maria_ask(session, &result, look, put->slot, put->slot, put->predecessor,
                       put->predecessor, put->partition, put->slot, put->partition, put->slot - 1,
                       put->partition) != ETX__MARIA_DONE)
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, session->rc, session->text);
    MYSQL_ROW row = mysql_fetch_row(result);
    if (!row) {
        why = etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_ECORRUPT,
                                 "the partition's own row is gone");
    } else if (row[0][0] == '1') {
        put->found_trimmed = 1;
        why = ETX_PUT_OCCUPIED;
    } else if (row[1]) {
        put->found_nonce = etx__maria_number(row[1]);
        put->found_checksum = (uint32_t)etx__maria_number(row[2]);
        why = ETX_PUT_OCCUPIED;
    } else if (row[3][0] != '1') {
        why = ETX_PUT_PREDECESSOR;
    }
    mysql_free_result(result);
    return why;
}

/* One attempt; 0: it had no effect and may be made again. */
static etx_put_result try_once(etx__maria_session *session, etx_put *put) {
    MYSQL_BIND params[PARAMS];
    uint64_t partition = put->partition;
    uint64_t slot = put->slot;
    uint64_t before = put->slot - 1; /* of slot 0: no slot has this number */
    uint64_t nonce = put->nonce;
    uint64_t predecessor = put->predecessor;
    uint64_t checksum = put->checksum;
    uint64_t size = put->batch.len;
    uint64_t *const numbers[PARAMS] = {&partition, &slot, &nonce,       &predecessor, &checksum,
                                       &size,      NULL,  &partition,   &before,      &partition,
                                       &slot,      &slot, &predecessor, &predecessor};
    uint64_t inserted = 0;
    etx__maria_bind(params, numbers, PARAMS, put->batch);
    etx__maria_outcome outcome = etx__maria_run_put(session, insert_slot, params, &inserted);
    if (outcome == ETX__MARIA_LOST)
        return etx__store_put_end(put, ETX_PUT_UNKNOWN, session->rc, session->text);
    if (outcome == ETX__MARIA_DONE && inserted == 1)
        return ETX_PUT_WRITTEN;
    if (outcome == ETX__MARIA_DONE ||
        (outcome == ETX__MARIA_REFUSED && session->rc == ETX_ECONFLICT))
        return look_why(session, put);
    etx_put_result result =
        etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, session->rc, session->text);
    return outcome == ETX__MARIA_REFUSED && session->rc == ETX_EBUSY ? 0 : result;
}

/* A server that takes less than it did would close the connection in the midst of the batch. */
static etx_put_result check_packet(etx__maria_session *session, etx_put *put) {
    if (etx__maria_session_ready(session))
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, session->rc, session->text);
    if (put->batch.len + ETX__MARIA_PACKET_COST > session->packet)
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_EUNAVAILABLE,
                                  "the batch is larger than the server's max_allowed_packet lets "
                                  "through, which was more when the log was opened");
    return 0;
}

etx_put_result etx__maria_put(etx_log *head, etx_put *put) {
    etx__maria_log *log = (etx__maria_log *)head;
    etx_put_result result =
        etx__store_put_begin(&log->store.common, log->partition_count, log->batch_max, put);
    if (result)
        return result;
    etx__maria_partition *partition = &log->partition[put->partition];
    result = check_packet(&partition->session, put);
    for (int i = 0; i < TRIES && !result; i++)
        result = try_once(&partition->session, put);
    return etx__store_put_finish(put, result, &partition->bytes);
}
