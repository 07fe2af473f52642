/* The command `etx` run within a fuzz target: its output and exit code are held to its help. */
#ifndef ETX_TESTS_FUZZ_COMMAND_H
#define ETX_TESTS_FUZZ_COMMAND_H

#include "fuzz.h"

#include "../../cli/cli.h"

enum { COMMAND_ARGS_MAX = 16 };

typedef struct command_args {
    int count;
    char *value[COMMAND_ARGS_MAX + 1];
} command_args;

/* Adds one argument; a copy. */
void command_add(command_args *args, const char *text);
void command_free(command_args *args);
/* Runs `etx NAME args...` and checks what holds for every command: the exit code is one of the
 * three, a failure says why, with --json each line is JSON, and (`plain`) no line has control
 * characters, whatever stood in the log. Returns the exit code. */
int command_run(cli_run_fn run, const char *name, const command_args *args, int plain);

#endif
