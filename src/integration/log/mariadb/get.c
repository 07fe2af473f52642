/* Reads slots from MariaDB: the mark and the rows of one moment, row by row. */
#include "mariadb.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

typedef struct row_reader {
    etx__store_reader slots;
    uint32_t number;
} row_reader;

static int say(const row_reader *reader, int rc, const char *text) {
    return etx__store_say(reader->slots.message, reader->slots.message_size, rc, "%s", text);
}

static int take_row(row_reader *reader, MYSQL_ROW row, const unsigned long *lengths) {
    const etx_slot slot = {.partition = reader->number,
                           .slot = etx__maria_number(row[0]),
                           .nonce = etx__maria_number(row[1]),
                           .predecessor = (uint32_t)etx__maria_number(row[2]),
                           .checksum = (uint32_t)etx__maria_number(row[3]),
                           .batch = {row[4], lengths[4]}};
    return etx__store_reader_take(&reader->slots, &slot);
}

static int read_mark(row_reader *reader, etx__maria_session *session, uint64_t *ret_mark) {
    MYSQL_RES *result = NULL;
    if (etx__maria_ask(session, &result, "SELECT below FROM #partition WHERE part = %u",
                       reader->number) != ETX__MARIA_DONE)
        return say(reader, session->rc, session->text);
    MYSQL_ROW row = mysql_fetch_row(result);
    if (row)
        *ret_mark = etx__maria_number(row[0]);
    mysql_free_result(result);
    return row ? 0 : say(reader, ETX_ECORRUPT, "the partition's own row is gone");
}

/* Who reads much takes its time. */
static int read_rows(row_reader *reader, etx__maria_session *session, uint64_t from) {
    char sql[300];
    snprintf(sql, sizeof sql,
             "SET STATEMENT max_statement_time = 0 FOR"
             " SELECT slot, nonce, predecessor, checksum, batch FROM #slot"
             " WHERE part = %u AND slot >= %" PRIu64 " ORDER BY slot",
             reader->number, from);
    if (etx__maria_send(session, sql) != ETX__MARIA_DONE)
        return say(reader, session->rc, session->text);
    MYSQL_RES *result = mysql_use_result(session->conn);
    MYSQL_ROW row = NULL;
    int rc = 0;
    while (result && !rc && (row = mysql_fetch_row(result)) != NULL)
        rc = take_row(reader, row, mysql_fetch_lengths(result));
    int broken = !rc && (!result || mysql_errno(session->conn));
    if (rc) /* to free a result reads what is left of it: nothing */
        (void)shutdown((int)mysql_get_socket(session->conn), SHUT_RDWR);
    mysql_free_result(result);
    if (broken) {
        (void)etx__maria_failed(session, NULL);
        rc = say(reader, session->rc, session->text);
    }
    return rc;
}

static int read_all(row_reader *reader,
                    etx__maria_session *session,
                    uint64_t from,
                    uint64_t *ret_mark) {
    static const char level[] = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    int rc = etx__maria_run(session, level);
    if (rc && !session->conn) /* lost by that: a new one is tried at once */
        rc = etx__maria_run(session, level);
    session->pinned = 1; /* another connection would read another moment */
    rc = rc ? rc : etx__maria_run(session, "START TRANSACTION WITH CONSISTENT SNAPSHOT");
    if (rc)
        return say(reader, rc, session->text);
    rc = read_mark(reader, session, ret_mark);
    rc = rc ? rc : read_rows(reader, session, from < *ret_mark ? *ret_mark : from);
    if (!rc && etx__maria_run(session, "COMMIT"))
        return say(reader, session->rc, session->text);
    return rc;
}

int etx__maria_get(etx_log *head,
                   uint32_t number,
                   uint64_t from,
                   etx_slot_fn visit,
                   void *user,
                   uint64_t *ret_mark,
                   char *message,
                   size_t message_size) {
    etx__maria_log *log = (etx__maria_log *)head;
    row_reader reader = {.slots = {visit, user, message, message_size}, .number = number};
    uint64_t mark = 0;
    if (number >= log->partition_count)
        return say(&reader, ETX_EINVALID, "there is no such partition");
    etx__maria_partition *partition = &log->partition[number];
    int rc = read_all(&reader, &partition->session, from, &mark);
    partition->session.pinned = 0;
    if (rc) { /* what is not read to its end is of no use */
        etx__maria_drop(&partition->session);
        return rc;
    }
    if (from <= mark)
        atomic_store(&partition->bytes, reader.slots.bytes);
    if (ret_mark)
        *ret_mark = mark;
    return 0;
}
