/* `etx log show`: reads a log through the public log interface and prints its records. */
#include <string.h>

#include "log_command.h"
#include "log_open.h"
#include "log_record.h"

typedef struct show_options {
    const char *gid;
    const char *type;
    uint64_t partition;
    int json;
} show_options;

/* One reading of a log. */
typedef struct show_run {
    cli_context *cli;
    show_options options;
    etx_record_room room;
    uint64_t shown;
    const char *argument; /* the log */
    char message[LOG_MESSAGE_MAX];
} show_run;

static const cli_option options_table[] = {
    {"gid", 'g', CLI_TEXT, offsetof(show_options, gid), "GID", "only of this transaction", 0, 0},
    {"type", 't', CLI_TEXT, offsetof(show_options, type), "TYPE",
     "only records of this type: own, begin, enlist, held,\nresult, decide, force, move, end, loss",
     0, 0},
    {"partition", 'p', CLI_NUMBER, offsetof(show_options, partition), "N", "only this partition", 0,
     UINT32_MAX},
    {"json", 'j', CLI_FLAG, offsetof(show_options, json), NULL, "one JSON object a line", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "DIR|URL [--gid GID] [--type TYPE] [--partition N] [--json]",
    "Prints the records of a log in order: what was begun, what participants answered, what was\n"
    "decided. Each line begins with partition/slot. The log may be in use; nothing is changed.",
    options_table,
    "  etx log show /var/lib/shop/etx\n"
    "  etx log show postgresql://etx@db.internal/shop\n"
    "  etx log show /var/lib/shop/etx --gid order-17\n"
    "  etx log show 'postgresql://etx@db/shop' --type loss\n"
    "  etx log show /var/lib/shop/etx --type decide --json | jq .decision\n",
    "  0  records were printed, or the log has none and none was asked for\n"
    "  1  no record matches --gid or --type\n"
    "  2  bad usage; no log there; it cannot be read or is damaged\n",
    1,
    1,
};

static const char *type_name_at(const void *table, size_t place) {
    (void)table;
    return place < ETX_RECORD_LOSS ? etx_record_name((unsigned)place + 1) : NULL;
}

static int check_type(cli_context *cli, const char *type) {
    const char *near;
    char hint[96];
    unsigned i;
    for (i = ETX_RECORD_OWN; i <= ETX_RECORD_LOSS; i++) {
        if (strcmp(type, etx_record_name(i)) == 0) {
            return 0;
        }
    }
    near = etx__cli_nearest(type, type_name_at, NULL);
    if (near != NULL) {
        snprintf(hint, sizeof hint, "did you mean '%s'?", near);
    } else {
        snprintf(hint, sizeof hint,
                 "types are own, begin, enlist, held, result, decide, force, move, end and loss");
    }
    return etx__cli_fail(cli, hint, "--type: no record is called '%s'", type);
}

static int is_wanted(const show_run *run, const etx_record *record) {
    const char *gid = run->options.gid;
    const char *type = run->options.type;
    if (gid != NULL &&
        (record->gid.len != strlen(gid) || memcmp(record->gid.data, gid, record->gid.len) != 0)) {
        return 0;
    }
    return type == NULL || strcmp(type, etx_record_name(record->type)) == 0;
}

static int show_record(const etx_slot *slot, const etx_record *record, void *user) {
    show_run *run = user;
    const log_place place = {slot->partition, slot->slot, slot->nonce};
    if (!is_wanted(run, record)) {
        return 0;
    }
    run->shown++;
    if (run->options.json) {
        etx__record_json(run->cli, &place, record);
    } else {
        etx__record_text(run->cli, &place, record);
    }
    return 0;
}

static int show_slot(const etx_slot *slot, void *user) {
    show_run *run = user;
    const log_records all = {&run->room, show_record, run, run->message, sizeof run->message};
    return etx__log_records(slot, &all);
}

static int show_log(show_run *run, etx_log *log) {
    etx_log_info info = {.size = sizeof info};
    uint64_t wanted = run->options.partition;
    uint64_t mark = 0;
    uint32_t partition;
    int rc = log->ops->info(log, &info);
    if (rc != 0) {
        return etx__log_fail(run->cli, run->argument, rc, "reading the log's description failed");
    }
    if (wanted != UINT64_MAX && wanted >= info.partitions) {
        return etx__cli_fail(run->cli, NULL, "--partition: the log has %u, numbered from 0",
                             info.partitions);
    }
    for (partition = 0; partition < info.partitions; partition++) {
        if (wanted != UINT64_MAX && wanted != partition) {
            continue;
        }
        rc = log->ops->get(log, partition, 0, show_slot, run, &mark, run->message,
                           sizeof run->message);
        if (rc != 0) {
            return etx__log_fail(run->cli, run->argument, rc, run->message);
        }
    }
    return CLI_OK;
}

int etx__command_log_show(cli_context *cli, int argc, char **argv) {
    show_run run = {.cli = cli, .options = {.partition = UINT64_MAX}};
    etx_log *log = NULL;
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &run.options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (run.options.type != NULL && check_type(cli, run.options.type) != 0) {
        return CLI_BAD;
    }
    if (run.options.gid != NULL && etx_gid_check(run.options.gid, strlen(run.options.gid)) != 0) {
        return etx__cli_fail(cli, "1 to 128 printable characters without space",
                             "--gid: '%s' is no gid", run.options.gid);
    }
    code = etx__log_take(cli, args.values[0], ETX_LOG_READ_ONLY, &log);
    if (code != CLI_OK) {
        return code;
    }
    run.argument = args.values[0];
    code = show_log(&run, log);
    log->ops->close(log, 0);
    etx_record_room_free(&run.room);
    if (code == CLI_OK && run.shown == 0 && (run.options.gid != NULL || run.options.type != NULL)) {
        fprintf(cli->err, "no record matches\n");
        code = CLI_NO;
    }
    return code;
}
