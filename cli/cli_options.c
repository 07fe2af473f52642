/* Options by table: getopt_long underneath, values into a struct, errors that say what to do. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "complete.h"

enum { OPTIONS_MAX = 40, HELP_CODE = 1000 };

/* The table in getopt's words: long option i has the code i + 1, help HELP_CODE. */
typedef struct parser {
    struct option longs[OPTIONS_MAX + 2];
    char letters[2 * OPTIONS_MAX + 4];
    size_t count;
} parser;

static void make_parser(parser *p, const cli_option *options) {
    size_t at = 0;
    memset(p, 0, sizeof *p);
    p->letters[at++] = ':';
    p->letters[at++] = 'h';
    for (; options != NULL && options[p->count].name != NULL; p->count++) {
        const cli_option *option = &options[p->count];
        struct option *to = &p->longs[p->count];
        if (p->count == OPTIONS_MAX) {
            abort(); /* a table of ours is too long */
        }
        to->name = option->name;
        to->has_arg = option->value == CLI_FLAG ? no_argument : required_argument;
        to->val = (int)p->count + 1;
        if (option->letter != 0) {
            p->letters[at++] = option->letter;
            if (option->value != CLI_FLAG) {
                p->letters[at++] = ':';
            }
        }
    }
    p->longs[p->count].name = "help";
    p->longs[p->count].val = HELP_CODE;
}

int etx__cli_number(const char *text, uint64_t *ret_number) {
    char *end = NULL;
    unsigned long long number;
    if (!isdigit((unsigned char)text[0])) {
        return -1;
    }
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return -1;
    }
    *ret_number = number;
    return 0;
}

int etx__cli_time(const char *text, uint64_t *ret_ms) {
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"", 1e3}, {"s", 1e3}, {"ms", 1}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
    char *end = NULL;
    double number;
    size_t i;
    if (!isdigit((unsigned char)text[0]) || text[1] == 'x' || text[1] == 'X') {
        return -1;
    }
    number = strtod(text, &end);
    for (i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0 && number * units[i].ms < 1e15) {
            *ret_ms = (uint64_t)(number * units[i].ms + 0.5);
            return 0;
        }
    }
    return -1;
}

/* A bound in the unit that the option is written in. */
static void print_bound(const cli_option *option, uint64_t bound, char *text, size_t size) {
    if (option->value == CLI_TIME && bound != 0 && bound < 1000) {
        snprintf(text, size, "%llums", (unsigned long long)bound);
    } else if (option->value == CLI_TIME) {
        snprintf(text, size, "%gs", (double)bound / 1e3);
    } else {
        snprintf(text, size, "%llu", (unsigned long long)bound);
    }
}

static int reject_range(cli_context *cli, const cli_option *option, const char *text) {
    char min[32];
    char max[32];
    print_bound(option, option->min, min, sizeof min);
    print_bound(option, option->max, max, sizeof max);
    if (option->max == 0 && text[0] != '-' && strlen(text) > 19) {
        return etx__cli_fail(cli, NULL, "--%s: %s is too much: at most %llu", option->name, text,
                             (unsigned long long)UINT64_MAX);
    }
    if (option->max == 0) {
        return etx__cli_fail(cli, NULL, "--%s: %s is too little: at least %s", option->name, text,
                             min);
    }
    return etx__cli_fail(cli, NULL, "--%s: %s is out of range: %s to %s", option->name, text, min,
                         max);
}

/* Digits, and yet none that a number may have here. */
static int is_out_of_range(const char *text) {
    size_t sign = text[0] == '-' || text[0] == '+';
    size_t len = strspn(text + sign, "0123456789");
    return len > 0 && text[sign + len] == '\0';
}

static int set_value(cli_context *cli, const cli_option *option, const char *text, void *values) {
    void *member = (char *)values + option->offset;
    uint64_t number = 0;
    int rc = 0;
    switch (option->value) {
        case CLI_FLAG:
            *(int *)member += 1;
            return 0;
        case CLI_TEXT:
            *(const char **)member = text;
            return 0;
        case CLI_NUMBER:
            rc = etx__cli_number(text, &number);
            break;
        case CLI_TIME:
            rc = etx__cli_time(text, &number);
            break;
    }
    if (rc != 0 && option->value == CLI_NUMBER && is_out_of_range(text)) {
        return reject_range(cli, option, text);
    }
    if (rc != 0) {
        return etx__cli_fail(cli,
                             option->value == CLI_TIME
                                 ? "write it like 10, 1.5s, 250ms, 5m, 2h or 7d"
                                 : "write it in digits, such as 10",
                             "--%s: '%s' is not a %s", option->name, text,
                             option->value == CLI_TIME ? "time" : "number");
    }
    if (number < option->min || (option->max != 0 && number > option->max)) {
        return reject_range(cli, option, text);
    }
    *(uint64_t *)member = number;
    return 0;
}

static const char *option_name_at(const void *table, size_t place) {
    const cli_option *options = table;
    size_t i;
    for (i = 0; options != NULL && options[i].name != NULL; i++) {
        if (options[i].help == NULL) {
            continue;
        }
        if (place-- == 0) {
            return options[i].name;
        }
    }
    return NULL;
}

static int reject_option(cli_context *cli, const cli_command *command, const char *word) {
    const char *bare = word + strspn(word, "-");
    const char *near = etx__cli_nearest(bare, option_name_at, command->options);
    char hint[128];
    if (near != NULL && word[0] == '-' && word[1] == '-') {
        snprintf(hint, sizeof hint, "did you mean --%s?", near);
    } else {
        snprintf(hint, sizeof hint, "%s --help lists the options", cli->path);
    }
    return etx__cli_fail(cli, hint, "unknown option '%s'", word);
}

static int count_args(cli_context *cli, const cli_command *command, const cli_args *args) {
    char hint[160];
    snprintf(hint, sizeof hint, "usage: %.60s %.80s", cli->path, command->usage);
    if (args->count < command->args_min) {
        return etx__cli_fail(cli, hint, "an argument is missing");
    }
    if (args->count > command->args_max) {
        return etx__cli_fail(cli, hint, "'%s' is one argument too many",
                             args->values[command->args_max]);
    }
    return CLI_RUN;
}

/* The table's row for what getopt returned, or NULL. */
static const cli_option *find_option(const cli_command *command, const parser *p, int code) {
    size_t i;
    for (i = 0; i < p->count; i++) {
        if (code == (int)i + 1 || (code > (int)p->count && code == command->options[i].letter)) {
            return &command->options[i];
        }
    }
    return NULL;
}

int etx__cli_parse(cli_context *cli,
                   const cli_command *command,
                   int argc,
                   char **argv,
                   void *values,
                   cli_args *ret_args) {
    parser p;
    int code;
    if (cli->completes) {
        return etx__complete_command(cli, command, argc, argv);
    }
    make_parser(&p, command->options);
    opterr = 0;
    optind = 0;
    while ((code = getopt_long(argc, argv, p.letters, p.longs, NULL)) != -1) {
        const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        const cli_option *option = find_option(command, &p, code);
        int rc;
        if (code == HELP_CODE || code == 'h') {
            etx__cli_help(cli, cli->out, command);
            return CLI_OK;
        }
        if (code == ':') {
            return etx__cli_fail(cli, NULL, "%s needs a value", word);
        }
        if (option == NULL) {
            return reject_option(cli, command, word);
        }
        rc = set_value(cli, option, optarg, values);
        if (rc != 0) {
            return rc;
        }
    }
    ret_args->count = argc - optind;
    ret_args->values = argv + optind;
    return count_args(cli, command, ret_args);
}
