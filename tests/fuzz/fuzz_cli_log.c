/* Fuzzes `etx log` on a directory that an input has made: show, verify, backup and repair. */
#include "command.h"
#include "directory.h"

static const struct {
    const char *arg[5];
    int dest;
    int plain;
} rows[] = {
    {{"show"}, 0, 1},
    {{"show", "--json"}, 0, 1},
    {{"show", "--type", "begin", "--json"}, 0, 1},
    {{"show", "--gid", "t1"}, 0, 1},
    {{"show", "--partition", "1"}, 0, 1},
    {{"verify"}, 0, 0},
    {{"verify", "--json"}, 0, 1},
    {{"backup"}, 1, 0},
    {{"backup", "--new-id", "--json"}, 1, 1},
    {{"repair"}, 1, 0},
    {{"repair", "--json"}, 1, 1},
    {{"repair", "--accept-loss", "--json"}, 1, 1},
};

static void run_row(const image *from, unsigned row) {
    command_args args = {0};
    char path[192];
    for (unsigned i = 0; i < 5 && rows[row].arg[i] != NULL; i++) {
        command_add(&args, rows[row].arg[i]);
    }
    command_add(&args, from->path);
    if (rows[row].dest) {
        command_add(&args, directory_path(from, "dest", path, sizeof path));
    }
    (void)command_run(etx__command_log, "log", &args, rows[row].plain);
    command_free(&args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    unsigned row = fuzz_byte(&input) % (sizeof rows / sizeof rows[0]);
    int first = directory_descriptor();
    image from;
    image_make(&from, input);
    run_row(&from, row);
    run_row(&from, 0);
    image_remove(&from);
    fuzz_check(directory_descriptor() == first);
    return 0;
}
