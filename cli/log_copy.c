/* `etx log backup` and `etx log repair`: copies of a log, whole or what is sound of it. */
#include "log_command.h"
#include "log_open.h"

typedef struct copy_options {
    int new_id;
    int accept_loss;
    int json;
} copy_options;

typedef struct copy_run {
    cli_context *cli;
    json_t *findings; /* NULL: text */
    unsigned lost;
} copy_run;

static const cli_option backup_options[] = {
    {"new-id", 0, CLI_FLAG, offsetof(copy_options, new_id), NULL,
     "a copy to look at, not to restore: it gets an id of its\nown, and no program starts on it", 0,
     0},
    {"json", 'j', CLI_FLAG, offsetof(copy_options, json), NULL, "one JSON object", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command backup_command = {
    "DIR DEST [--new-id] [--json]",
    "Copies a log that may be in use into DEST, which must not exist or be empty. The copy holds\n"
    "all that was acknowledged before this command began, and is durable when it ends. It has the\n"
    "id of the original, and can take its place once that is lost. Never start programs on both:\n"
    "each would decide by itself, and neither can notice the other. A backup that is restored "
    "does\n"
    "not know what was decided after it was taken: participants may have been told more than it\n"
    "says.",
    backup_options,
    "  etx log backup /var/lib/shop/etx /backup/etx-monday    take it\n"
    "  etx log backup /backup/etx-monday /var/lib/shop/etx    restore it, once the log is lost\n",
    "  0  copied\n"
    "  2  bad usage; no log there; DEST is not empty; the log is damaged or cannot be copied\n",
    2,
    2,
};

static const cli_option repair_options[] = {
    {"accept-loss", 0, CLI_FLAG, offsetof(copy_options, accept_loss), NULL,
     "do it: what was listed as lost is lost", 0, 0},
    {"json", 'j', CLI_FLAG, offsetof(copy_options, json), NULL, "one JSON object", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command repair_command = {
    "DIR DEST [--accept-loss] [--json]",
    "Copies what is sound of a damaged, closed log into DEST, up to the first damage of each\n"
    "partition. Never in place: the original stays as it is. Where something would be\n"
    "lost it only says which slots, and does nothing without --accept-loss; damage that hides "
    "nothing (a\n"
    "state file, an empty segment) needs no acceptance. Decisions that are lost may already have\n"
    "been acted on: compare the participants' own records before the copy is used.",
    repair_options,
    "  etx log repair /var/lib/shop/etx /var/lib/shop/etx-new                 what would be lost?\n"
    "  etx log repair /var/lib/shop/etx /var/lib/shop/etx-new --accept-loss   do it\n",
    "  0  copied; or the log is not damaged, and nothing was written\n"
    "  1  something would be lost, and that was not accepted: nothing was written\n"
    "  2  bad usage; no log there; it is in use; DEST is not empty; it cannot be copied\n",
    2,
    2,
};

static void note_loss(const etx_file_finding *finding, void *user) {
    copy_run *run = user;
    run->lost++;
    if (run->findings != NULL) {
        json_array_append_new(run->findings, etx__log_finding_json(finding));
    } else {
        etx__log_finding_text(run->cli, finding);
    }
}

static void print_copy(copy_run *run, int json, const char *verb, const etx_file_report *report) {
    json_t *object;
    if (!json) {
        etx__log_report_text(run->cli, verb, report);
        return;
    }
    object = json_object();
    etx__out_text(object, "result", verb);
    etx__log_report_json(object, report);
    if (run->findings != NULL) {
        json_object_set(object, "findings", run->findings);
    }
    etx__out_line(run->cli->out, object);
}

/* Both work on directories. CLI_RUN, or says what there is for a store. */
static int check_directories(cli_context *cli, const cli_args *args) {
    char url[240];
    size_t i;
    for (i = 0; i < 2; i++) {
        if (etx__cli_is_store(args->values[i])) {
            etx__cli_show_url(args->values[i], url, sizeof url);
            return etx__cli_fail(cli,
                                 "back up a store by its own means; 'etx log copy' moves a log "
                                 "from or to one",
                                 "%s is no directory", url);
        }
    }
    return etx__log_check_dest(cli, args->values[1]) == CLI_OK ? CLI_RUN : CLI_BAD;
}

int etx__command_log_backup(cli_context *cli, int argc, char **argv) {
    copy_options options = {0};
    copy_run run = {cli, NULL, 0};
    etx_file_report report = {.size = sizeof report};
    char message[LOG_MESSAGE_MAX] = "";
    cli_args args;
    int code = etx__cli_parse(cli, &backup_command, argc, argv, &options, &args);
    int rc;
    code = code == CLI_RUN ? check_directories(cli, &args) : code;
    if (code != CLI_RUN) {
        return code;
    }
    rc = etx_log_file_backup(etx__log_dir(args.values[0]), etx__log_dir(args.values[1]),
                             options.new_id == 0, &report, message, sizeof message);
    if (rc != 0) {
        return etx__log_fail(cli, args.values[0], rc, message);
    }
    print_copy(&run, options.json, "copied", &report);
    return CLI_OK;
}

/* Nothing was written: because something would be lost, or because nothing is damaged. */
static int explain_untouched(copy_run *run, int json, int rc, const etx_file_report *report) {
    if (json) {
        print_copy(run, 1, rc == 0 ? "nothing to repair" : "not accepted", report);
    } else if (rc == 0) {
        fputs(report->state == ETX_FILE_TORN
                  ? "Nothing would be lost: opening the log cuts the torn write. Nothing was "
                    "written.\n"
                  : "The log is sound and needs no repair. 'etx log backup' copies it.\n",
              run->cli->out);
    } else {
        fputs("This would be lost. Nothing was written. To go on, add --accept-loss.\n",
              run->cli->out);
    }
    return rc == 0 ? CLI_OK : CLI_NO;
}

int etx__command_log_repair(cli_context *cli, int argc, char **argv) {
    copy_options options = {0};
    copy_run run = {cli, NULL, 0};
    etx_file_report report = {.size = sizeof report};
    char message[LOG_MESSAGE_MAX] = "";
    cli_args args;
    int code = etx__cli_parse(cli, &repair_command, argc, argv, &options, &args);
    int rc;
    code = code == CLI_RUN ? check_directories(cli, &args) : code;
    if (code != CLI_RUN) {
        return code;
    }
    run.findings = options.json ? json_array() : NULL;
    rc = etx_log_file_repair(etx__log_dir(args.values[0]), etx__log_dir(args.values[1]),
                             options.accept_loss > 0, note_loss, &run, &report, message,
                             sizeof message);
    if (!options.accept_loss &&
        (rc == 0 ? report.state != ETX_FILE_CORRUPT : rc == ETX_ECORRUPT && run.lost > 0)) {
        if (rc != 0) { /* what is there now */
            etx_log_file_verify(etx__log_dir(args.values[0]), NULL, NULL, &report, NULL, 0);
        }
        code = explain_untouched(&run, options.json, rc, &report);
    } else if (rc != 0) {
        code = etx__log_fail(cli, args.values[0], rc, message);
    } else {
        print_copy(&run, options.json, "repaired", &report);
        if (!options.json && !options.accept_loss) {
            fputs("What was damaged hid nothing: no slot is lost.\n", cli->out);
        }
        code = CLI_OK;
    }
    json_decref(run.findings);
    return code;
}
