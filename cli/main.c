/* The command `etx`: demo, bench, and looking after logs and transactions. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static volatile sig_atomic_t stop_asked;

static const cli_entry commands[] = {
    {"demo", etx__command_demo,
     "Move money between three databases while the coordinator is killed"},
    {"log", etx__command_log, "Show, verify, back up, copy and repair a log"},
    {"tx", etx__command_tx, "List, show, retry, park, resume and force transactions"},
    {"doctor", etx__command_doctor, "Say what is wrong with a server or a log, and what to do"},
#ifdef ETX_WITH_SERVER
    {"top", etx__command_top, "Watch what a server etxd does, as it does it"},
    {"cluster", etx__command_cluster, "Show the servers that share a log, and who has what"},
    {"homes", etx__command_homes, "Show where a server keeps transactions, and why there"},
    {"token", etx__command_token, "Make tokens for clients of the server etxd"},
#endif
    {"bench", etx__command_bench, "Measure transactions per second and latency on this machine"},
    {"sim", etx__command_sim, "Look for a broken promise: the library in a simulated world"},
    {"demo-coordinator", etx__command_demo_coordinator, NULL},
    {NULL, NULL, NULL},
};

static const cli_group root = {
    "ETX makes a change that spans several services or databases happen everywhere or nowhere.",
    commands,
    "  etx demo                          see it work through twenty kills, in ten seconds\n"
    "  etx log show /var/lib/shop/etx    read what a log says\n"
    "  etx tx list --home file:/var/lib/shop/etx\n"
    "  etx help log show                 the same as: etx log show --help\n",
};

static void note_signal(int number) {
    (void)number;
    stop_asked = 1;
}

/* The first signal asks for an orderly end; the second is not caught. A file that may not grow is
 * an error like others, which is told. */
static void catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note_signal;
    action.sa_flags = (int)SA_RESETHAND;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGXFSZ, SIG_IGN);
}

static int wants_color(int fd) {
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return isatty(fd) && (no_color == NULL || no_color[0] == '\0') &&
           (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

static int print_version(cli_context *cli) {
    fprintf(cli->out, "etx %d.%d.%d (libetx %s)\n", ETX_VERSION_MAJOR, ETX_VERSION_MINOR,
            ETX_VERSION_PATCH, etx_version());
    return CLI_OK;
}

/* A stream that was closed before the start stays out of use: a file or a client would take its
 * number, and be given what is printed. To read from it, or to write, is an error as before. */
static void keep_streams_closed(void) {
    int fd;
    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

int main(int argc, char **argv) {
    cli_context cli = {.out = stdout, .err = stderr, .stop = &stop_asked, .path = "etx"};
    int code;
    keep_streams_closed();
    cli.program = argc > 0 && strchr(argv[0], '/') != NULL ? argv[0] : "etx";
    cli.color = wants_color(STDOUT_FILENO);
    cli.color_err = wants_color(STDERR_FILENO);
    catch_signals();
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        code = print_version(&cli);
    } else {
        cli.completes = argc > 1 && strcmp(argv[1], "__complete") == 0;
        code = etx__cli_dispatch(&cli, &root, argc - cli.completes, argv + cli.completes);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "etx: writing the output failed\n");
        code = CLI_BAD;
    }
    return code;
}
