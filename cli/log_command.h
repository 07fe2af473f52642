/* What the subcommands of `etx log` share. */
#ifndef ETX_CLI_LOG_COMMAND_H
#define ETX_CLI_LOG_COMMAND_H

#include "cli_json.h"

enum { LOG_MESSAGE_MAX = 512 };

/* "DIR" or "file:DIR" -> DIR. */
const char *etx__log_dir(const char *argument);
/* etx__log_open, or says what went wrong and returns CLI_BAD. */
int etx__log_take(cli_context *cli, const char *argument, uint32_t flags, etx_log **ret_log);
/* Says what went wrong and what to do; returns CLI_BAD. */
int etx__log_fail(cli_context *cli, const char *argument, int rc, const char *message);

/* May a copy go there? CLI_OK, or says why not. What begins as a URL is no directory. */
int etx__log_check_dest(cli_context *cli, const char *dest);
/* ... also: not into the log itself, which is a directory. */
int etx__log_check_place(cli_context *cli, const char *source, const char *dest);
/* ETX_EINVALID, and why: the copy can lose what it acknowledged, and its source cannot. */
int etx__log_check_grade(etx_log *copy, const etx_log_info *source, char *message, size_t size);

/* What is done with the records of a slot. */
typedef struct log_records {
    etx_record_room *room;
    int (*each)(const etx_slot *slot, const etx_record *record, void *user); /* not 0: stop */
    void *user;
    char *message;
    size_t size;
} log_records;
/* Gives each in order. Errors: ETX_EVERSION, ETX_ECORRUPT, ETX_ENOMEM, with message; or what `each`
 * returned. */
int etx__log_records(const etx_slot *slot, const log_records *all);

const char *etx__log_state(etx_file_state state);
json_t *etx__log_finding_json(const etx_file_finding *finding);
void etx__log_finding_text(cli_context *cli, const etx_file_finding *finding);
/* `etx log verify` of a log that is no directory. The exit code. */
int etx__log_verify_store(cli_context *cli, const char *url, int json);
void etx__log_report_json(json_t *object, const etx_file_report *report);
void etx__log_report_text(cli_context *cli, const char *verb, const etx_file_report *report);

#endif
