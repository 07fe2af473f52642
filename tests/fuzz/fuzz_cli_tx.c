/* Fuzzes `etx tx` and `etx doctor` on a directory that an input has made (--home file:DIR): an
 * engine reads its log, whatever the records say, and looks or operates. */
#include "command.h"
#include "directory.h"

#include <stdio.h>
#include <string.h>

static const char *const rows[][10] = {
    {"list"},
    {"list", "--ended", "--json"},
    {"list", "--state", "ACTIVE,ABORTED", "--participant", "pay", "--older-than", "1s"},
    {"show", "GID"},
    {"show", "GID", "--json"},
    {"retry", "GID"},
    {"park", "GID", "--who", "me", "--why", "because"},
    {"resume", "GID", "--who", "me", "--why", "because"},
    {"force", "GID", "--as", "abort", "--who", "me", "--why", "because"},
    {"force", "GID", "--as", "commit", "--who", "me", "--why", "because"},
    {"park", "--all", "--who", "me", "--why", "because"},
};

/* A branch's operation, done by hand. */
static void add_settling(command_args *args, fuzz_input *input) {
    static const char *const operations[] = {"forward", "commit", "undo"};
    static const char *const branches[] = {"a", "b", "0", "pay"};
    const char *const words[] = {"--who", "me", "--why", "because", "--as", "done"};
    command_add(args, "--branch");
    command_add(args, branches[fuzz_byte(input) % 4]);
    command_add(args, "--operation");
    command_add(args, operations[fuzz_byte(input) % 3]);
    for (unsigned i = 0; i < 6; i++) {
        command_add(args, words[i]);
    }
}

static void run_row(const image *from, unsigned row, const char *gid, fuzz_input *input) {
    command_args args = {0};
    char home[192];
    const char *const *words = rows[row % (sizeof rows / sizeof rows[0])];
    if (row >= sizeof rows / sizeof rows[0]) {
        command_add(&args, "force");
        command_add(&args, gid);
        add_settling(&args, input);
        words += 10 - 1; /* NULL */
    }
    for (; *words != NULL; words++) {
        command_add(&args, strcmp(*words, "GID") == 0 ? gid : *words);
    }
    snprintf(home, sizeof home, "file:%s", from->path);
    command_add(&args, "--home");
    command_add(&args, home);
    (void)command_run(etx__command_tx, "tx", &args, 0);
    command_free(&args);
}

/* The same directory, looked at by `etx doctor`. */
static void run_doctor(const image *from) {
    command_args args = {0};
    char home[192];
    snprintf(home, sizeof home, "file:%s", from->path);
    command_add(&args, "--json");
    command_add(&args, "--older-than");
    command_add(&args, "0");
    command_add(&args, "--home");
    command_add(&args, home);
    (void)command_run(etx__command_doctor, "doctor", &args, 0);
    command_free(&args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    static const char *const gids[] = {"t1", "s1", "m1", "i1"};
    const unsigned kinds = sizeof rows / sizeof rows[0] + 1;
    unsigned drawn = fuzz_byte(&input);
    const char *gid = gids[drawn / kinds % 4];
    unsigned row = drawn % kinds;
    int first = directory_descriptor();
    image from;
    image_make(&from, input);
    run_row(&from, row, gid, &input);
    run_row(&from, 1, gid, &input);
    run_doctor(&from);
    image_remove(&from);
    fuzz_check(directory_descriptor() == first);
    return 0;
}
