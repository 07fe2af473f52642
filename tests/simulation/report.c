/* What `etx sim` prints: totals, a broken promise, and both as JSON. */
#include "report.h"

#include <stdlib.h>
#include <string.h>

/* A broken promise, explained. */
typedef struct explanation {
    sim_options options; /* as little as breaks it */
    run_result result;
    char *story, *replay;
    int again; /* the story breaks a promise as well */
} explanation;

int report_code(const run_total *total) {
    if (total->failure.broken) {
        return 1;
    }
    if (total->stopped != 0) {
        return 128 + total->stopped;
    }
    return total->seeds > 0 ? 0 : 2;
}

static void print_clients(FILE *to, const sim_options *options) {
    const char *before = " --clients ";
    if (memchr(options->absent, 1, SIM_PLANS) == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SIM_PLANS; i++) {
        uint32_t last = i;
        while (last + 1 < SIM_PLANS && !options->absent[i] && !options->absent[last + 1]) {
            last++;
        }
        if (!options->absent[i]) {
            fprintf(to, last > i ? "%s%u..%u" : "%s%u", before, i, last);
            before = ",";
            i = last;
        }
    }
}

static void print_replay(FILE *to, const sim_options *options, const char *gid) {
    fprintf(to, "etx sim --seed %llu --trace", (unsigned long long)options->seed);
    if (options->plans > 0) {
        fprintf(to, " --transactions %u", options->plans);
    }
    print_clients(to, options);
    if (options->nodes > 0) {
        fprintf(to, " --nodes %u", options->nodes);
    }
    if (options->busy_ms > 0 && options->busy_ms != SIM_BUSY_MS) {
        fprintf(to, " --busy-ms %u", options->busy_ms);
    }
    const char *before = " --without ";
    for (int i = 0; i < SIM_FAULTS; i++) {
        if (options->without & (1ull << i)) {
            fprintf(to, "%s%s", before, sim_fault_name((sim_fault)i));
            before = ",";
        }
    }
    fprintf(to, gid[0] != 0 ? " --only '%s'" : "%s", gid);
}

static FILE *open_text(char **ret_text, size_t *ret_len) {
    FILE *to = open_memstream(ret_text, ret_len);
    if (to == NULL) {
        perror("etx-sim: memory for the story");
        exit(2);
    }
    return to;
}

/* One that hangs is not made shorter: each attempt could take as long. */
static void explain(const run_result *failure, const sim_options *options, explanation *ret_why) {
    size_t len;
    *ret_why = (explanation){.options = *options, .result = *failure};
    ret_why->options.seed = failure->seed;
    if (!failure->hung) {
        run_minimise(&ret_why->options, &ret_why->result);
    }
    const char *gid = ret_why->result.gid;
    ret_why->options.only = gid[0] != 0 ? gid : NULL;
    FILE *to = open_text(&ret_why->story, &len);
    ret_why->again = run_story(&ret_why->options, to);
    fclose(to);
    to = open_text(&ret_why->replay, &len);
    print_replay(to, &ret_why->options, gid);
    fclose(to);
}

void report_failure(const run_result *failure, const sim_options *options) {
    explanation why;
    printf("seed %llu breaks a promise: %s: %s\n", (unsigned long long)failure->seed,
           failure->promise, failure->story);
    fflush(stdout);
    explain(failure, options, &why);
    if (failure->hung) {
        printf("not made shorter, since each attempt could take as long; once more, %s\n\n",
               why.again ? "as far as it goes" : "alone, IT ENDED: was the machine so busy?");
    } else {
        printf("with as little as possible: %s: %s %s\n\n", why.result.promise, why.result.story,
               why.result.gid);
    }
    printf("%s\nreplay:  %s\n", why.story, why.replay);
    free(why.story);
    free(why.replay);
}

void report_total(const run_total *total) {
    const sim_stats *s = &total->stats;
    printf(
        "%llu seeds in %.1f s (%.0f a second): %llu transactions (%llu committed, %llu aborted), "
        "%llu crashes, %llu takeovers, %llu pauses, %llu outages, %llu unknown puts\n",
        (unsigned long long)total->seeds, total->seconds, (double)total->seeds / total->seconds,
        (unsigned long long)s->transactions, (unsigned long long)s->committed,
        (unsigned long long)s->aborted, (unsigned long long)s->crashes,
        (unsigned long long)s->takeovers, (unsigned long long)s->pauses,
        (unsigned long long)s->outages, (unsigned long long)s->unknown_puts);
}

void report_stop(const run_total *total, uint64_t last) {
    if (total->done) {
        printf("broken off: no promise was broken\n");
    } else {
        printf(
            "broken off: no promise was broken, and all seeds before %llu are done; go on with\n"
            "  etx sim --seeds %llu..",
            (unsigned long long)total->next, (unsigned long long)total->next);
        if (last != UINT64_MAX) {
            printf("%llu", (unsigned long long)last);
        }
        printf("\n");
    }
}

/* ---- JSON */

static void print_quoted(const char *text, size_t len) {
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        printf(text[i] == '"' || text[i] == '\\' ? "\\%c"
               : (uint8_t)text[i] < 32           ? " "
                                                 : "%c",
               text[i]);
    }
    putchar('"');
}

static void print_member(const char *name, const char *text) {
    printf(",\"%s\":", name);
    print_quoted(text, strlen(text));
}

/* What the shortest case leaves out, as the options say it. */
static void print_shortest(const explanation *why) {
    const sim_options *options = &why->options;
    const char *before = "";
    printf(",\"shortest\":{\"seed\":%llu", (unsigned long long)why->result.seed);
    print_member("promise", why->result.promise);
    print_member("story", why->result.story);
    print_member("gid", why->result.gid);
    printf(",\"clients\":[");
    for (uint32_t i = 0; i < SIM_PLANS; i++) {
        if (!options->absent[i]) {
            printf("%s%u", before, i);
            before = ",";
        }
    }
    printf("],\"transactions\":%u,\"nodes\":%u,\"busy_ms\":%u,\"without\":[", options->plans,
           options->nodes, options->busy_ms > 0 ? options->busy_ms : SIM_BUSY_MS);
    before = "";
    for (int i = 0; i < SIM_FAULTS; i++) {
        if (options->without & (1ull << i)) {
            printf("%s\"%s\"", before, sim_fault_name((sim_fault)i));
            before = ",";
        }
    }
    printf("]}");
}

static void print_failure(const run_result *failure, const sim_options *options) {
    explanation why;
    const char *before = "";
    explain(failure, options, &why);
    print_member("story", failure->story);
    print_member("gid", failure->gid);
    printf(",\"hung\":%u", failure->hung);
    print_shortest(&why);
    printf(",\"lines\":[");
    for (const char *line = why.story; *line != 0;) {
        size_t len = strcspn(line, "\n");
        printf("%s", before);
        print_quoted(line, len);
        before = ",";
        line += len + (line[len] == '\n');
    }
    printf("]");
    print_member("replay", why.replay);
    free(why.story);
    free(why.replay);
}

void report_json(const run_total *total, const sim_options *options) {
    const sim_stats *s = &total->stats;
    printf(
        "{\"seeds\":%llu,\"broken\":%d,\"seconds\":%.1f,\"seeds_per_s\":%.1f,"
        "\"digest\":\"%016llx\",\"events\":%llu,\"transactions\":%llu,\"committed\":%llu,"
        "\"aborted\":%llu,\"crashes\":%llu,\"takeovers\":%llu,\"pauses\":%llu,\"puts\":%llu,"
        "\"unknown_puts\":%llu,\"calls\":%llu,\"moves\":%llu,\"outages\":%llu,"
        "\"failovers\":%llu,\"forced\":%llu,\"restarts\":%llu,"
        "\"late_puts\":%llu,\"erased\":%llu,\"regressed\":%llu,\"disk_errors\":%llu,"
        "\"disk_full\":%llu,\"flips\":%llu,\"refusals\":%llu,\"lies\":%llu,\"hangs\":%llu,"
        "\"handovers\":%llu,\"seed\":%llu",
        (unsigned long long)total->seeds, total->failure.broken, total->seconds,
        (double)total->seeds / total->seconds, (unsigned long long)total->digest,
        (unsigned long long)s->events, (unsigned long long)s->transactions,
        (unsigned long long)s->committed, (unsigned long long)s->aborted,
        (unsigned long long)s->crashes, (unsigned long long)s->takeovers,
        (unsigned long long)s->pauses, (unsigned long long)s->puts,
        (unsigned long long)s->unknown_puts, (unsigned long long)s->calls,
        (unsigned long long)s->moves, (unsigned long long)s->outages,
        (unsigned long long)s->failovers, (unsigned long long)s->forced,
        (unsigned long long)s->restarts, (unsigned long long)s->late_puts,
        (unsigned long long)s->erased, (unsigned long long)s->regressed,
        (unsigned long long)s->disk_errors, (unsigned long long)s->disk_full,
        (unsigned long long)s->flips, (unsigned long long)s->refusals, (unsigned long long)s->lies,
        (unsigned long long)s->hangs, (unsigned long long)s->handovers,
        (unsigned long long)total->failure.seed);
    print_member("promise", total->failure.promise);
    if (total->stopped != 0) {
        printf(",\"stopped_by\":%d,\"next\":", total->stopped);
        printf(total->done ? "null" : "%llu", (unsigned long long)total->next);
    }
    if (total->failure.broken) {
        print_failure(&total->failure, options);
    }
    printf("}\n");
}

void report_one_json(const run_result *result) {
    printf("{\"seed\":%llu,\"digest\":\"%016llx\",\"broken\":%d", (unsigned long long)result->seed,
           (unsigned long long)result->digest, result->broken);
    print_member("promise", result->promise);
    print_member("story", result->story);
    print_member("gid", result->gid);
    printf("}\n");
}
