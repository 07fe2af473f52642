/* A MariaDB log that takes the place of another: nobody opens it while its row in #meta says who
 * copies. And one whose place another takes.
 *
 * It is made in many transactions, none of them large: a Galera cluster has a limit for one, and
 * stands still while one is large. Each begins by counting itself in that row, if the copy is still
 * this process's. So who was overtaken by another copy adds nothing to that, on another node of
 * Galera neither, where two that change one row never both commit. All of them are on one
 * connection: where that is lost the server may have lost more, and the copy is made anew. */
#include "mariadb.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdlib.h>

enum { COMMIT_BYTES = 1 << 20, ROWS = 250 };

static const char insert_slot[] =
    "INSERT INTO #slot(part, slot, nonce, predecessor, checksum, size, batch)"
    " VALUES(?, ?, ?, ?, ?, ?, ?)";
enum { PARAMS = 7 };

/* A transaction that is under way is undone: whatever comes, it is not committed. */
static int fail(etx__maria_log *log, char *message, size_t message_size) {
    etx__maria_drop(&log->care);
    return etx__store_say(message, message_size, log->care.rc, "%s", log->care.text);
}

/* ---- transactions of a copy */

/* Begins one, unless it is under way. */
static int begin(etx__maria_log *log) {
    etx__maria_session *care = &log->care;
    if (log->copying)
        return 0;
    int rc = etx__maria_run(care, "START TRANSACTION");
    rc = rc ? rc
            : etx__maria_run(care,
                             "UPDATE #meta SET copied = copied + 1 WHERE id = 1 AND copying = '%s'",
                             log->store.common.process);
    if (!rc && care->changed != 1) {
        rc = ETX_EBUSY;
        etx__maria_say(care, rc, "another copy is being made in tables %s_log_... of the database",
                       log->store.prefix);
    }
    log->copying = rc == 0;
    return rc;
}

static etx__maria_outcome commit(etx__maria_log *log) {
    log->copying = 0;
    log->uncommitted = 0;
    return etx__maria_session_ready(&log->care) ? ETX__MARIA_UNSENT
                                                : etx__maria_send(&log->care, "COMMIT");
}

/* What an earlier copy has left. */
static int delete_slots(etx__maria_log *log) {
    uint64_t deleted = ROWS;
    int rc = 0;
    while (!rc && deleted == ROWS) {
        rc = begin(log);
        rc = rc ? rc : etx__maria_run(&log->care, "DELETE FROM #slot LIMIT %d", ROWS);
        deleted = log->care.changed;
        if (!rc && commit(log) != ETX__MARIA_DONE)
            rc = log->care.rc;
    }
    return rc;
}

static int insert(etx__maria_log *log, const etx_slot *slot) {
    MYSQL_BIND params[PARAMS];
    uint64_t partition = slot->partition;
    uint64_t number = slot->slot;
    uint64_t nonce = slot->nonce;
    uint64_t predecessor = slot->predecessor;
    uint64_t checksum = slot->checksum;
    uint64_t size = slot->batch.len;
    uint64_t *const numbers[PARAMS] = {&partition, &number, &nonce, &predecessor,
                                       &checksum,  &size,   NULL};
    uint64_t inserted = 0;
    etx__maria_bind(params, numbers, PARAMS, slot->batch);
    return etx__maria_run_put(&log->care, insert_slot, params, &inserted) == ETX__MARIA_DONE
               ? 0
               : log->care.rc;
}

/* ---- the functions of etx_log_ops */

int etx__maria_copy_begin(const etx_log_config *config,
                          const etx_log_info *source,
                          etx_log **ret_log) {
    etx__maria_log *log = NULL;
    if (source->partitions > ETX__STORE_PARTITIONS_MAX)
        return etx__store_say(config->message, config->message_size, ETX_EINVALID,
                              "a MariaDB log has at most %d partitions", ETX__STORE_PARTITIONS_MAX);
    int rc = etx__maria_new(config, &log);
    if (rc)
        return rc;
    log->store.common.partitions = source->partitions;
    log->copied = calloc(source->partitions, 1);
    if (!log->copied)
        etx__maria_say(&log->care, ETX_ENOMEM, "out of memory");
    rc = log->copied ? etx__maria_schema_begin(log, source->id) : ETX_ENOMEM;
    rc = rc ? rc : etx__maria_batch_max(log);
    rc = rc ? rc : delete_slots(log);
    if (rc) {
        fail(log, config->message, config->message_size);
        etx__maria_close(&log->head, 1);
        return rc;
    }
    *ret_log = &log->head;
    return 0;
}

int etx__maria_copy_slot(etx_log *head, const etx_slot *slot, char *message, size_t message_size) {
    etx__maria_log *log = (etx__maria_log *)head;
    if (slot->batch.len > log->batch_max)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "slot %" PRIu64
                              " of partition %u has %zu bytes, and a slot in this MariaDB %zu at "
                              "most: see max_allowed_packet",
                              slot->slot, slot->partition, slot->batch.len, log->batch_max);
    int rc = begin(log);
    if (!rc && !log->copied[slot->partition])
        rc = etx__maria_run(&log->care, "UPDATE #partition SET below = %" PRIu64 " WHERE part = %u",
                            slot->slot, slot->partition);
    log->copied[slot->partition] = 1;
    rc = rc ? rc : insert(log, slot);
    log->uncommitted += slot->batch.len + ETX__STORE_SLOT_COST;
    if (!rc && log->uncommitted >= COMMIT_BYTES && commit(log) != ETX__MARIA_DONE)
        rc = log->care.rc;
    return rc ? fail(log, message, message_size) : 0;
}

int etx__maria_copy_end(etx_log *head, int whole, char *message, size_t message_size) {
    etx__maria_log *log = (etx__maria_log *)head;
    int rc = 0;
    if (whole) {
        rc = begin(log);
        rc = rc ? rc
                : etx__maria_run(&log->care,
                                 "UPDATE #meta SET version = %d, copying = '' WHERE id = 1",
                                 ETX__MARIA_VERSION);
        etx__maria_outcome outcome = rc ? ETX__MARIA_UNSENT : commit(log);
        if (outcome == ETX__MARIA_LOST)
            log->care.rc = ETX_EUNKNOWN;
        rc = outcome == ETX__MARIA_DONE ? 0 : fail(log, message, message_size);
    }
    etx__maria_close(head, 1);
    return rc;
}

int etx__maria_retire(etx_log *head,
                      etx_retirement what,
                      const char *words,
                      char *message,
                      size_t message_size) {
    static const char set_retired[] =
        "UPDATE #meta SET retired = %u, retired_why = %s WHERE id = 1";
    etx__maria_log *log = (etx__maria_log *)head;
    etx__maria_literal why;
    if (log->store.common.read_only)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "the log is open for reading only");
    etx__maria_quote(&why, what == ETX_RETIRE_NOT ? "" : words);
    int rc = etx__maria_run(&log->care, set_retired, what, why.text);
    if (rc && log->care.code == ER_BAD_FIELD_ERROR) {
        rc = etx__maria_schema_renew(log);
        rc = rc ? rc : etx__maria_run(&log->care, set_retired, what, why.text);
    }
    if (rc)
        return fail(log, message, message_size);
    log->retired = (uint8_t)what;
    return 0;
}
