/* What the subcommands of `etx log` share. */
#ifndef ETX_CLI_LOG_COMMAND_H
#define ETX_CLI_LOG_COMMAND_H

#include "cli_json.h"

enum { LOG_MESSAGE_MAX = 512 };

/* "DIR" or "file:DIR" -> DIR. */
const char *etx__log_dir(const char *argument);
/* Says what went wrong and what to do; returns CLI_BAD. */
int etx__log_fail(cli_context *cli, const char *argument, int rc, const char *message);

const char *etx__log_state(etx_file_state state);
json_t *etx__log_finding_json(const etx_file_finding *finding);
void etx__log_finding_text(cli_context *cli, const etx_file_finding *finding);
/* `etx log verify` of a log that is no directory. The exit code. */
int etx__log_verify_store(cli_context *cli, const char *url, int json);
void etx__log_report_json(json_t *object, const etx_file_report *report);
void etx__log_report_text(cli_context *cli, const char *verb, const etx_file_report *report);

#endif
