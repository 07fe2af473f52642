/* What the demo says at the end: in words, or as one JSON object. */
#include <string.h>

#include "cli_json.h"
#include "demo.h"

const char *etx__demo_times(uint64_t count) {
    return count == 1 ? "time" : "times";
}

void etx__demo_report_json(cli_context *cli,
                           const demo_options *options,
                           const char *dir,
                           const demo_history *history,
                           const demo_findings *findings) {
    json_t *object = json_object();
    uint64_t ended = findings->committed + findings->aborted;
    etx__out_number(object, "transfers", findings->transfers);
    etx__out_number(object, "committed", findings->committed);
    etx__out_number(object, "aborted", findings->aborted);
    etx__out_number(object, "kills", history->kills);
    etx__out_number(object, "unfinished", findings->unfinished);
    etx__out_number(object, "imbalance", findings->imbalance);
    etx__out_number(object, "half_done", findings->half_done);
    etx__out_real(object, "seconds", history->seconds);
    etx__out_real(object, "tx_per_s", history->seconds > 0 ? (double)ended / history->seconds : -1);
    etx__out_number(object, "kills_in_flight", history->kills_in_flight);
    etx__out_number(object, "kills_starting", history->kills_starting);
    etx__out_number(object, "calls_cut", history->calls_cut);
    etx__out_number(object, "recovered", history->recovered);
    etx__out_number(object, "answers", findings->answers);
    etx__out_number(object, "errors", history->errors);
    etx__out_number(object, "accounts", findings->accounts);
    json_object_set_new(object, "money", json_integer(findings->money));
    if (!options->audit) { /* else what made it had another */
        etx__out_number(object, "seed", options->seed);
    }
    if (options->dir != NULL) { /* else it is removed */
        etx__out_text(object, "dir", dir);
    }
    etx__out_line(cli->out, object);
}

static void print_finding(cli_context *cli, uint64_t number, const char *text) {
    fprintf(cli->out, "  %s%10llu%s  %s\n", etx__cli_color(cli, number == 0 ? CLI_GREEN : CLI_RED),
            (unsigned long long)number, etx__cli_color(cli, CLI_PLAIN), text);
}

/* Kills for which there was no time are told, too. */
static void print_kills(FILE *to, const demo_options *options, const demo_history *history) {
    char of[80] = "";
    if (history->kills < options->kills) {
        snprintf(of, sizeof of, " (of %llu: there was no time for more)",
                 (unsigned long long)options->kills);
    }
    fprintf(to,
            "  The coordinator was killed %llu %s%s: %llu %s with transfers in flight, %llu "
            "while it\n  read its log. %llu calls were cut off inside a bank; restarts found %llu "
            "unfinished transfers.\n",
            (unsigned long long)history->kills, etx__demo_times(history->kills), of,
            (unsigned long long)history->kills_in_flight, etx__demo_times(history->kills_in_flight),
            (unsigned long long)history->kills_starting, (unsigned long long)history->calls_cut,
            (unsigned long long)history->recovered);
}

void etx__demo_report_text(cli_context *cli,
                           const demo_options *options,
                           const char *dir,
                           const demo_history *history,
                           const demo_findings *findings) {
    FILE *to = cli->out;
    const char *bold = etx__cli_color(cli, CLI_BOLD);
    const char *plain = etx__cli_color(cli, CLI_PLAIN);
    uint64_t ended = findings->committed + findings->aborted;
    fprintf(to, "%sWhat was done%s\n", bold, plain);
    fprintf(to, "  %llu transfers between %llu accounts of three SQLite databases",
            (unsigned long long)findings->transfers, (unsigned long long)findings->accounts);
    if (!options->audit) {
        fprintf(to, ", in %.1f s: %.0f a second.\n", history->seconds,
                history->seconds > 0 ? (double)ended / history->seconds : 0);
        print_kills(to, options, history);
    } else {
        fputs(".\n", to);
    }
    fprintf(to, "  %llu committed, %llu aborted (not enough money, or a blocked account).\n\n",
            (unsigned long long)findings->committed, (unsigned long long)findings->aborted);
    fprintf(to, "%sWhat the audit found%s, in the ledgers, the fences and the log\n", bold, plain);
    print_finding(cli, findings->half_done,
                  "transfers that are done in one bank and not in another,");
    fprintf(to,
            "              or other than decided, or other than the initiator was told (%llu "
            "answers)\n",
            (unsigned long long)findings->answers);
    print_finding(cli, findings->imbalance,
                  findings->unfinished == 0 ? "cents made or lost, or held for nobody"
                                            : "cents under way: it adds up when all is finished");
    print_finding(cli, findings->unfinished, "transfers unfinished");
    if (findings->unfinished > 0 && findings->first[0] == '\0' && options->audit) {
        fputs(
            "\nNothing is wrong so far, but that demo was ended before its last coordinator could\n"
            "finish. It can be finished, and audited again:\n",
            to);
        fprintf(to, "  %s demo --finish --dir %s\n", cli->program != NULL ? cli->program : "etx",
                dir);
        return;
    }
    if (!etx__demo_is_sound(findings)) {
        fprintf(to, "\n%sThis must not happen.%s Everything is kept in %s\n",
                etx__cli_color(cli, CLI_RED), plain, dir);
        fprintf(to, "for a report: etx log show %s/log --gid GID\n", dir);
        return;
    }
    fprintf(to, "\nEvery transfer happened in all banks or in none; the money adds up to %lld.\n",
            (long long)findings->money);
    fprintf(to, "\n%sWhat next%s\n", bold, plain);
    const char *kept = options->dir != NULL ? dir : "./demo";
    const char *etx = cli->program != NULL ? cli->program : "etx";
    if (options->dir == NULL) {
        fprintf(to, "  %s demo --dir ./demo\n      keep it, and look with the commands below\n",
                etx);
    }
    fprintf(to, "  %s log show %s/log\n      what the coordinator wrote down\n", etx, kept);
    fprintf(to, "  %s tx list --home file:%s/log --ended --limit 5\n", etx, kept);
    if (strchr(etx, '/') == NULL) { /* else its manual is not installed */
        fputs("  man libetx\n      the same in a service of your own\n", to);
    }
}
