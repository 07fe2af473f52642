/* The story of a broken promise, short enough to be read: what happens again and again is folded,
 * and of a long one the beginning and the end are told. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { LINES = 60, HEAD = 15, LINE = 640, KEPT = 4096, ROUTINES = 8 };

typedef struct lines {
    char (*text)[LINE];
    uint32_t count;
    uint32_t folded[ROUTINES]; /* not told yet */
} lines;

typedef struct routine {
    const char *sign, *word;
} routine;

/* What every node does all the time. */
static const routine *routines(void) {
    static const routine all[ROUTINES] = {
        {": written", "slots written"},
        {"is trimmed", "trims"},
        {": cannot start", "starts in vain"},
        {"wall clock", "jumps of wall clocks"},
        {"hears: ETX_EUNAVAILABLE", "answers that a home is away"},
        {"call-unknown", "calls without an answer"},
        {": home-up", "homes up"},
        {": home-down", "homes down"}};
    return all;
}

static void keep(lines *of, const char *line) {
    if (of->count < KEPT) {
        snprintf(of->text[of->count++], LINE, "%s", line);
    }
}

static void unfold(lines *of) {
    char line[LINE] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < ROUTINES; i++) {
        if (of->folded[i] > 0) {
            len += (size_t)snprintf(line + len, sizeof line - len, "%s %u %s",
                                    len > 0 ? "," : "             ...", of->folded[i],
                                    routines()[i].word);
            of->folded[i] = 0;
        }
    }
    if (len > 0) {
        snprintf(line + len, sizeof line - len, " ...\n");
        keep(of, line);
    }
}

static void take(lines *of, const char *line) {
    for (uint32_t i = 0; i < ROUTINES; i++) {
        if (strstr(line, routines()[i].sign) != NULL) {
            of->folded[i]++;
            return;
        }
    }
    unfold(of);
    keep(of, line);
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

int run_story(const sim_options *options, FILE *to) {
    sim_options traced = *options;
    run_result again;
    char line[LINE];
    lines of = {.text = calloc(KEPT, LINE)};
    traced.trace = tmpfile();
    traced.quiet = 1;
    if (of.text == NULL || traced.trace == NULL) {
        fprintf(to, "(no room for the story: --trace tells it)\n");
        free(of.text);
        return 1;
    }
    setvbuf(traced.trace, NULL, _IOLBF, 0); /* all of it, if the library ends or hangs */
    run_apart(&traced, &again);
    rewind(traced.trace);
    while (fgets(line, sizeof line, traced.trace) != NULL) {
        take(&of, line);
    }
    unfold(&of);
    tell(&of, to);
    fclose(traced.trace);
    free(of.text);
    return again.broken;
}
