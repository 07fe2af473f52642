/* A server that stands still in the middle of whatever it does. */
#ifndef ETX_TESTS_CONFORMANCE_SERVER_PAUSE_H
#define ETX_TESTS_CONFORMANCE_SERVER_PAUSE_H

#include "log_subject.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How many threads of the process still run. */
static inline int threads_running(pid_t pid) {
    char path[300];
    int running = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *at; (at = readdir(dir));) {
        char line[400] = "";
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", (int)pid, at->d_name);
        FILE *file = at->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file && fgets(line, sizeof line, file)) {
            const char *behind_name = strrchr(line, ')');
            running += behind_name && behind_name[2] != 'T';
        }
        if (file)
            fclose(file);
    }
    closedir(dir);
    return running;
}

/* The signal reaches one thread after another, and one that was not reached yet still answers. */
static inline void server_pause(pid_t pid) {
    assert_int_equal(kill(pid, SIGSTOP), 0);
    while (threads_running(pid) > 0)
        usleep(500);
}

#endif
