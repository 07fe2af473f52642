/* Where a copy of a log may go: a directory elsewhere, or a store; and what keeps what it takes. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_dir.h"
#include "log_command.h"
#include "log_open.h"

int etx__log_check_dest(cli_context *cli, const char *dest) {
    size_t len = strspn(dest, "abcdefghijklmnopqrstuvwxyz");
    char hint[160];
    if (len == 0 || dest[len] != ':' || strncmp(dest, "file:", 5) == 0 || etx__cli_is_store(dest)) {
        return CLI_OK;
    }
    snprintf(hint, sizeof hint,
             "a store's is SCHEME://...; of a directory with such a name write ./%.80s", dest);
    return etx__cli_fail(cli, hint, "'%s' is no URL of a log", dest);
}

/* The directory, or the one that is to hold it; -1: neither is there. */
static int open_nearest(const char *dir) {
    char parent[PATH_MAX];
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        return fd;
    }
    etx__dir_parent(dir, parent, sizeof parent);
    return open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Is it `dir`, or in it, by whatever path? Goes up to the root. */
static int is_inside(const char *dir, const char *dest) {
    struct stat wanted;
    struct stat found;
    struct stat below = {0};
    int inside = 0;
    int fd = stat(dir, &wanted) == 0 ? open_nearest(dest) : -1;
    while (fd >= 0 && !inside && fstat(fd, &found) == 0 &&
           (found.st_ino != below.st_ino || found.st_dev != below.st_dev)) {
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        inside = found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino;
        below = found;
        (void)close(fd);
        fd = up;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return inside;
}

/* "DIR" or "file:DIR?options" -> DIR. */
static int take_dir(const char *argument, char dir[PATH_MAX]) {
    size_t len;
    if (etx__cli_is_store(argument)) {
        return -1;
    }
    argument = etx__log_dir(argument);
    len = strcspn(argument, "?");
    if (len == 0 || len >= PATH_MAX) {
        return -1;
    }
    memcpy(dir, argument, len);
    dir[len] = '\0';
    return 0;
}

int etx__log_check_place(cli_context *cli, const char *source, const char *dest) {
    char from[PATH_MAX];
    char to[PATH_MAX];
    int code = etx__log_check_dest(cli, dest);
    if (code == CLI_OK && take_dir(source, from) == 0 && take_dir(dest, to) == 0 &&
        is_inside(from, to)) {
        code = etx__cli_fail(cli, "name a directory elsewhere",
                             "%s lies in the log's own directory", to);
    }
    return code;
}

int etx__log_check_grade(etx_log *copy, const etx_log_info *source, char *message, size_t size) {
    etx_log_info info = {.size = sizeof info};
    if (source->grade == ETX_VOLATILE || copy->ops->info(copy, &info) != 0 ||
        info.grade != ETX_VOLATILE) {
        return 0;
    }
    snprintf(message, size,
             "there the log can lose what it acknowledged (durability 'volatile': %s), and "
             "programs that ask for more do not start on it: name another place, or add --volatile",
             info.remark != NULL ? info.remark : "it forgets");
    return ETX_EINVALID;
}
