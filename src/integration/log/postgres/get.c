/* Reads slots from PostgreSQL: one statement, so one moment, row by row. */
#include "postgres.h"

#include <endian.h>
#include <string.h>

typedef struct row_reader {
    etx__store_reader slots;
    uint32_t number;
    uint64_t mark;
    int known; /* the mark is */
} row_reader;

static const char read_slots[] =
    "SELECT p.below, s.slot, s.nonce, s.predecessor, s.checksum, s.batch"
    " FROM etx_log_partition AS p LEFT JOIN etx_log_slot AS s"
    " ON s.partition = p.partition AND s.slot >= greatest(p.below, $2::bigint)"
    " WHERE p.partition = $1::integer ORDER BY s.slot";

static int say(const row_reader *reader, int rc, const char *text) {
    return etx__store_say(reader->slots.message, reader->slots.message_size, rc, "%s", text);
}

static uint64_t big_at(const PGresult *row, int column) {
    uint64_t number = 0;
    memcpy(&number, PQgetvalue(row, 0, column), sizeof number);
    return be64toh(number);
}

static int take_row(row_reader *reader, const PGresult *row) {
    reader->mark = big_at(row, 0);
    reader->known = 1;
    if (PQgetisnull(row, 0, 1))
        return 0;
    const etx_slot slot = {.partition = reader->number,
                           .slot = big_at(row, 1),
                           .nonce = big_at(row, 2),
                           .predecessor = (uint32_t)big_at(row, 3),
                           .checksum = (uint32_t)big_at(row, 4),
                           .batch = {PQgetvalue(row, 0, 5), (size_t)PQgetlength(row, 0, 5)}};
    return etx__store_reader_take(&reader->slots, &slot);
}

/* What is not read to its end is of no use: the connection goes with it. */
static int take_rows(row_reader *reader, etx__pg_session *session) {
    PGresult *row = NULL;
    int rc = 0;
    do {
        etx__pg_outcome outcome = etx__pg_await(session, &row);
        if (outcome != ETX__PG_DONE)
            return say(reader, session->rc, session->text);
        if (row && PQntuples(row) == 1)
            rc = take_row(reader, row);
        PQclear(row);
    } while (row && !rc);
    return rc;
}

static int read_all(row_reader *reader, etx__pg_session *session, uint64_t from) {
    static const char begin[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    etx__pg_params params = {.count = 0};
    etx__pg_number(&params, reader->number);
    etx__pg_number(&params, from < INT64_MAX ? from : INT64_MAX);
    int rc = etx__pg_run(session, begin, NULL);
    if (rc && !session->conn) /* lost by that: a new one is tried at once */
        rc = etx__pg_run(session, begin, NULL);
    /* who reads much takes its time */
    rc = rc ? rc : etx__pg_run(session, "SET LOCAL statement_timeout = 0", NULL);
    if (rc)
        return say(reader, rc, session->text);
    if (!PQsendQueryParams(session->conn, read_slots, params.count, NULL, params.values,
                           params.lengths, params.formats, 1) ||
        !PQsetSingleRowMode(session->conn))
        return say(reader, ETX_EUNAVAILABLE, "the connection to PostgreSQL is lost");
    rc = take_rows(reader, session);
    if (!rc && etx__pg_run(session, "COMMIT", NULL))
        return say(reader, session->rc, session->text);
    return rc;
}

int etx__pg_get(etx_log *head,
                uint32_t number,
                uint64_t from,
                etx_slot_fn visit,
                void *user,
                uint64_t *ret_mark,
                char *message,
                size_t message_size) {
    etx__pg_log *log = (etx__pg_log *)head;
    row_reader reader = {.slots = {visit, user, message, message_size}, .number = number};
    if (number >= log->partition_count)
        return say(&reader, ETX_EINVALID, "there is no such partition");
    etx__pg_partition *partition = &log->partition[number];
    int rc = read_all(&reader, &partition->session, from);
    if (!rc && !reader.known)
        rc = say(&reader, ETX_ECORRUPT, "the partition's own row is gone");
    if (rc) {
        etx__pg_drop(&partition->session);
        return rc;
    }
    if (from <= reader.mark)
        atomic_store(&partition->bytes, reader.slots.bytes);
    if (ret_mark)
        *ret_mark = reader.mark;
    return 0;
}
