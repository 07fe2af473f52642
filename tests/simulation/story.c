/* The story of a broken promise, short enough to be read: what happens again and again is folded,
 * and of a long one the beginning and the end are told. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { LINES = 60, HEAD = 15, LINE = 640, KEPT = 4096 };

typedef struct lines {
    char (*text)[LINE];
    uint32_t count;
    uint32_t folded, times; /* of one kind, not told yet */
} lines;

/* What every node does all the time: 0 is none of it. */
static uint32_t routine_of(const char *line) {
    static const char *const routines[] = {": written",      "is trimmed",  ": cannot start",
                                           "wall clock",     "hears: ETX_EUNAVAILABLE",
                                           ": home-up",      "call-unknown", ": home-down"};
    for (uint32_t i = 0; i < sizeof routines / sizeof routines[0]; i++) {
        if (strstr(line, routines[i]) != NULL) {
            return i + 1;
        }
    }
    return 0;
}

static void keep(lines *of, const char *line) {
    if (of->count < KEPT) {
        snprintf(of->text[of->count++], LINE, "%s", line);
    }
}

static void unfold(lines *of) {
    static const char *const words[] = {"",
                                        "slots written",
                                        "trims",
                                        "starts in vain",
                                        "jumps of wall clocks",
                                        "answers that a home is away",
                                        "homes well again",
                                        "calls without an answer",
                                        "homes away"};
    char line[LINE];
    if (of->times > 0) {
        snprintf(line, sizeof line, "             ... %u %s ...\n", of->times, words[of->folded]);
        keep(of, line);
    }
    of->times = 0;
}

static void take(lines *of, const char *line) {
    uint32_t routine = routine_of(line);
    if (routine != of->folded || routine == 0) {
        unfold(of);
    }
    of->folded = routine;
    if (routine == 0) {
        keep(of, line);
    } else {
        of->times++;
    }
}

static void tell(const lines *of, FILE *to) {
    uint32_t skip = of->count > LINES ? of->count - (LINES - 1) : 0;
    for (uint32_t i = 0; i < of->count; i++) {
        if (skip > 0 && i == HEAD) {
            fprintf(to, "             ... %u lines that --trace tells ...\n", skip);
            i += skip;
        }
        fputs(of->text[i], to);
    }
}

void run_story(const sim_options *options, FILE *to) {
    sim_options traced = *options;
    run_result again;
    char line[LINE];
    lines of = {.text = calloc(KEPT, LINE)};
    traced.trace = tmpfile();
    if (of.text == NULL || traced.trace == NULL) {
        fprintf(to, "(no room for the story: --trace tells it)\n");
        free(of.text);
        return;
    }
    run_apart(&traced, &again);
    rewind(traced.trace);
    while (fgets(line, sizeof line, traced.trace) != NULL) {
        take(&of, line);
    }
    unfold(&of);
    tell(&of, to);
    fclose(traced.trace);
    free(of.text);
}
