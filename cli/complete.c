/* Completion for shells, from the tables of commands and options. */
#include "complete.h"

#include <string.h>

static void offer(cli_context *cli, const char *before, const char *name, const char *typed) {
    if (strncmp(name, typed, strlen(typed)) == 0) {
        fprintf(cli->out, "%s%s\n", before, name);
    }
}

/* ---- commands */

int etx__complete_group(cli_context *cli, const cli_group *group, int argc, char **argv) {
    const cli_entry *entry;
    if (argc < 2) {
        return CLI_OK;
    }
    if (argc > 2 && strcmp(argv[1], "help") == 0) {
        return etx__complete_group(cli, group, argc - 1, argv + 1);
    }
    for (entry = group->entries; entry->name != NULL; entry++) {
        if (entry->description == NULL) {
            continue;
        }
        if (argc == 2) {
            offer(cli, "", entry->name, argv[1]);
        } else if (strcmp(entry->name, argv[1]) == 0) {
            return entry->run(cli, argc - 1, argv + 1);
        }
    }
    if (argc == 2) {
        offer(cli, "", "help", argv[1]);
        if (argv[1][0] == '-') {
            offer(cli, "", "--help", argv[1]);
        }
    }
    return CLI_OK;
}

/* ---- values */

static const char *state_at(int i) {
    return i <= ETX_ABORTED - ETX_ACTIVE ? etx_state_name((etx_state)(ETX_ACTIVE + i)) : NULL;
}

static const char *event_at(int i) {
    static const char *const names[] = {
#define X(name, number, text, alarm) text,
        ETX_EVENT_MAP(X)
#undef X
            NULL};
    return names[i];
}

/* Words with ',' between: the last one is completed. */
static void offer_words(cli_context *cli,
                        const char *before,
                        const char *(*at)(int),
                        const char *typed) {
    const char *comma = strrchr(typed, ',');
    size_t kept = comma != NULL ? (size_t)(comma - typed) + 1 : 0;
    char stem[512];
    int i;
    snprintf(stem, sizeof stem, "%s%.*s", before, (int)kept, typed);
    for (i = 0; at(i) != NULL; i++) {
        offer(cli, stem, at(i), typed + kept);
    }
}

/* "commit|abort|done" */
static void offer_choices(cli_context *cli,
                          const char *before,
                          const char *choices,
                          const char *typed) {
    while (*choices != '\0') {
        char word[32];
        size_t len = strcspn(choices, "|");
        snprintf(word, sizeof word, "%.*s", (int)len, choices);
        offer(cli, before, word, typed);
        choices += len + (choices[len] == '|');
    }
}

/* What `what` names: the argument of an option, or the beginning of a usage. */
static void offer_value(cli_context *cli, const char *before, const char *what, const char *typed) {
    if (strncmp(what, "file:DIR", 8) == 0) {
        if (strncmp(typed, "file:", 5) == 0) {
            fprintf(cli->out, ":dirs %sfile:\n", before);
        } else {
            offer(cli, before, "file:", typed);
        }
    } else if (strcmp(what, "DIR") == 0 || strcmp(what, "DIR|URL") == 0) {
        fprintf(cli->out, ":dirs %s\n", before);
    } else if (strcmp(what, "FILE") == 0) {
        fprintf(cli->out, ":files %s\n", before);
    } else if (strcmp(what, "STATES") == 0) {
        offer_words(cli, before, state_at, typed);
    } else if (strcmp(what, "TYPES") == 0) {
        offer_words(cli, before, event_at, typed);
    } else if (strchr(what, '|') != NULL) {
        offer_choices(cli, before, what, typed);
    }
}

/* ---- options */

/* The option whose value comes next, if the word is one of these; or NULL. */
static const cli_option *find_before(const cli_command *command, const char *word) {
    const cli_option *option;
    size_t len = strlen(word);
    if (word[0] != '-' || len < 2) {
        return NULL;
    }
    for (option = command->options; option != NULL && option->name != NULL; option++) {
        int named = word[1] == '-' ? strcmp(word + 2, option->name) == 0
                                   : option->letter != 0 && word[len - 1] == option->letter;
        if (named && option->value != CLI_FLAG) {
            return option;
        }
    }
    return NULL;
}

/* "--home=fi": the value of the option whose name is written. */
static void complete_joined(cli_context *cli, const cli_command *command, const char *typed) {
    char name[64];
    char before[80];
    size_t len = strcspn(typed, "=");
    const cli_option *option;
    snprintf(name, sizeof name, "%.*s", (int)len, typed);
    snprintf(before, sizeof before, "%.60s=", name);
    option = find_before(command, name);
    if (option != NULL && option->argument != NULL) {
        offer_value(cli, before, option->argument, typed + len + 1);
    }
}

static void offer_options(cli_context *cli, const cli_command *command, const char *typed) {
    const cli_option *option;
    for (option = command->options; option != NULL && option->name != NULL; option++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", option->name);
        if (option->help != NULL) {
            offer(cli, "", name, typed);
        }
    }
    offer(cli, "", "--help", typed);
}

int etx__complete_command(cli_context *cli, const cli_command *command, int argc, char **argv) {
    const char *typed = argc > 1 ? argv[argc - 1] : "";
    const cli_option *before = argc > 2 ? find_before(command, argv[argc - 2]) : NULL;
    if (before != NULL) {
        offer_value(cli, "", before->argument != NULL ? before->argument : "", typed);
    } else if (typed[0] == '-' && strchr(typed, '=') != NULL) {
        complete_joined(cli, command, typed);
    } else if (typed[0] == '-') {
        offer_options(cli, command, typed);
    } else if (command->args_max > 0) {
        char what[24];
        const char *usage = command->usage + (command->usage[0] == '[');
        snprintf(what, sizeof what, "%.*s", (int)strcspn(usage, " ]"), usage);
        offer_value(cli, "", what, typed);
    }
    return CLI_OK;
}
