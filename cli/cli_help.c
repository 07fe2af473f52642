/* Help that teaches: what groups and commands say of themselves, and what a typo may have meant. */
#include <stdlib.h>
#include <string.h>

#include "complete.h"

enum { WORD_MAX = 40 };

static size_t least(size_t a, size_t b, size_t c) {
    size_t least_two = a < b ? a : b;
    return least_two < c ? least_two : c;
}

/* How many letters must change to make `a` of `b`; words longer than WORD_MAX are not near. */
static size_t count_edits(const char *a, const char *b) {
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    size_t row[WORD_MAX + 1];
    size_t i;
    size_t j;
    if (a_len > WORD_MAX || b_len > WORD_MAX) {
        return WORD_MAX;
    }
    for (j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (j = 1; j <= b_len; j++) {
            size_t above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *etx__cli_nearest(const char *word,
                             const char *(*name_at)(const void *, size_t),
                             const void *table) {
    const char *best = NULL;
    size_t best_edits = strlen(word) / 3 + 2;
    const char *name;
    size_t i;
    for (i = 0; (name = name_at(table, i)) != NULL; i++) {
        size_t edits = count_edits(word, name);
        /* who types another first letter means something else: 'foo' is not near 'log' */
        if (edits < best_edits && (edits <= 1 || name[0] == word[0])) {
            best_edits = edits;
            best = name;
        }
    }
    return best;
}

static const char *entry_name_at(const void *table, size_t place) {
    const cli_entry *entries = table;
    for (; entries->name != NULL; entries++) {
        if (entries->description != NULL && place-- == 0) {
            return entries->name;
        }
    }
    return NULL;
}

static const cli_entry *find_entry(const cli_group *group, const char *name) {
    const cli_entry *entry;
    for (entry = group->entries; entry->name != NULL; entry++) {
        if (strcmp(entry->name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

static void print_group(cli_context *cli, FILE *to, const cli_group *group) {
    const char *bold = to == cli->out ? etx__cli_color(cli, CLI_BOLD) : "";
    const char *plain = to == cli->out ? etx__cli_color(cli, CLI_PLAIN) : "";
    const cli_entry *entry;
    fprintf(to, "%s\n\n%sUsage:%s %s COMMAND [arguments]\n\n%sCommands:%s\n", group->about, bold,
            plain, cli->path, bold, plain);
    for (entry = group->entries; entry->name != NULL; entry++) {
        if (entry->description != NULL) {
            fprintf(to, "  %s%-8s%s %s\n", bold, entry->name, plain, entry->description);
        }
    }
    fprintf(to, "\n%sExamples:%s\n%s", bold, plain, group->examples);
    fprintf(to, "\n'%s COMMAND --help' says all about a command.\n", cli->path);
}

static int reject_entry(cli_context *cli, const cli_group *group, const char *word) {
    const char *near = etx__cli_nearest(word, entry_name_at, group->entries);
    char hint[128];
    if (near != NULL) {
        snprintf(hint, sizeof hint, "did you mean '%s %s'?", cli->path, near);
    } else {
        snprintf(hint, sizeof hint, "'%s --help' lists the commands", cli->path);
    }
    return etx__cli_fail(cli, hint, "unknown %s '%s'", word[0] == '-' ? "option" : "command", word);
}

static void extend_path(cli_context *cli, const char *name) {
    size_t len = strlen(cli->path);
    snprintf(cli->path + len, sizeof cli->path - len, " %s", name);
}

/* `etx help log show` runs `etx log help show`, and that `etx log show --help`. */
static int run_help(cli_context *cli, const cli_group *group, int argc, char **argv) {
    char help[] = "help";
    char option[] = "--help";
    const cli_entry *entry;
    char *next[4];
    if (argc < 1) {
        print_group(cli, cli->out, group);
        return CLI_OK;
    }
    entry = find_entry(group, argv[0]);
    if (entry == NULL) {
        return reject_entry(cli, group, argv[0]);
    }
    extend_path(cli, entry->name);
    next[0] = argv[0];
    next[1] = argc > 1 ? help : option;
    next[2] = argc > 1 ? argv[1] : NULL;
    next[3] = NULL;
    return entry->run(cli, argc > 1 ? 3 : 2, next);
}

int etx__cli_dispatch(cli_context *cli, const cli_group *group, int argc, char **argv) {
    const cli_entry *entry;
    if (cli->completes) {
        return etx__complete_group(cli, group, argc, argv);
    }
    if (argc < 2) {
        print_group(cli, cli->err, group);
        return CLI_BAD;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_group(cli, cli->out, group);
        return CLI_OK;
    }
    if (strcmp(argv[1], "help") == 0) {
        return run_help(cli, group, argc - 2, argv + 2);
    }
    entry = find_entry(group, argv[1]);
    if (entry == NULL) {
        return reject_entry(cli, group, argv[1]);
    }
    extend_path(cli, entry->name);
    return entry->run(cli, argc - 1, argv + 1);
}

/* "  -j, --json VALUE" and its text, which may have lines of its own, beside it. */
static void print_option(FILE *to, const cli_option *option) {
    char left[64];
    const char *text = option->help;
    if (option->letter != 0) {
        snprintf(left, sizeof left, "-%c, --%s %s", option->letter, option->name,
                 option->argument != NULL ? option->argument : "");
    } else {
        snprintf(left, sizeof left, "    --%s %s", option->name,
                 option->argument != NULL ? option->argument : "");
    }
    fprintf(to, "  %-26s ", left);
    for (; *text != '\0'; text++) {
        fputc(*text, to);
        if (*text == '\n') {
            fprintf(to, "%29s", "");
        }
    }
    fputc('\n', to);
}

void etx__cli_help(cli_context *cli, FILE *to, const cli_command *command) {
    const char *bold = to == cli->out ? etx__cli_color(cli, CLI_BOLD) : "";
    const char *plain = to == cli->out ? etx__cli_color(cli, CLI_PLAIN) : "";
    const cli_option *option;
    fprintf(to, "%sUsage:%s %s %s\n\n%s\n\n%sOptions:%s\n", bold, plain, cli->path, command->usage,
            command->about, bold, plain);
    for (option = command->options; option != NULL && option->name != NULL; option++) {
        if (option->help != NULL) {
            print_option(to, option);
        }
    }
    fprintf(to, "  %-26s %s\n", "-h, --help", "this text");
    fprintf(to, "\n%sExamples:%s\n%s\n%sExit codes:%s\n%s", bold, plain, command->examples, bold,
            plain, command->exits);
}
