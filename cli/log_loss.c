/* `etx log diff`: what a store has lost of what a node remembers. */
#include "log_loss.h"

#include <string.h>

typedef struct diff_options {
    const char *state;
    int json;
} diff_options;

static const cli_option options_table[] = {
    {"state", 's', CLI_TEXT, offsetof(diff_options, state), "DIR",
     "the state directory of a node (required)", 0, 0},
    {"json", 'j', CLI_FLAG, offsetof(diff_options, json), NULL, "one JSON object a line", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "URL --state DIR [--json]",
    "Compares the log of a shared home with what a node remembers of it: the last slot of each\n"
    "partition that the store acknowledged, with its checksum. What is not there any more was\n"
    "lost by the store, as by the restore of an older backup. Nothing is changed, and the node\n"
    "may run.",
    options_table,
    "  etx log diff 'postgresql://etx@db/shop' --state /var/lib/etxd/state\n",
    "  0  nothing is lost, or it was accepted\n"
    "  1  something is lost\n"
    "  2  bad usage; no log or no state there; it cannot be read\n",
    1,
    1,
};

/* ---- one partition */

typedef struct scan_run {
    loss_scan *scan;
    etx_record_room room;
    char message[LOG_MESSAGE_MAX];
} scan_run;

static int take_record(const etx_slot *slot, const etx_record *record, void *user) {
    loss_scan *scan = user;
    (void)slot;
    if (record->type == ETX_RECORD_LOSS && record->u.loss.time_ms > scan->accepted_ms) {
        scan->accepted_ms = record->u.loss.time_ms;
    }
    return 0;
}

static int take_slot(const etx_slot *slot, void *user) {
    scan_run *run = user;
    loss_scan *scan = run->scan;
    const log_records all = {&run->room, take_record, scan, run->message, sizeof run->message};
    scan->next = slot->slot + 1;
    scan->checksum = slot->checksum;
    scan->found |=
        slot->slot == scan->remembered.slot && slot->checksum == scan->remembered.checksum;
    return etx__log_records(slot, &all);
}

int etx__loss_scan(cli_context *cli,
                   etx_log *log,
                   const etx_seen *seen,
                   uint32_t partition,
                   loss_scan *ret_scan) {
    scan_run run = {.scan = ret_scan};
    int rc;
    *ret_scan = (loss_scan){.partition = partition};
    if (seen != NULL) {
        ret_scan->remembered = seen->mark[partition];
    }
    rc = log->ops->get(log, partition, 0, take_slot, &run, &ret_scan->mark, run.message,
                       sizeof run.message);
    etx_record_room_free(&run.room);
    return rc != 0 ? etx__cli_fail(cli, NULL, "%s (%s)", run.message, etx_error_name(rc)) : CLI_OK;
}

const char *etx__loss_state(const loss_scan *scan) {
    if (!scan->remembered.known) {
        return "unknown";
    }
    if (scan->found) {
        return "there";
    }
    if (scan->remembered.slot < scan->mark) {
        return "trimmed";
    }
    return scan->accepted_ms > scan->remembered.accepted_ms ? "accepted" : "lost";
}

int etx__loss_is_lost(const loss_scan *scan) {
    return strcmp(etx__loss_state(scan), "lost") == 0;
}

/* ---- printing */

static void print_json(cli_context *cli, const loss_scan *scan, const char *state) {
    json_t *object = json_object();
    char checksum[9];
    etx__out_number(object, "partition", scan->partition);
    etx__out_text(object, "state", state);
    if (scan->remembered.known) {
        snprintf(checksum, sizeof checksum, "%08x", scan->remembered.checksum);
        etx__out_number(object, "remembered_slot", scan->remembered.slot);
        etx__out_text(object, "remembered_checksum", checksum);
    }
    etx__out_number(object, "trimmed_below", scan->mark);
    etx__out_number(object, "next_slot", scan->next);
    etx__out_line(cli->out, object);
}

void etx__loss_print(cli_context *cli, int json, const loss_scan *scan, const char *state) {
    int is_bad = strcmp(state, "lost") == 0;
    if (json) {
        print_json(cli, scan, state);
        return;
    }
    fprintf(cli->out, "partition %u: %s%s%s", scan->partition,
            etx__cli_color(cli, is_bad ? CLI_RED : CLI_GREEN), state,
            etx__cli_color(cli, CLI_PLAIN));
    if (scan->remembered.known) {
        fprintf(cli->out, "; slot %llu (%08x) was acknowledged",
                (unsigned long long)scan->remembered.slot, scan->remembered.checksum);
    }
    if (scan->next > scan->mark) {
        fprintf(cli->out, "; the log has slots %llu to %llu\n", (unsigned long long)scan->mark,
                (unsigned long long)scan->next - 1);
    } else {
        fputs("; the log is empty\n", cli->out);
    }
}

/* ---- the command */

int etx__loss_read(cli_context *cli, etx_log *log, const char *dir, etx_seen *ret_seen) {
    char message[LOG_MESSAGE_MAX] = "";
    etx_log_info info = {.size = sizeof info};
    int rc = log->ops->info(log, &info);
    if (rc != 0) {
        return etx__cli_fail(cli, NULL, "reading the log's description failed (%s)",
                             etx_error_name(rc));
    }
    rc = etx_seen_read(dir, info.id, ret_seen, message, sizeof message);
    if (rc != 0) {
        return etx__cli_fail(cli, "is it the directory that the node was given as 'state'?",
                             "%s (%s)", message, etx_error_name(rc));
    }
    if (ret_seen->partitions != info.partitions) {
        etx_seen_free(ret_seen);
        return etx__cli_fail(cli, NULL, "%s/%s.state is of a log with other partitions", dir,
                             info.id);
    }
    return CLI_OK;
}

static int diff(cli_context *cli, etx_log *log, const diff_options *options) {
    etx_seen seen = {.size = sizeof seen};
    int lost = 0;
    uint32_t i;
    int code = etx__loss_read(cli, log, options->state, &seen);
    if (code != CLI_OK) {
        return code;
    }
    for (i = 0; code == CLI_OK && i < seen.partitions; i++) {
        loss_scan scan;
        code = etx__loss_scan(cli, log, &seen, i, &scan);
        if (code == CLI_OK) {
            etx__loss_print(cli, options->json, &scan, etx__loss_state(&scan));
            lost += etx__loss_is_lost(&scan);
        }
    }
    if (code == CLI_OK && lost > 0 && !options->json) {
        fputs("Restore a backup that has it; or 'etx log accept-loss' goes on without.\n",
              cli->out);
    }
    etx_seen_free(&seen);
    return code == CLI_OK && lost > 0 ? CLI_NO : code;
}

int etx__command_log_diff(cli_context *cli, int argc, char **argv) {
    diff_options options = {0};
    etx_log *log = NULL;
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (options.state == NULL) {
        return etx__cli_fail(cli, NULL, "--state DIR is required: what a node remembers");
    }
    code = etx__log_take(cli, args.values[0], ETX_LOG_READ_ONLY, &log);
    if (code == CLI_OK) {
        code = diff(cli, log, &options);
        log->ops->close(log, 0);
    }
    return code;
}
