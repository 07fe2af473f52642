/* `etx log`: its subcommands, and what they share. */
#include <limits.h>
#include <string.h>

#include "log_command.h"
#include "log_open.h"

static const cli_entry commands[] = {
    {"show", etx__command_log_show, "Print the records of a log, also while it is in use"},
    {"verify", etx__command_log_verify, "Check every byte of a log; changes nothing"},
    {"backup", etx__command_log_backup, "Copy a log, also while it is in use"},
    {"copy", etx__command_log_copy, "Change the store: another log takes its place"},
    {"repair", etx__command_log_repair, "Copy what is sound of a damaged log"},
    {"diff", etx__command_log_diff, "Show what a shared store has lost of what a node remembers"},
    {"accept-loss", etx__command_log_accept_loss, "Go on without what a shared store has lost"},
    {NULL, NULL, NULL},
};

static const cli_group group = {
    "A log is where a program writes down what it is about to do: a directory, of a program with "
    "the\n"
    "home file:DIR, or tables of a database, which several nodes may share. These commands look "
    "after\n"
    "it.",
    commands,
    "  etx log show /var/lib/shop/etx --gid 0a1b2c      what happened to one transaction\n"
    "  etx log verify /var/lib/shop/etx                 0 sound, 1 torn tail, 2 corrupt\n"
    "  etx log backup /var/lib/shop/etx /backup/etx     a consistent copy of a live log\n"
    "  etx log copy /var/lib/shop/etx postgresql://etx@db.internal/shop   into a database\n",
};

int etx__command_log(cli_context *cli, int argc, char **argv) {
    return etx__cli_dispatch(cli, &group, argc, argv);
}

const char *etx__log_dir(const char *argument) {
    return strncmp(argument, "file:", 5) == 0 ? argument + 5 : argument;
}

int etx__log_take(cli_context *cli, const char *argument, uint32_t flags, etx_log **ret_log) {
    char message[LOG_MESSAGE_MAX] = "";
    if (!etx__cli_is_store(argument) && strchr(argument, '?') != NULL) {
        return etx__cli_fail(cli, "give it another name, or a link to it",
                             "%s: a '?' begins the options of a log's URL", argument);
    }
    int rc = etx__log_open(argument, flags, ret_log, message, sizeof message);
    return rc != 0 ? etx__log_fail(cli, argument, rc, message) : CLI_OK;
}

/* Without "//" it is a directory; but who begins with a scheme meant none. */
static const char *absent_hint(const char *argument) {
    size_t len = strspn(argument, "abcdefghijklmnopqrstuvwxyz");
    if (len > 0 && argument[len] == ':' && strncmp(argument, "file:", 5) != 0) {
        return "without '//' it is a directory: the URL of a log in a store is SCHEME://...";
    }
    return "is it the right directory? a log is made by the first program that opens file:DIR";
}

int etx__log_fail(cli_context *cli, const char *argument, int rc, const char *message) {
    const char *hint = NULL;
    if (etx__cli_is_store(argument)) {
        hint = rc == ETX_EVERSION ? "use the 'etx' of the program that wrote it" : NULL;
    } else if (rc == ETX_ENOTFOUND &&
               strstr(message, "no log at") != NULL) { /* not: none above DEST */
        hint = absent_hint(argument);
    } else if (rc == ETX_EVERSION) {
        hint = "use the 'etx' of the program that wrote it";
    } else if (rc == ETX_ECORRUPT && strstr(message, "an unfinished copy:") == NULL) {
        hint = "'etx log verify' names every damage; 'etx log repair' copies what is sound";
    }
    return etx__cli_fail(cli, hint, "%s (%s)", message[0] != '\0' ? message : etx_strerror(rc),
                         etx_error_name(rc));
}

const char *etx__log_state(etx_file_state state) {
    switch (state) {
        case ETX_FILE_SOUND:
            return "sound";
        case ETX_FILE_TORN:
            return "torn";
        case ETX_FILE_CORRUPT:
            return "corrupt";
    }
    return "?";
}

json_t *etx__log_finding_json(const etx_file_finding *finding) {
    json_t *object = json_object();
    etx__out_text(object, "state", etx__log_state(finding->state));
    etx__out_number(object, "partition", finding->partition);
    etx__out_text(object, "file", finding->file != NULL ? finding->file : "");
    etx__out_number(object, "offset", finding->offset);
    etx__out_number(object, "slot", finding->slot);
    etx__out_text(object, "text", finding->text != NULL ? finding->text : "");
    return object;
}

void etx__log_finding_text(cli_context *cli, const etx_file_finding *finding) {
    if (finding->state == ETX_FILE_SOUND) {
        fprintf(cli->out, "%sretired%s: %s\n", etx__cli_color(cli, CLI_YELLOW),
                etx__cli_color(cli, CLI_PLAIN), finding->text);
        return;
    }
    fprintf(cli->out, "%s%s%s %s offset %llu (partition %u, slot %llu): %s\n",
            etx__cli_color(cli, finding->state == ETX_FILE_CORRUPT ? CLI_RED : CLI_YELLOW),
            etx__log_state(finding->state), etx__cli_color(cli, CLI_PLAIN),
            finding->file != NULL ? finding->file : "", (unsigned long long)finding->offset,
            finding->partition, (unsigned long long)finding->slot,
            finding->text != NULL ? finding->text : "");
}

void etx__log_report_json(json_t *object, const etx_file_report *report) {
    etx__out_text(object, "state", etx__log_state(report->state));
    etx__out_number(object, "partitions", report->partitions);
    etx__out_number(object, "segments", report->segments);
    etx__out_number(object, "slots", report->slots);
    etx__out_number(object, "bytes", report->bytes);
    json_object_set_new(object, "clean", json_boolean(report->clean));
    json_object_set_new(object, "in_use", json_boolean(report->in_use));
    json_object_set_new(object, "owner_pid", json_integer(report->owner_pid));
}

void etx__log_report_text(cli_context *cli, const char *verb, const etx_file_report *report) {
    fprintf(cli->out, "%s: %u partition%s, %llu segment%s, %llu slots, %llu bytes", verb,
            report->partitions, report->partitions == 1 ? "" : "s",
            (unsigned long long)report->segments, report->segments == 1 ? "" : "s",
            (unsigned long long)report->slots, (unsigned long long)report->bytes);
    if (report->in_use && report->owner_pid > 0) {
        fprintf(cli->out, "; in use by process %d", report->owner_pid);
    } else if (report->in_use) {
        fputs("; in use", cli->out);
    } else {
        fputs(report->clean ? "; closed in order" : "; not closed in order", cli->out);
    }
    fputc('\n', cli->out);
}
