/* Runs stories: commands in, the trace beneath each compared with what stands there. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

typedef struct text {
    char *bytes;
    size_t len;
} text;

static text read_all(const char *path) {
    text all = {NULL, 0};
    FILE *from = fopen(path, "r");
    FILE *to = open_memstream(&all.bytes, &all.len);
    if (from == NULL || to == NULL) {
        perror(path);
        exit(2);
    }
    for (int c = fgetc(from); c != EOF; c = fgetc(from)) {
        fputc(c, to);
    }
    fclose(from);
    fclose(to);
    return all;
}

static int is_prefix(const text *told, const text *story) {
    return told->len <= story->len && memcmp(told->bytes, story->bytes, told->len) == 0;
}

/* The story told anew: comments and commands as they are, beneath each what it brings. Where it is
 * another one it ends (but for an update): what comes after a broken promise breaks anything. */
static int tell(const char *path, const text *story, int update, text *told, FILE *to) {
    world *w = NULL;
    int failures = 0;
    int same = 1;
    for (const char *line = story->bytes; *line != 0 && same;) {
        size_t len = strcspn(line, "\n");
        int more = line[len] == '\n';
        if (line[0] == '#' || len == 0) {
            fprintf(to, "%.*s\n", (int)len, line);
        } else if (line[0] != ' ') {
            char *command = strndup(line, len);
            fprintf(to, "%s\n", command);
            if (story_do(&w, command, to) != 0) {
                fprintf(stderr, "%s: not understood: %s\n", path, command);
                failures++;
            }
            free(command);
        }
        line += len + (size_t)more;
        fflush(to);
        same = update || is_prefix(told, story);
    }
    if (w != NULL) {
        failures += w->failures;
        w->trace = NULL;
        failures += same ? prefix_check(w, path) : 0;
        world_free(w);
    }
    return failures;
}

static void show_difference(const char *path, const char *is, const char *was) {
    int number = 1;
    while (*is != 0 && *was != 0) {
        size_t is_len = strcspn(is, "\n");
        size_t was_len = strcspn(was, "\n");
        if (is_len != was_len || memcmp(is, was, is_len) != 0) {
            break;
        }
        is += is_len + (is[is_len] != 0);
        was += was_len + (was[was_len] != 0);
        number++;
    }
    fprintf(stderr, "%s:%d:\n  expected: %.*s\n  got:      %.*s\n", path, number,
            (int)strcspn(was, "\n"), was, (int)strcspn(is, "\n"), is);
}

static int run(const char *path, int update) {
    text story = read_all(path);
    text told = {NULL, 0};
    FILE *to = open_memstream(&told.bytes, &told.len);
    if (to == NULL) {
        perror(path);
        exit(2);
    }
    int failures = tell(path, &story, update, &told, to);
    fclose(to);
    int same = told.len == story.len && memcmp(told.bytes, story.bytes, told.len) == 0;
    if (!same && update) {
        FILE *file = fopen(path, "w");
        if (file == NULL || fwrite(told.bytes, 1, told.len, file) != told.len ||
            fclose(file) != 0) {
            perror(path);
            exit(2);
        }
    } else if (!same) {
        show_difference(path, told.bytes, story.bytes);
        failures++;
    }
    free(story.bytes);
    free(told.bytes);
    return failures;
}

int main(int argc, char **argv) {
    int update = argc > 1 && strcmp(argv[1], "--update") == 0;
    int failed = 0;
    for (int i = 1 + update; i < argc; i++) {
        failed += run(argv[i], update) != 0;
    }
    printf("%d stories, %d failed\n", argc - 1 - update, failed);
    return failed == 0 ? 0 : 1;
}
