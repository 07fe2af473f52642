/* Payloads of branches over HTTP, as they may be shown: the values of their headers are ***. */
#ifndef ETX_CLI_ENVELOPE_H
#define ETX_CLI_ENVELOPE_H

#include <etx/record.h>

#include <stdio.h>

/* A branch's or an initiator's payload as it may be shown. What is no envelope stays as it is; one
 * that cannot be read is *** altogether. *ret_owned is to be freed when it was used. */
etx_bytes etx__envelope_mask(etx_bytes participant, etx_bytes payload, void **ret_owned);
/* Prints what an envelope says, in the words of the kind (0: an initiator's), and of its payload
 * `max` bytes. 0: it is none, and nothing was printed. */
int etx__envelope_print(FILE *to,
                        etx_kind kind,
                        etx_bytes participant,
                        etx_bytes payload,
                        size_t max);

#endif
