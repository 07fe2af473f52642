/* Runs the command `etx` within a fuzz target, and checks its output. */
#include "command.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void command_add(command_args *args, const char *text) {
    fuzz_check(args->count < COMMAND_ARGS_MAX);
    args->value[args->count] = strdup(text);
    fuzz_check(args->value[args->count] != NULL);
    args->count++;
}

void command_free(command_args *args) {
    for (int i = 0; i < args->count; i++) {
        free(args->value[i]);
    }
    *args = (command_args){0};
}

static int has(const command_args *args, const char *text) {
    for (int i = 0; i < args->count; i++) {
        if (strcmp(args->value[i], text) == 0) {
            return 1;
        }
    }
    return 0;
}

static void check_json(const char *text) {
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        json_error_t error;
        json_t *value = json_loadb(text, len, 0, &error);
        fuzz_check_say(json_is_object(value), text);
        json_decref(value);
        text += len;
        fuzz_check_say(*text == '\n', "a line without end");
        text++;
    }
}

static void check_plain(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        fuzz_check_say((c >= 0x20 && c != 0x7f) || c == '\n', text);
    }
}

int command_run(cli_run_fn run, const char *name, const command_args *args, int plain) {
    command_args copy = {0};
    char *out = NULL;
    char *err = NULL;
    size_t out_len = 0;
    size_t err_len = 0;
    volatile sig_atomic_t stop = 0;
    cli_context cli = {.out = open_memstream(&out, &out_len),
                       .err = open_memstream(&err, &err_len),
                       .stop = &stop};
    fuzz_check(cli.out != NULL && cli.err != NULL);
    snprintf(cli.path, sizeof cli.path, "etx");
    command_add(&copy, name);
    for (int i = 0; i < args->count; i++) {
        command_add(&copy, args->value[i]);
    }
    command_args moved = copy; /* parsing may change the order */
    int code = run(&cli, moved.count, moved.value);
    fclose(cli.out);
    fclose(cli.err);
    fuzz_check(code == CLI_OK || code == CLI_NO || code == CLI_BAD);
    fuzz_check(code != CLI_BAD || err_len > 0 || out_len > 0);
    if (has(args, "--json")) {
        check_json(out);
    }
    if (plain) {
        check_plain(out, out_len);
    }
    free(out);
    free(err);
    command_free(&copy);
    return code;
}
