/* `etx log verify` of a log in a store: what each partition has, and whether its slots follow each
 * other. */
#include "log_command.h"
#include "log_open.h"

typedef struct tally {
    uint32_t partition;
    uint64_t mark, slots, bytes;
    uint64_t newest; /* if there are any */
} tally;

typedef struct store_run {
    cli_context *cli;
    etx_log *log;
    int json;
    json_t *partitions, *findings;
    tally all;
    int retired; /* another log has its place, or is to have it */
    char message[LOG_MESSAGE_MAX];
} store_run;

static int count_slot(const etx_slot *slot, void *user) {
    tally *of = user;
    of->slots++;
    of->bytes += slot->batch.len;
    of->newest = slot->slot;
    return 0;
}

static void note_tally(store_run *run, const tally *of) {
    json_t *object = json_object();
    etx__out_number(object, "partition", of->partition);
    etx__out_number(object, "mark", of->mark);
    etx__out_number(object, "slots", of->slots);
    etx__out_number(object, "bytes", of->bytes);
    if (of->slots > 0) {
        etx__out_number(object, "newest", of->newest);
    } else {
        json_object_set_new(object, "newest", json_null());
    }
    json_array_append_new(run->partitions, object);
    run->all.slots += of->slots;
    run->all.bytes += of->bytes;
}

static void note_damage(store_run *run, const tally *of) {
    json_t *object = json_object();
    etx__out_text(object, "state", etx__log_state(ETX_FILE_CORRUPT));
    etx__out_number(object, "partition", of->partition);
    etx__out_text(object, "text", run->message);
    json_array_append_new(run->findings, object);
}

/* 0, or an ETX error that keeps the log from being looked at. */
static int verify_all(store_run *run) {
    etx_log_info info = {.size = sizeof info};
    int rc = run->log->ops->info(run->log, &info);
    run->all.partition = rc == 0 ? info.partitions : 0;
    run->retired = rc == 0 && etx__log_is_retired(&info);
    for (uint32_t i = 0; i < run->all.partition && rc == 0; i++) {
        tally one = {.partition = i};
        rc = run->log->ops->get(run->log, i, 0, count_slot, &one, &one.mark, run->message,
                                sizeof run->message);
        if (rc == ETX_ECORRUPT) {
            note_damage(run, &one);
            rc = 0;
        }
        if (rc == 0) {
            note_tally(run, &one);
        }
    }
    return rc;
}

static uint64_t number_of(const json_t *object, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void print_text(const store_run *run, const char *state, const json_t *nodes) {
    FILE *out = run->cli->out;
    const json_t *one;
    size_t i;
    fprintf(out, "%sPARTITION            MARK          NEWEST      SLOTS           BYTES%s\n",
            etx__cli_color(run->cli, CLI_BOLD), etx__cli_color(run->cli, CLI_PLAIN));
    json_array_foreach(run->partitions, i, one) {
        char newest[24] = "-";
        if (json_is_integer(json_object_get(one, "newest"))) {
            snprintf(newest, sizeof newest, "%llu", (unsigned long long)number_of(one, "newest"));
        }
        fprintf(out, "%9llu  %14llu  %14s  %9llu  %14llu\n",
                (unsigned long long)number_of(one, "partition"),
                (unsigned long long)number_of(one, "mark"), newest,
                (unsigned long long)number_of(one, "slots"),
                (unsigned long long)number_of(one, "bytes"));
    }
    json_array_foreach(run->findings, i, one) {
        fprintf(out, "%scorrupt%s %s\n", etx__cli_color(run->cli, CLI_RED),
                etx__cli_color(run->cli, CLI_PLAIN),
                json_string_value(json_object_get(one, "text")));
    }
    if (run->retired) {
        fprintf(out, "%sretired%s: %s\n", etx__cli_color(run->cli, CLI_YELLOW),
                etx__cli_color(run->cli, CLI_PLAIN), LOG_RETIRED);
    }
    fprintf(out, "%s: %u partition%s, %llu slots, %llu bytes; %zu node%s attend%s\n", state,
            run->all.partition, run->all.partition == 1 ? "" : "s",
            (unsigned long long)run->all.slots, (unsigned long long)run->all.bytes,
            json_array_size(nodes), json_array_size(nodes) == 1 ? "" : "s",
            json_array_size(nodes) == 1 ? "s" : "");
}

static void print_json(const store_run *run, const char *state, json_t *nodes) {
    json_t *object = json_object();
    etx__out_text(object, "state", state);
    etx__out_number(object, "partitions", run->all.partition);
    etx__out_number(object, "slots", run->all.slots);
    etx__out_number(object, "bytes", run->all.bytes);
    json_object_set(object, "of", run->partitions);
    json_object_set(object, "nodes", nodes);
    json_object_set(object, "findings", run->findings);
    json_object_set_new(object, "retired", json_boolean(run->retired));
    etx__out_line(run->cli->out, object);
}

int etx__log_verify_store(cli_context *cli, const char *url, int json) {
    store_run run = {.cli = cli, .json = json};
    json_t *nodes = NULL;
    int code = CLI_OK;
    int rc = etx__log_open(url, ETX_LOG_READ_ONLY, &run.log, run.message, sizeof run.message);
    if (rc != 0) {
        return etx__log_fail(cli, url, rc, run.message);
    }
    run.partitions = json_array();
    run.findings = json_array();
    rc = verify_all(&run);
    nodes = rc == 0 ? etx__log_nodes(run.log, run.message, sizeof run.message) : NULL;
    if (nodes == NULL) {
        code = etx__log_fail(cli, url, rc != 0 ? rc : ETX_EUNAVAILABLE, run.message);
    } else {
        int corrupt = json_array_size(run.findings) > 0;
        const char *state = etx__log_state(corrupt ? ETX_FILE_CORRUPT : ETX_FILE_SOUND);
        if (json) {
            print_json(&run, state, nodes);
        } else {
            print_text(&run, state, nodes);
        }
        code = corrupt ? CLI_BAD : CLI_OK;
    }
    run.log->ops->close(run.log, 0);
    json_decref(nodes);
    json_decref(run.partitions);
    json_decref(run.findings);
    return code;
}
