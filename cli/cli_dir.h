/* Directories that demo and bench make and remove. */
#ifndef ETX_CLI_CLI_DIR_H
#define ETX_CLI_CLI_DIR_H

#include "cli.h"

/* Makes a new directory PARENT/NAME-XXXXXX, 0700. 0 or -1 with errno. */
int etx__dir_make_temporary(const char *parent, const char *name, char *path, size_t size);
/* 0 if nothing is there, or an empty directory; else -1 with errno (ENOTEMPTY). */
int etx__dir_check_empty(const char *path);
/* Makes the directory if it is missing; it must be empty. 0 or -1 with errno (ENOTEMPTY). */
int etx__dir_make_empty(const char *path);
/* Removes it with all that is in it. 0 or -1 with errno. */
int etx__dir_remove(const char *path);
/* Has one removed also if the terminal hangs up, or nobody reads what is printed: the first ends
 * the command in order, as SIGTERM does, and the second is an error of writing. */
void etx__dir_guard(void);
/* The directory that holds `path`. */
void etx__dir_parent(const char *path, char *parent, size_t size);

#endif
