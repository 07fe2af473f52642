/* Completion for shells: what may stand where a line ends, from the same tables as the commands.
 * Each candidate is a line; ":files PREFIX" and ":dirs PREFIX" say that a path may stand there,
 * behind the prefix. */
#ifndef ETX_CLI_COMPLETE_H
#define ETX_CLI_COMPLETE_H

#include "cli.h"

/* The last word of argv is what is to be completed; "" where nothing of it is written. CLI_OK. */
int etx__complete_group(cli_context *cli, const cli_group *group, int argc, char **argv);
int etx__complete_command(cli_context *cli, const cli_command *command, int argc, char **argv);

#endif
