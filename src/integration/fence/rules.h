/* What every fence shares: the rules of rules.c, and the table etx_fence as they see it. */
#ifndef ETX_INTEGRATION_FENCE_RULES_H
#define ETX_INTEGRATION_FENCE_RULES_H

#include <etx/fence.h>

#define ETX__FENCE_VERSION 1
#define ETX__FENCE_RESULT_MAX 1024
#define ETX__FENCE_OPEN 0 /* a reply: entered, not finished; seen in its own transaction only */

/* The rows of one branch, by etx_operation. */
typedef struct etx__fence_rows {
    int found[3];
    int reply[3]; /* ETX__FENCE_OPEN, ETX_DONE or ETX_REFUSED */
} etx__fence_rows;

/* A row that is inserted. */
typedef struct etx__fence_row {
    etx_operation operation;
    int reply;
    const char *reason;
    int first; /* of its branch: not for a transaction begun before the horizon */
} etx__fence_row;

/* SQL, a condition: may the branch of f, a row of etx_fence, be cleaned? True of one of its rows at
 * the most. The age is the caller's to ask. */
extern const char etx__fence_finished[];

/* What the work came to. */
typedef struct etx__fence_end {
    etx_reply reply;
    const char *reason; /* reason_len bytes */
    const void *result; /* result_len bytes */
    size_t reason_len;
    size_t result_len;
} etx__fence_end;

/* A database with the table in it. Each function returns 0 or an ETX error. */
typedef struct etx__fence_table {
    void *db;
    /* Runs a statement that gives no rows. */
    int (*run)(void *db, const char *sql);
    /* Inserts the row unless it is there, or is a first row from before the horizon. Waits for
     * another transaction that inserts it. */
    int (*insert)(void *db,
                  const etx_fence_call *call,
                  const etx__fence_row *row,
                  int *ret_inserted);
    /* Reads what the branch has, as it stays until this transaction is over; of the call's own
     * operation also reason and result. */
    int (*read)(void *db,
                const etx_fence_call *call,
                etx__fence_rows *rows,
                etx_fence_answer *answer);
    int (*read_meta)(void *db, int64_t *ret_version, int64_t *ret_horizon);
    /* Makes the row of the call's operation open again. */
    int (*reopen)(void *db, const etx_fence_call *call);
    /* Writes the end into the open row; *ret_closed: 0 if there is none. */
    int (*close)(void *db, const etx_fence_call *call, const etx__fence_end *end, int *ret_closed);
} etx__fence_table;

/* The bodies of the public functions, once the transaction was found to be open. */
int etx__fence_enter(const etx__fence_table *table,
                     const etx_fence_call *call,
                     etx_fence_answer *ret_answer);
int etx__fence_finish(const etx__fence_table *table,
                      const etx_fence_call *call,
                      etx_reply reply,
                      const char *reason,
                      const void *result,
                      size_t result_len);
/* Copies what was kept into the answer; each cut to what it holds. */
void etx__fence_answer_keep(etx_fence_answer *answer,
                            const void *reason,
                            size_t reason_len,
                            const void *result,
                            size_t result_len);

#endif
