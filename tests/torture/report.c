/* What the torture shows while it runs, and says at the end. */
#include "../../cli/cli_json.h"
#include "torture.h"

typedef unsigned long long number;

static number of(const _Atomic uint64_t *counter) {
    return (number)atomic_load(counter);
}

void torture_show_line(cli_context *cli, const torture_totals *totals, double seconds) {
    fprintf(cli->out,
            "\r\033[K%6.1f s  %llu kills  %llu pauses  %llu rounds  %llu transactions  %llu half "
            "done  %llu wrong answers",
            seconds, of(&totals->kills), of(&totals->pauses), of(&totals->rounds),
            of(&totals->transactions), of(&totals->half_done), of(&totals->misled));
    fflush(cli->out);
}

static void report_json(cli_context *cli,
                        const torture_totals *totals,
                        const torture_options *options,
                        double seconds) {
    static const struct {
        const char *name;
        size_t offset;
    } counters[] = {
#define COUNTER(name) {#name, offsetof(torture_totals, name)}
        COUNTER(kills),          COUNTER(pauses),       COUNTER(transactions),
        COUNTER(half_done),      COUNTER(misled),       COUNTER(unfinished),
        COUNTER(imbalance),      COUNTER(committed),    COUNTER(aborted),
        COUNTER(answers),        COUNTER(rounds),       COUNTER(cells),
        COUNTER(kills_point),    COUNTER(kills_bank),   COUNTER(kills_starting),
        COUNTER(kills_draining), COUNTER(kills_paused), COUNTER(calls_cut),
        COUNTER(pauses_bank),    COUNTER(intruders),    COUNTER(broken),
#undef COUNTER
    };
    json_t *object = json_object();
    json_t *points = json_object();
    size_t i;
    for (i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        const char *at = (const char *)totals + counters[i].offset;
        etx__out_number(object, counters[i].name, of((const _Atomic uint64_t *)(const void *)at));
    }
    for (i = 1; i < TORTURE_POINTS; i++) {
        etx__out_number(points, torture_point_name((torture_point)i), of(&totals->points[i]));
    }
    json_object_set_new(object, "points", points);
    etx__out_real(object, "seconds", seconds);
    etx__out_number(object, "seed", options->seed);
    if (of(&totals->broken)) {
        etx__out_text(object, "what", totals->what);
        etx__out_text(object, "dir", totals->where);
    }
    etx__out_line(cli->out, object);
}

static void report_details(cli_context *cli, const torture_totals *totals, double seconds) {
    int i;
    fprintf(cli->out,
            "In %.0f s, %llu cells and %llu audited rounds: %llu committed, %llu aborted, %llu "
            "answers compared.\n",
            seconds, of(&totals->cells), of(&totals->rounds), of(&totals->committed),
            of(&totals->aborted), of(&totals->answers));
    fprintf(cli->out,
            "Kills: %llu of the coordinator (%llu while it read its log, %llu while it finished, "
            "%llu with a\ncall inside a bank), %llu of banks; %llu while paused; %llu at points:",
            of(&totals->kills) - of(&totals->kills_bank), of(&totals->kills_starting),
            of(&totals->kills_draining), of(&totals->calls_cut), of(&totals->kills_bank),
            of(&totals->kills_paused), of(&totals->kills_point));
    for (i = 1; i < TORTURE_POINTS; i++) {
        fprintf(cli->out, "%s%s %llu",
                i == 1       ? "\n  "
                : i % 6 == 1 ? ",\n  "
                             : ", ",
                torture_point_name((torture_point)i), of(&totals->points[i]));
    }
    fprintf(cli->out,
            "\nPauses: %llu of the coordinator, %llu of banks; %llu times a second process tried "
            "to own the\nlog of a paused one, and was refused.\n",
            of(&totals->pauses) - of(&totals->pauses_bank), of(&totals->pauses_bank),
            of(&totals->intruders));
}

static void report_broken(cli_context *cli, const torture_totals *totals) {
    fprintf(cli->out,
            "A promise was broken: %s\n"
            "Kept in %s; what shows it:\n"
            "  scripts/torture --audit %s\n"
            "  etx log show %s/log --gid GID\n",
            totals->what, totals->where, totals->where, totals->where);
}

void torture_report(cli_context *cli,
                    const torture_totals *totals,
                    const torture_options *options,
                    double seconds) {
    if (options->json) {
        report_json(cli, totals, options, seconds);
        return;
    }
    if (options->audit == NULL) {
        report_details(cli, totals, seconds);
    }
    if (of(&totals->broken)) {
        report_broken(cli, totals);
    }
    fprintf(cli->out,
            "torture: %llu kills, %llu pauses, %llu transactions, %llu half done, %llu wrong "
            "answers, %llu unfinished",
            of(&totals->kills), of(&totals->pauses), of(&totals->transactions),
            of(&totals->half_done), of(&totals->misled), of(&totals->unfinished));
    if (options->audit == NULL) {
        fprintf(cli->out, ", seed %llu", (number)options->seed);
    }
    fprintf(cli->out, "%s\n", of(&totals->broken) ? ", BROKEN" : "");
}
