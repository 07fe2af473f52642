/* Gives files to a fuzz target, without libFuzzer: "replay PATH...", where a directory stands for
 * all files in it. Thus every compiler runs the corpus as a test. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int replay_file(const char *path, long size) {
    FILE *file = fopen(path, "rb");
    /* exactly as large as the input, so that a sanitizer sees what is read behind its end */
    uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
    int done = file != NULL && bytes != NULL && fread(bytes, 1, (size_t)size, file) == (size_t)size;
    if (file != NULL) {
        fclose(file);
    }
    if (done) {
        LLVMFuzzerTestOneInput(bytes, (size_t)size);
    } else {
        perror(path);
    }
    free(bytes);
    return done ? 1 : -1;
}

/* How many files were replayed; -1 if one could not be read. */
static int replay(const char *path) {
    struct stat info;
    int count = 0;
    if (stat(path, &info) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(info.st_mode)) {
        return replay_file(path, (long)info.st_size);
    }
    struct dirent **names = NULL;
    int found = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char below[4096];
        snprintf(below, sizeof below, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && count >= 0) {
            int more = stat(below, &info) == 0 ? replay_file(below, (long)info.st_size) : -1;
            count = more < 0 ? -1 : count + more;
        }
        free(names[i]);
    }
    free(names);
    return found < 0 ? -1 : count;
}

int main(int argc, char **argv) {
    int sum = 0;
    for (int i = 1; i < argc; i++) {
        int count = replay(argv[i]);
        if (count < 0) {
            return 1;
        }
        sum += count;
    }
    if (sum == 0) {
        fputs("usage: replay PATH...; there was nothing to replay\n", stderr);
        return 1;
    }
    printf("%d inputs\n", sum);
    return 0;
}
