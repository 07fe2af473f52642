/* Directories that demo and bench make and remove. */
#include "cli_dir.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 16 };

int etx__dir_make_temporary(const char *parent, const char *name, char *path, size_t size) {
    int len = snprintf(path, size, "%s/%s-XXXXXX", parent, name);
    if (len < 0 || (size_t)len >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return mkdtemp(path) != NULL ? 0 : -1;
}

int etx__dir_check_empty(const char *path) {
    const struct dirent *entry;
    DIR *dir = opendir(path);
    int rc = 0;
    if (dir == NULL) {
        return errno == ENOENT ? 0 : -1;
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            rc = -1;
        }
    }
    (void)closedir(dir);
    if (rc != 0) {
        errno = ENOTEMPTY;
    }
    return rc;
}

int etx__dir_make_empty(const char *path) {
    if (mkdir(path, 0700) == 0) {
        return 0;
    }
    return errno == EEXIST ? etx__dir_check_empty(path) : -1;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

int etx__dir_remove(const char *path) {
    return nftw(path, remove_entry, DESCRIPTORS_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void etx__dir_parent(const char *path, char *parent, size_t size) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    if (len == 0) {
        snprintf(parent, size, ".");
    } else {
        snprintf(parent, size, "%.*s", (int)len, path);
    }
}

void etx__dir_guard(void) {
    struct sigaction terminates;
    struct sigaction hangs_up;
    (void)signal(SIGPIPE, SIG_IGN);
    if (sigaction(SIGTERM, NULL, &terminates) == 0 && sigaction(SIGHUP, NULL, &hangs_up) == 0 &&
        hangs_up.sa_handler == SIG_DFL) { /* ignored: it was started with nohup */
        (void)sigaction(SIGHUP, &terminates, NULL);
    }
}
