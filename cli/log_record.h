/* Records for readers: as text and as JSON. */
#ifndef ETX_CLI_LOG_RECORD_H
#define ETX_CLI_LOG_RECORD_H

#include <etx/codec_json.h>

#include "cli.h"

/* Where a record stands. */
typedef struct log_place {
    uint32_t partition;
    uint64_t slot;
    uint64_t nonce;
} log_place;

void etx__record_text(cli_context *cli, const log_place *place, const etx_record *record);
void etx__record_json(cli_context *cli, const log_place *place, const etx_record *record);
/* "FORWARD" and the like are the words of no kind: "forward", "commit", "undo", "query",
 * "resume", or "?". */
const char *etx__record_operation(unsigned operation);
const char *etx__record_force(unsigned action);

#endif
