/* What a store has lost of what a node remembers. */
#ifndef ETX_CLI_LOG_LOSS_H
#define ETX_CLI_LOG_LOSS_H

#include "log_command.h"

/* A partition, read from its mark to its end. */
typedef struct loss_scan {
    etx_seen_mark remembered;
    uint32_t partition;
    uint32_t checksum;    /* of its last slot */
    uint64_t mark;        /* slots below it are trimmed */
    uint64_t next;        /* the slot behind its last */
    uint64_t accepted_ms; /* the newest loss that was accepted; 0: none */
    int found;            /* what is remembered is there */
} loss_scan;

/* Reads the partition; `seen` may be NULL. CLI_OK, or it says what went wrong. */
int etx__loss_scan(cli_context *cli,
                   etx_log *log,
                   const etx_seen *seen,
                   uint32_t partition,
                   loss_scan *ret_scan);
/* "there", "trimmed", "accepted", "lost", or "unknown": nothing is remembered. */
const char *etx__loss_state(const loss_scan *scan);
int etx__loss_is_lost(const loss_scan *scan);
void etx__loss_print(cli_context *cli, int json, const loss_scan *scan, const char *state);
/* What the state directory has of the log; or it says what went wrong. */
int etx__loss_read(cli_context *cli, etx_log *log, const char *dir, etx_seen *ret_seen);

#endif
