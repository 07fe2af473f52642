/* Logs by URL: those of a directory, and those in a store that nodes may share. */
#ifndef ETX_CLI_LOG_OPEN_H
#define ETX_CLI_LOG_OPEN_H

#include "cli_json.h"

/* "postgresql://..." and the like: no directory. */
int etx__cli_is_store(const char *argument);
/* What is said of a log that another one has taken the place of, or is to. */
#define LOG_RETIRED                                                                          \
    "'etx log copy' has retired this log: another one has its place, or is to have it, and " \
    "whoever starts on this one is told which"
int etx__log_is_retired(const etx_log_info *info);
/* Opens the log of "DIR", "file:DIR" or another URL, with etx_log_open_flags; one that is absent is
 * not made. 0 or an ETX error, and its message. */
int etx__log_open(const char *argument,
                  uint32_t flags,
                  etx_log **ret_log,
                  char *message,
                  size_t size);
/* Who attends a log that nodes share: objects with node, address, left_ms; empty where nobody does,
 * or none could. NULL: the store does not answer, and why. */
json_t *etx__log_nodes(etx_log *log, char *message, size_t size);
/* Refuses what must not be done while nodes attend: says who, and what to do instead. */
int etx__log_refuse_nodes(cli_context *cli, const json_t *nodes);

#endif
