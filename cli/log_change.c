/* `etx log copy`: another log takes the place of one: the program's store is changed. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log_command.h"
#include "log_open.h"

/* Happy path. The source is retired as *being copied*: nobody opens it any more. All of its slots
 * go into the new log, as they are, which has its id, so that gids still name it; then that can be
 * opened; it is read and compared; then the source is retired as *moved*. A crash in the middle
 * leaves a source that nobody opens but this command, which begins anew, or finds that the copy is
 * whole. */

enum { WORDS_MAX = 400, SHOWN_MAX = 240, PROGRESS_MS = 200 };

typedef struct change_options {
    int force;
    int take_back;
    int into_volatile;
    int json;
} change_options;

/* What was copied of a partition. */
typedef struct part {
    uint64_t slots, bytes;
    uint64_t newest;
    uint32_t checksum; /* of the newest */
} part;

typedef struct change_run {
    cli_context *cli;
    change_options options;
    const char *source_url, *dest_url;
    char source_shown[SHOWN_MAX], dest_shown[SHOWN_MAX];
    etx_log *source, *copy;
    etx_log_info info;  /* the source's */
    etx_retirement was; /* ... before this command */
    part *parts;        /* by partition: what went into the copy */
    part *again;        /* ... what is read when it is compared */
    part all;
    uint64_t shown_ms;
    int shows;
    char message[LOG_MESSAGE_MAX];
} change_run;

static const cli_option options_table[] = {
    {"force", 'f', CLI_FLAG, offsetof(change_options, force), NULL,
     "also a log that was copied before: only if that copy is\ngone, or was never used", 0, 0},
    {"take-back", 0, CLI_FLAG, offsetof(change_options, take_back), NULL,
     "no copy: the log may be used again; only if its copy is\ngone, or was never used", 0, 0},
    {"volatile", 0, CLI_FLAG, offsetof(change_options, into_volatile), NULL,
     "also into a store that can lose what it acknowledged", 0, 0},
    {"json", 'j', CLI_FLAG, offsetof(change_options, json), NULL, "one JSON object", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "DIR|URL DEST [--force] [--volatile] [--json] | --take-back DIR|URL",
    "Changes the store of a log: copies all that it has into a new one, which takes its place "
    "with\n"
    "the same id, and retires the source, so that no program starts on it again. Both are DIR,\n"
    "file:DIR, or URLs such as postgresql://...; options of a URL are those of the store. No\n"
    "program may have the source open, and nothing may be at DEST. Then start the programs with\n"
    "DEST. When it is broken off, the copy cannot be used: run it again.",
    options_table,
    "  etx log copy /var/lib/etxd/log 'postgresql://etx@db.internal/shop'\n"
    "  etx log copy 'postgresql://etx@db.internal/shop' 'file:/var/lib/etxd/log?segment=16M'\n"
    "  etx log copy --take-back /var/lib/etxd/log\n",
    "  0  copied; or it had been, and the source is retired now\n"
    "  1  --take-back: the log was not retired\n"
    "  2  bad usage; a log is not there, in use, damaged, or cannot be reached; DEST is not "
    "empty\n",
    1,
    2,
};

/* ---- words */

static void say_retired(const change_run *run, etx_retirement what, char words[WORDS_MAX + 1]) {
    if (what == ETX_RETIRE_MOVED) {
        snprintf(words, WORDS_MAX + 1,
                 "'etx log copy' has moved this log to %s: use that one. Only if that is gone, or "
                 "was never used: 'etx log copy --take-back'",
                 run->dest_shown);
    } else {
        snprintf(words, WORDS_MAX + 1,
                 "'etx log copy' was copying this log to %s, and has not finished: run it again, "
                 "or 'etx log copy --take-back'",
                 run->dest_shown);
    }
}

static int fail_rc(change_run *run, const char *url, int rc) {
    return etx__log_fail(run->cli, url, rc, run->message);
}

static void show_progress(change_run *run, uint32_t partition, int ends) {
    uint64_t now = etx__cli_now_ms();
    if (run->shows && (ends || now >= run->shown_ms + PROGRESS_MS)) {
        run->shown_ms = now;
        fprintf(run->cli->err, "\rpartition %u of %u, %llu slots, %.1f MB%s", partition + !ends,
                run->info.partitions, (unsigned long long)run->all.slots,
                (double)run->all.bytes / 1e6, ends ? "\n" : "");
        fflush(run->cli->err);
    }
}

/* ---- slots */

static void count_slot(part *of, const etx_slot *slot) {
    of->slots++;
    of->bytes += slot->batch.len;
    of->newest = slot->slot;
    of->checksum = slot->checksum;
}

static int take_slot(const etx_slot *slot, void *user) {
    change_run *run = user;
    if (run->cli->stop != NULL && *run->cli->stop) {
        return ETX_ECLOSED;
    }
    count_slot(&run->parts[slot->partition], slot);
    count_slot(&run->all, slot);
    show_progress(run, slot->partition, 0);
    return run->copy->ops->copy_slot(run->copy, slot, run->message, sizeof run->message);
}

static int read_slot(const etx_slot *slot, void *user) {
    change_run *run = user;
    count_slot(&run->again[slot->partition], slot);
    return 0;
}

static int read_all(change_run *run, etx_log *log, etx_slot_fn visit) {
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < run->info.partitions; i++) {
        uint64_t mark = 0;
        rc = log->ops->get(log, i, 0, visit, run, &mark, run->message, sizeof run->message);
        if (rc == 0 && visit == take_slot && mark > 0 && run->parts[i].slots == 0) {
            snprintf(run->message, sizeof run->message,
                     "partition %u was repaired and is empty: start the program on it once", i);
            rc = ETX_EINVALID;
        }
    }
    return rc;
}

/* Has the log what went into the copy, and no more? */
static int has_the_same(change_run *run, etx_log *log) {
    memset(run->again, 0, run->info.partitions * sizeof *run->again);
    return read_all(run, log, read_slot) == 0 &&
           memcmp(run->parts, run->again, run->info.partitions * sizeof *run->parts) == 0;
}

/* ---- the source */

static int refuse_source(change_run *run) {
    return etx__cli_fail(run->cli, NULL, "%s: a log of this kind cannot be the source of a copy",
                         run->source_shown);
}

static etx_retirement state_of(const etx_log_info *info) {
    if (info->flags & ETX_LOG_MOVED) {
        return ETX_RETIRE_MOVED;
    }
    return info->flags & ETX_LOG_COPYING ? ETX_RETIRE_COPYING : ETX_RETIRE_NOT;
}

/* Nobody works on it. CLI_OK or an exit code. */
static int check_idle(change_run *run) {
    json_t *nodes = etx__log_nodes(run->source, run->message, sizeof run->message);
    int code = CLI_OK;
    if (nodes == NULL) {
        code = fail_rc(run, run->source_url, ETX_EUNAVAILABLE);
    } else if (json_array_size(nodes) > 0) {
        code = etx__log_refuse_nodes(run->cli, nodes);
    }
    json_decref(nodes);
    return code;
}

static int open_source(change_run *run) {
    int rc = etx__log_open(run->source_url, ETX_LOG_RETIRED, &run->source, run->message,
                           sizeof run->message);
    run->info.size = sizeof run->info;
    rc = rc == 0 ? run->source->ops->info(run->source, &run->info) : rc;
    if (rc != 0) {
        return fail_rc(run, run->source_url, rc);
    }
    run->was = state_of(&run->info);
    if (run->source->ops->version < 2 || run->source->ops->retire == NULL) {
        return refuse_source(run);
    }
    if (run->info.flags & ETX_LOG_LOOK) {
        return etx__cli_fail(run->cli, NULL, "%s is a copy to be looked at only (--new-id)",
                             run->source_shown);
    }
    return check_idle(run);
}

static int retire(change_run *run, etx_retirement what) {
    char words[WORDS_MAX + 1] = "";
    if (what != ETX_RETIRE_NOT) {
        say_retired(run, what, words);
    }
    return run->source->ops->retire(run->source, what, words, run->message, sizeof run->message);
}

/* As it was before. */
static void restore(change_run *run) {
    char message[LOG_MESSAGE_MAX];
    memcpy(message, run->message, sizeof message);
    if (run->was == ETX_RETIRE_NOT && retire(run, ETX_RETIRE_NOT) != 0) {
        fprintf(run->cli->err, "%s stays retired: %s\n", run->source_shown, run->message);
    }
    memcpy(run->message, message, sizeof message);
}

/* ---- the copy */

/* Is the whole copy there, of a run that could not say so any more? */
static int is_there(change_run *run) {
    etx_log_info info = {.size = sizeof info};
    etx_log *log = NULL;
    int same = 0;
    if (etx__log_open(run->dest_url, ETX_LOG_READ_ONLY, &log, run->message, sizeof run->message)) {
        return 0;
    }
    if (log->ops->info(log, &info) == 0 && strcmp(info.id, run->info.id) == 0 &&
        info.partitions == run->info.partitions) {
        same = read_all(run, run->source, read_slot) == 0;
        memcpy(run->parts, run->again, run->info.partitions * sizeof *run->parts);
        same = same && has_the_same(run, log);
    }
    log->ops->close(log, 0);
    return same;
}

static int begin_copy(change_run *run) {
    const etx_log_ops *ops = NULL;
    char url[1024];
    etx_log_config config = {.size = sizeof config,
                             .url = url,
                             .node = "etx",
                             .message = run->message,
                             .message_size = sizeof run->message};
    int plain = !etx__cli_is_store(run->dest_url) && strncmp(run->dest_url, "file:", 5) != 0;
    int len = snprintf(url, sizeof url, "%s%s", plain ? "file:" : "", run->dest_url);
    int rc = len < (int)sizeof url ? etx_log_find(url, &ops, run->message, sizeof run->message)
                                   : ETX_EINVALID;
    if (rc == 0 && (ops->version < 2 || ops->copy_begin == NULL)) {
        snprintf(run->message, sizeof run->message,
                 "a log of this kind cannot take the place of another");
        rc = ETX_EINVALID;
    }
    rc = rc != 0 ? rc : ops->copy_begin(&config, &run->info, &run->copy);
    if (rc == 0 && !run->options.into_volatile) {
        rc = etx__log_check_grade(run->copy, &run->info, run->message, sizeof run->message);
        if (rc != 0) {
            (void)ops->copy_end(run->copy, 0, NULL, 0);
            run->copy = NULL;
        }
    }
    return rc;
}

/* All into it; nobody has begun to work on the source meanwhile. 0 or an ETX error. */
static int fill_copy(change_run *run) {
    int rc = read_all(run, run->source, take_slot);
    show_progress(run, run->info.partitions, 1);
    if (rc == 0 && !has_the_same(run, run->source)) {
        snprintf(run->message, sizeof run->message,
                 "%s was written to while it was copied: stop what works on it", run->source_shown);
        rc = ETX_EBUSY;
    }
    int ended = run->copy->ops->copy_end(run->copy, rc == 0, rc == 0 ? run->message : NULL,
                                         rc == 0 ? sizeof run->message : 0);
    run->copy = NULL;
    return rc != 0 ? rc : ended;
}

static int compare_copy(change_run *run) {
    etx_log *log = NULL;
    int rc =
        etx__log_open(run->dest_url, ETX_LOG_READ_ONLY, &log, run->message, sizeof run->message);
    if (rc != 0) {
        return rc;
    }
    if (!has_the_same(run, log)) {
        snprintf(run->message, sizeof run->message, "%s has not got what was copied into it",
                 run->dest_shown);
        rc = ETX_ECORRUPT;
    }
    log->ops->close(log, 0);
    return rc;
}

static void print_done(change_run *run, const char *what) {
    if (run->options.json) {
        json_t *object = json_object();
        etx__out_text(object, "result", what);
        etx__out_text(object, "id", run->info.id);
        etx__out_number(object, "partitions", run->info.partitions);
        etx__out_number(object, "slots", run->all.slots);
        etx__out_number(object, "bytes", run->all.bytes);
        etx__out_line(run->cli->out, object);
        return;
    }
    fprintf(run->cli->out,
            "%s: home %s, %u partition%s, %llu slots, %llu bytes. Start the programs with %s: the "
            "old log is retired.\n",
            what, run->info.id, run->info.partitions, run->info.partitions == 1 ? "" : "s",
            (unsigned long long)run->all.slots, (unsigned long long)run->all.bytes,
            run->dest_shown);
}

static int copy(change_run *run) {
    const char *what = "copied";
    int rc = retire(run, ETX_RETIRE_COPYING);
    if (rc != 0) {
        return fail_rc(run, run->source_url, rc);
    }
    if (run->was == ETX_RETIRE_COPYING && is_there(run)) {
        what = "was copied";
    } else {
        rc = begin_copy(run);
        rc = rc == 0 ? fill_copy(run) : rc;
        if (rc != 0 && rc != ETX_EUNKNOWN) {
            restore(run);
        }
        rc = rc == 0 ? compare_copy(run) : rc;
        if (rc == ETX_ECLOSED) {
            return CLI_INTERRUPTED;
        }
    }
    if (rc != 0) {
        return fail_rc(run, run->dest_url, rc);
    }
    rc = retire(run, ETX_RETIRE_MOVED);
    if (rc != 0) {
        return fail_rc(run, run->source_url, rc);
    }
    print_done(run, what);
    return CLI_OK;
}

/* ---- the command */

static int take_back(change_run *run) {
    int rc;
    if (run->was == ETX_RETIRE_NOT) {
        fprintf(run->cli->err, "%s was not retired: it can be used as it is\n", run->source_shown);
        return CLI_NO;
    }
    rc = retire(run, ETX_RETIRE_NOT);
    if (rc != 0) {
        return fail_rc(run, run->source_url, rc);
    }
    fprintf(run->cli->out, "%s can be used again: never beside its copy\n", run->source_shown);
    return CLI_OK;
}

static int run_command(change_run *run) {
    int code = run->options.take_back
                   ? CLI_OK
                   : etx__log_check_place(run->cli, run->source_url, run->dest_url);
    code = code == CLI_OK ? open_source(run) : code;
    if (code != CLI_OK || run->options.take_back) {
        return code != CLI_OK ? code : take_back(run);
    }
    if (run->was == ETX_RETIRE_MOVED && !run->options.force) {
        return etx__cli_fail(run->cli,
                             "if that copy is gone, or was never used, --force makes another",
                             "%s was copied before: another log has its place", run->source_shown);
    }
    run->parts = calloc(run->info.partitions, sizeof *run->parts);
    run->again = calloc(run->info.partitions, sizeof *run->again);
    code = run->parts != NULL && run->again != NULL
               ? copy(run)
               : etx__cli_fail(run->cli, NULL, "out of memory");
    free(run->parts);
    free(run->again);
    return code;
}

int etx__command_log_copy(cli_context *cli, int argc, char **argv) {
    change_run run = {.cli = cli};
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &run.options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (args.count != (run.options.take_back ? 1 : 2)) {
        return etx__cli_fail(
            cli, "see --help",
            run.options.take_back ? "--take-back names one log" : "a log, and where it is to go");
    }
    run.source_url = args.values[0];
    run.dest_url = args.count > 1 ? args.values[1] : "";
    etx__cli_show_url(run.source_url, run.source_shown, sizeof run.source_shown);
    etx__cli_show_url(run.dest_url, run.dest_shown, sizeof run.dest_shown);
    run.shows = !run.options.json && isatty(STDERR_FILENO);
    code = run_command(&run);
    if (run.source != NULL) {
        run.source->ops->close(run.source, 1);
    }
    return code;
}
