/* What the subcommands of `etx` share: the running command, options, help, colour, exit codes. */
#ifndef ETX_CLI_CLI_H
#define ETX_CLI_CLI_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include <etx/etx.h>

/* Exit codes; each command's help says what they mean for it. */
enum { CLI_OK = 0, CLI_NO = 1, CLI_BAD = 2, CLI_INTERRUPTED = 130 };
/* Of etx__cli_parse: go on. */
enum { CLI_RUN = -1 };

/* The running command. */
typedef struct cli_context {
    FILE *out;
    FILE *err;
    int color;                         /* `out` is a terminal, and NO_COLOR is not set */
    int color_err;                     /* the same of `err` */
    const volatile sig_atomic_t *stop; /* a signal asked to end */
    char path[64];                     /* "etx log show", for messages */
    int completes;       /* nothing is run: the tables tell what may come next (complete.h) */
    const char *program; /* how this program was run: "etx", or a path to it */
} cli_context;

typedef int (*cli_run_fn)(cli_context *cli, int argc, char **argv);

/* A row of a table of commands. The table ends with a name that is NULL. */
typedef struct cli_entry {
    const char *name;
    cli_run_fn run;
    const char *description; /* NULL: not for people, not listed */
} cli_entry;

/* A command that only chooses among others: `etx`, `etx log`. */
typedef struct cli_group {
    const char *about;
    const cli_entry *entries;
    const char *examples;
} cli_group;

typedef enum cli_value {
    CLI_FLAG = 1,   /* int: counts how often it was given */
    CLI_TEXT = 2,   /* const char * */
    CLI_NUMBER = 3, /* uint64_t, within min and max */
    CLI_TIME = 4    /* uint64_t, milliseconds: "10", "1.5s", "5m", "2h", "7d" */
} cli_value;

/* A row of a command's options. The table ends with a name that is NULL. */
typedef struct cli_option {
    const char *name;
    char letter; /* 0: none */
    cli_value value;
    size_t offset;        /* of the member that it sets */
    const char *argument; /* what help calls the value; flags: NULL */
    const char *help;     /* NULL: not listed */
    uint64_t min, max;    /* CLI_NUMBER, CLI_TIME; max 0: no limit */
} cli_option;

/* What a leaf command says of itself; its --help is made of this. */
typedef struct cli_command {
    const char *usage; /* "DIR [options]" */
    const char *about;
    const cli_option *options;
    const char *examples;
    const char *exits;
    int args_min, args_max; /* of what is no option */
} cli_command;

typedef struct cli_args {
    int count;
    char **values;
} cli_args;

/* Reads argv into `values` by the command's table. CLI_RUN, or the exit code to return at once
 * (help was asked for, or something was wrong and has been said). */
int etx__cli_parse(cli_context *cli,
                   const cli_command *command,
                   int argc,
                   char **argv,
                   void *values,
                   cli_args *ret_args);
/* Text to milliseconds, text to number; 0 or -1. */
int etx__cli_time(const char *text, uint64_t *ret_ms);
int etx__cli_number(const char *text, uint64_t *ret_number);

/* Runs the entry that argv[1] names; does `help`, `--help` and what is misspelt. */
int etx__cli_dispatch(cli_context *cli, const cli_group *group, int argc, char **argv);
void etx__cli_help(cli_context *cli, FILE *to, const cli_command *command);
/* The name of the table that is nearest to `word`, or NULL if none is near. */
const char *etx__cli_nearest(const char *word,
                             const char *(*name_at)(const void *, size_t),
                             const void *table);

/* "etx log show: TEXT", and below it what to do, if `hint` is not NULL. Returns CLI_BAD. */
int etx__cli_fail(cli_context *cli, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The escape sequence for a colour on `out`, or "" where there is no colour. */
typedef enum cli_color { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_RED, CLI_GREEN, CLI_YELLOW } cli_color;
const char *etx__cli_color(const cli_context *cli, cli_color color);

/* Bytes for people: printable ASCII and UTF-8 as they are, others and the backslash as \xNN, cut to
 * `max` bytes. */
void etx__cli_bytes(FILE *to, etx_bytes bytes, size_t max);
/* A gid or a name, to be pasted back: with its backslashes as they are. */
void etx__cli_name(FILE *to, etx_bytes name);
/* ms since 1970 as "2026-01-31T12:00:00.123Z"; at least 32 bytes. */
void etx__cli_moment(uint64_t ms, char *text, size_t size);
/* "3m12s", "850ms"; at least 16 bytes. */
void etx__cli_span(uint64_t ms, char *text, size_t size);
/* ms since 1970, now. */
uint64_t etx__cli_now_ms(void);
/* "file:DIR", "file:DIR?options" -> DIR; 0, or -1 if the URL is none of a file log. */
int etx__cli_file_dir(const char *url, char *dir, size_t size);
/* A directory or URL as it may be shown: without the user's password, and options that are one. Its
 * other options say which log it is, and stay. What is too long ends with "...". */
void etx__cli_show_url(const char *url, char *to, size_t size);
/* Fills in *who, and insists on `why`. CLI_OK or CLI_BAD. */
int etx__cli_who(cli_context *cli, const char **who, const char *why);

/* The commands. */
int etx__command_log(cli_context *cli, int argc, char **argv);
int etx__command_log_show(cli_context *cli, int argc, char **argv);
int etx__command_log_verify(cli_context *cli, int argc, char **argv);
int etx__command_log_diff(cli_context *cli, int argc, char **argv);
int etx__command_log_accept_loss(cli_context *cli, int argc, char **argv);
int etx__command_log_repair(cli_context *cli, int argc, char **argv);
int etx__command_log_copy(cli_context *cli, int argc, char **argv);
int etx__command_log_backup(cli_context *cli, int argc, char **argv);
int etx__command_tx(cli_context *cli, int argc, char **argv);
int etx__command_tx_list(cli_context *cli, int argc, char **argv);
int etx__command_tx_show(cli_context *cli, int argc, char **argv);
int etx__command_tx_submit(cli_context *cli, int argc, char **argv);
int etx__command_tx_begin(cli_context *cli, int argc, char **argv);
int etx__command_tx_watch(cli_context *cli, int argc, char **argv);
int etx__command_tx_commit(cli_context *cli, int argc, char **argv);
int etx__command_tx_abort(cli_context *cli, int argc, char **argv);
int etx__command_tx_retry(cli_context *cli, int argc, char **argv);
int etx__command_tx_park(cli_context *cli, int argc, char **argv);
int etx__command_tx_resume(cli_context *cli, int argc, char **argv);
int etx__command_tx_force(cli_context *cli, int argc, char **argv);
int etx__command_cluster(cli_context *cli, int argc, char **argv);
int etx__command_homes(cli_context *cli, int argc, char **argv);
int etx__command_cluster_move(cli_context *cli, int argc, char **argv);
int etx__command_cluster_drain(cli_context *cli, int argc, char **argv);
int etx__command_top(cli_context *cli, int argc, char **argv);
int etx__command_doctor(cli_context *cli, int argc, char **argv);
int etx__command_demo(cli_context *cli, int argc, char **argv);
int etx__command_demo_coordinator(cli_context *cli, int argc, char **argv);
int etx__command_sim(cli_context *cli, int argc, char **argv);
int etx__command_token(cli_context *cli, int argc, char **argv);
int etx__command_bench(cli_context *cli, int argc, char **argv);

#endif
