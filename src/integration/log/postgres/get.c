/* Reads slots from PostgreSQL: one statement, so one moment, row by row. */
#include "postgres.h"

#include <endian.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct slot_reader {
    etx__pg_log *log;
    etx_slot_fn visit;
    void *user;
    uint32_t number;
    uint64_t mark;
    uint64_t next; /* the slot that comes next, once `any` came */
    uint64_t bytes;
    uint32_t checksum;
    int any;
    int known; /* the mark is */
    char *message;
    size_t message_size;
} slot_reader;

static const char read_slots[] =
    "SELECT p.below, s.slot, s.nonce, s.predecessor, s.checksum, s.batch"
    " FROM etx_log_partition AS p LEFT JOIN etx_log_slot AS s"
    " ON s.partition = p.partition AND s.slot >= greatest(p.below, $2::bigint)"
    " WHERE p.partition = $1::integer ORDER BY s.slot";

__attribute__((format(printf, 3, 4))) static int say(const slot_reader *reader,
                                                     int rc,
                                                     const char *format,
                                                     ...) {
    if (reader->message && reader->message_size) {
        va_list args;
        va_start(args, format);
        vsnprintf(reader->message, reader->message_size, format, args);
        va_end(args);
    }
    return rc;
}

static uint64_t big_at(const PGresult *row, int column) {
    uint64_t number = 0;
    memcpy(&number, PQgetvalue(row, 0, column), sizeof number);
    return be64toh(number);
}

static int is_sound(const slot_reader *reader, const etx_slot *slot) {
    return slot->checksum == etx_slot_checksum(slot->partition, slot->slot, slot->nonce,
                                               slot->predecessor, slot->batch) &&
           (!reader->any || (slot->slot == reader->next && slot->predecessor == reader->checksum));
}

static int take_row(slot_reader *reader, const PGresult *row) {
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
    if (!is_sound(reader, &slot))
        return say(reader, ETX_ECORRUPT,
                   "slot %" PRIu64
                   " of partition %u is damaged, or does not follow the one before "
                   "it: restore a backup of the database",
                   slot.slot, reader->number);
    reader->any = 1;
    reader->next = slot.slot + 1;
    reader->checksum = slot.checksum;
    reader->bytes += slot.batch.len + ETX__PG_SLOT_COST;
    return reader->visit(&slot, reader->user);
}

/* What is not read to its end is of no use: the connection goes with it. */
static int take_rows(slot_reader *reader, etx__pg_session *session) {
    PGresult *row = NULL;
    int rc = 0;
    do {
        etx__pg_outcome outcome = etx__pg_await(session, &row);
        if (outcome != ETX__PG_DONE)
            return say(reader, session->rc, "%s", session->text);
        if (row && PQntuples(row) == 1)
            rc = take_row(reader, row);
        PQclear(row);
    } while (row && !rc);
    return rc;
}

static int read_all(slot_reader *reader, etx__pg_session *session, uint64_t from) {
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
        return say(reader, rc, "%s", session->text);
    if (!PQsendQueryParams(session->conn, read_slots, params.count, NULL, params.values,
                           params.lengths, params.formats, 1) ||
        !PQsetSingleRowMode(session->conn))
        return say(reader, ETX_EUNAVAILABLE, "the connection to PostgreSQL is lost");
    rc = take_rows(reader, session);
    if (!rc && etx__pg_run(session, "COMMIT", NULL))
        return say(reader, session->rc, "%s", session->text);
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
    slot_reader reader = {.log = (etx__pg_log *)head,
                          .visit = visit,
                          .user = user,
                          .number = number,
                          .message = message,
                          .message_size = message_size};
    if (number >= reader.log->partition_count)
        return say(&reader, ETX_EINVALID, "there is no partition %u", number);
    etx__pg_partition *partition = &reader.log->partition[number];
    int rc = read_all(&reader, &partition->session, from);
    if (!rc && !reader.known)
        rc = say(&reader, ETX_ECORRUPT, "the row of partition %u is gone", number);
    if (rc) {
        etx__pg_drop(&partition->session);
        return rc;
    }
    if (from <= reader.mark)
        atomic_store(&partition->bytes, reader.bytes);
    if (ret_mark)
        *ret_mark = reader.mark;
    return 0;
}
