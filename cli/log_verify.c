/* `etx log verify`: reads every byte of a log and says whether it is sound. */
#include "log_command.h"
#include "log_open.h"

#include <string.h>

typedef struct verify_options {
    int json;
} verify_options;

typedef struct verify_run {
    cli_context *cli;
    const char *dir;
    int unfinished;   /* a copy that was broken off: its finding says what to do */
    unsigned damages; /* findings that are more than a file which is not the log's */
    json_t *findings; /* NULL: text */
} verify_run;

static const cli_option options_table[] = {
    {"json", 'j', CLI_FLAG, offsetof(verify_options, json), NULL, "one JSON object", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "DIR|URL [--json]",
    "Reads a whole log and changes nothing; the log may be in use. A torn tail is what a crash in\n"
    "the middle of a write leaves: opening the log cuts it, and nothing acknowledged is lost. All\n"
    "else that is bad is corrupt, is named with file and offset, and keeps the log from opening.\n"
    "Of a log in a database it says what each partition has, and whether every slot follows the "
    "one\n"
    "before it.",
    options_table,
    "  etx log verify /var/lib/shop/etx\n"
    "  etx log verify postgresql://etx@db.internal/shop\n"
    "  etx log verify /var/lib/shop/etx --json | jq .findings\n",
    "  0  sound\n"
    "  1  a torn tail, which opening will cut\n"
    "  2  corrupt, or a foreign file in it; or bad usage, no log there, or it cannot be read\n",
    1,
    1,
};

static void note_finding(const etx_file_finding *finding, void *user) {
    verify_run *run = user;
    const char *name = strrchr(finding->file, '/');
    run->unfinished |= name != NULL && strcmp(name, "/copying") == 0;
    run->damages += finding->state != ETX_FILE_SOUND && strcmp(finding->file, run->dir) != 0;
    if (run->findings != NULL) {
        json_array_append_new(run->findings, etx__log_finding_json(finding));
    } else {
        etx__log_finding_text(run->cli, finding);
    }
}

static void print_report(cli_context *cli, verify_run *run, const etx_file_report *report) {
    if (run->findings != NULL) {
        json_t *object = json_object();
        etx__log_report_json(object, report);
        json_object_set(object, "findings", run->findings);
        etx__out_line(cli->out, object);
        return;
    }
    etx__log_report_text(cli, etx__log_state(report->state), report);
    if (report->state == ETX_FILE_TORN) {
        fputs(
            "A crash tore the last write: opening the log cuts it; nothing acknowledged is lost.\n",
            cli->out);
    } else if (report->state == ETX_FILE_CORRUPT && run->damages == 0) {
        fputs("The log is sound: move away what is not its own, and it opens.\n", cli->out);
    } else if (report->state == ETX_FILE_CORRUPT && !run->unfinished) {
        fputs("Restore a backup, or see what 'etx log repair' can save.\n", cli->out);
    }
}

int etx__command_log_verify(cli_context *cli, int argc, char **argv) {
    verify_options options = {0};
    verify_run run = {.cli = cli};
    etx_file_report report = {.size = sizeof report};
    char message[LOG_MESSAGE_MAX] = "";
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    int rc;
    if (code != CLI_RUN) {
        return code;
    }
    if (etx__cli_is_store(args.values[0])) {
        return etx__log_verify_store(cli, args.values[0], options.json > 0);
    }
    run.dir = etx__log_dir(args.values[0]);
    run.findings = options.json ? json_array() : NULL;
    rc = etx_log_file_verify(run.dir, note_finding, &run, &report, message, sizeof message);
    if (rc != 0) {
        code = etx__log_fail(cli, args.values[0], rc, message);
    } else {
        print_report(cli, &run, &report);
        code = (int)report.state;
    }
    json_decref(run.findings);
    return code;
}
