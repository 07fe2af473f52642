/* Files that settings name: regular ones of a bounded size, so that none is waited for without end,
 * or read without one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

int etxd_file_open(const char *path, uint64_t most, int *ret_fd, char *why, size_t size) {
    struct stat state;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &state) != 0) {
        snprintf(why, size, "%s", strerror(errno));
    } else if (!S_ISREG(state.st_mode)) {
        snprintf(why, size, "%s",
                 S_ISDIR(state.st_mode) ? "it is a directory" : "it is no regular file");
    } else if ((uint64_t)state.st_size > most) {
        snprintf(why, size, "it has more than %llu bytes", (unsigned long long)most);
    } else {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int etxd_files_judge(const etxd_config *config, char *message) {
    const etxd_setting *row;
    for (row = etxd_settings(); row->heading != NULL || row->name != NULL; row++) {
        const void *member = (const char *)config + row->offset;
        const char *path = row->flags & ETXD_IS_FILE ? *(char *const *)member : "";
        char why[128];
        int fd = -1;
        if (path[0] != '\0' && access(path, F_OK) == 0 &&
            etxd_file_open(path, ETXD_FILE_MAX, &fd, why, sizeof why) != 0) {
            snprintf(message, ETXD_MESSAGE_MAX, "%s %.200s: %s", row->name, path, why);
            return -1;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return 0;
}
