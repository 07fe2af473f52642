/* `etx sim`: runs etx-sim, a program of its own, since the library in it stands on a simulated
 * machine. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* Where it may be: as built, installed and moved (both seen from the directory of `etx`), or
 * installed. */
static const char *const places[] = {"../tests/simulation/etx-sim", "../libexec/etx/etx-sim",
                                     ETX_LIBEXEC "/etx-sim"};

static int own_directory(char *path, size_t size) {
    ssize_t len = readlink("/proc/self/exe", path, size - 1);
    if (len <= 0) {
        return -1;
    }
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return -1;
    }
    *slash = '\0';
    return 0;
}

/* Who asks for help where the program is not is told what it would do. */
static int asks_for_help(int argc, char **argv) {
    int i;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return 1;
        }
    }
    return 0;
}

static int explain(void) {
    (void)puts(
        "Usage: etx sim [--seeds A..B | --seed N | --explore CONFIG] [OPTION...]\n"
        "\n"
        "Looks for a broken promise: whole nodes, made of the real library, in a simulated\n"
        "world. A program of its own does it, etx-sim, which is not installed here: it\n"
        "comes with the whole of ETX (meson install -C build), and then tells its options.");
    return 0;
}

int etx__command_sim(cli_context *cli, int argc, char **argv) {
    char directory[PATH_MAX];
    char path[PATH_MAX + 64];
    size_t i;
    if (cli->completes) {
        return CLI_OK; /* only that program knows its options */
    }
    if (own_directory(directory, sizeof directory) != 0) {
        return etx__cli_fail(cli, NULL, "where is this program? /proc/self/exe cannot be read");
    }
    for (i = 0; i < sizeof places / sizeof places[0]; i++) {
        int absolute = places[i][0] == '/';
        (void)snprintf(path, sizeof path, "%s%s%s", absolute ? "" : directory, absolute ? "" : "/",
                       places[i]);
        if (access(path, X_OK) == 0) {
            (void)fflush(NULL);
            (void)execv(path, argv);
            return etx__cli_fail(cli, NULL, "%s: %s", path, strerror(errno));
        }
    }
    if (asks_for_help(argc, argv)) {
        return explain();
    }
    return etx__cli_fail(cli, "install ETX as a whole: meson install -C build",
                         "etx-sim, which this command runs, is not at %s", path);
}
