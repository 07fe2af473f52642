/* Says why an operation on a transaction was not possible, and what is. */
#ifndef ETX_CLI_TX_EXPLAIN_H
#define ETX_CLI_TX_EXPLAIN_H

#include "tx_command.h"

typedef enum tx_verb {
    TX_RETRY = 1,
    TX_PARK = 2,
    TX_RESUME = 3,
    TX_COMMIT = 4,
    TX_ABORT = 5,
    TX_SETTLE = 6
} tx_verb;

/* What was tried. */
typedef struct tx_attempt {
    tx_verb verb;
    const char *branch;      /* TX_SETTLE */
    etx_operation operation; /* TX_SETTLE */
} tx_attempt;

/* Says it, from the error and the transaction's state. Returns the exit code. */
int etx__tx_explain(cli_context *cli,
                    tx_client *client,
                    const char *gid,
                    const tx_attempt *attempt,
                    int rc);

#endif
