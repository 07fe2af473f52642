/* Makes the first inputs of the fuzz corpora: "seeds CORPUS LOG-DIRECTORY STORY...", from logs of
 * tests/formats and the stories of tests/golden. Run it when a format or a target's input changes;
 * what fuzzing found worth keeping is put beside them. */
#include "../golden/world.h"
#include "image.h"

#include <etx/codec_json.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SEED_MAX = 1 << 16 };

typedef struct seed {
    uint8_t bytes[SEED_MAX];
    size_t len;
} seed;

static void add(seed *to, const void *bytes, size_t len) {
    fuzz_check(to->len + len <= SEED_MAX);
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
}

static void add_number(seed *to, uint64_t value, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        add(to, &byte, 1);
    }
}

static void save(const seed *from, const char *corpus, const char *target, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", corpus, target);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/%s/%s", corpus, target, name);
    FILE *file = fopen(path, "wb");
    fuzz_check_say(file != NULL, path);
    fuzz_check(fwrite(from->bytes, 1, from->len, file) == from->len);
    fclose(file);
}

/* ---- stories */

static world *play(const char *path) {
    char line[1024];
    world *w = NULL;
    FILE *trace = fopen("/dev/null", "w");
    FILE *story = fopen(path, "r");
    fuzz_check_say(story != NULL && trace != NULL, path);
    while (fgets(line, sizeof line, story) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '#' && line[0] != ' ' && line[0] != '\0') {
            fuzz_check_say(story_do(&w, line, trace) == 0, line);
        }
    }
    fclose(story);
    if (w != NULL) {
        w->trace = NULL;
    }
    fclose(trace);
    return w;
}

/* A few of each type: small inputs are quick to run, and mutate well. */
enum { TYPES = ETX_RECORD_LOSS + 1, EACH_MAX = 5 };

typedef struct chosen {
    unsigned count[TYPES];
    size_t len[TYPES][EACH_MAX];
} chosen;

static void add_line(seed *to, const world_record *from) {
    etx_record_room room = {0};
    etx_record record;
    size_t used;
    etx_bytes bytes = {from->bytes, from->len};
    fuzz_check(fuzz_decode(etx_codec_binary(), bytes, &room, &record, &used) == 0);
    etx_bytes line = fuzz_encode(etx_codec_json(), &record);
    add(to, line.data, line.len);
    fuzz_free(line);
    etx_record_room_free(&room);
}

/* Is this record of another length than those of its type that were chosen? */
static int choose(chosen *known, const world_record *record) {
    unsigned type = record->bytes[record->bytes[0] < 128 ? 1 : 2];
    fuzz_check(type < TYPES);
    for (unsigned i = 0; i < known->count[type]; i++) {
        if (known->len[type][i] == record->len) {
            return 0;
        }
    }
    if (known->count[type] == EACH_MAX) {
        return 0;
    }
    known->len[type][known->count[type]++] = record->len;
    return 1;
}

static void seeds_of_record(const char *corpus, chosen *known, const world_record *record) {
    char name[64];
    unsigned type = record->bytes[record->bytes[0] < 128 ? 1 : 2];
    seed *made = calloc(2, sizeof *made);
    fuzz_check(made != NULL);
    if (choose(known, record)) {
        snprintf(name, sizeof name, "%s-%u", etx_record_name(type), known->count[type]);
        add(&made[0], record->bytes, record->len);
        add_line(&made[1], record);
        save(&made[0], corpus, "record", name);
        save(&made[1], corpus, "json", name);
    }
    free(made);
}

/* Three records to a slot, in a directory that is closed in order. */
static void directory_of(const world *w, seed *to) {
    add_number(to, 0, 2); /* what is done with it; one partition */
    for (uint32_t i = 0; i < w->records && i < 90; i += 3) {
        size_t len = 1;
        for (uint32_t k = i; k < i + 3 && k < w->records; k++) {
            len += w->record[k].len;
        }
        add_number(to, IMAGE_PUT, 2);
        add_number(to, len, 2);
        add_number(to, 1, 1); /* the binary codec */
        for (uint32_t k = i; k < i + 3 && k < w->records; k++) {
            add(to, w->record[k].bytes, w->record[k].len);
        }
    }
    add_number(to, IMAGE_CLOSE, 2);
    add_number(to, 1, 1);
}

static void seeds_of_story(const char *corpus, chosen *known, const char *path) {
    const char *slash = strrchr(path, '/');
    char name[64];
    seed *made = calloc(2, sizeof *made);
    world *w = play(path);
    fuzz_check(made != NULL);
    snprintf(name, sizeof name, "story-%.*s", (int)strcspn(slash + 1, "."), slash + 1);
    add_number(&made[0], 0, 1); /* how the core is set up */
    for (uint32_t i = 0; w != NULL && i < w->records; i++) {
        seeds_of_record(corpus, known, &w->record[i]);
        if (made[0].len < 1024) {
            add(&made[0], w->record[i].bytes, w->record[i].len);
        }
    }
    if (w != NULL && w->records > 0) {
        directory_of(w, &made[1]);
        save(&made[0], corpus, "fold", name);
        save(&made[1], corpus, "directory", name);
    }
    if (w != NULL) {
        world_free(w);
    }
    free(made);
}

/* ---- logs of earlier versions */

static size_t load(const char *dir, const char *name, long offset, uint8_t *bytes, size_t len) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "rb");
    fuzz_check_say(file != NULL && fseek(file, offset, SEEK_SET) == 0, path);
    size_t count = fread(bytes, 1, len, file);
    fclose(file);
    return count;
}

static void seeds_of_log(const char *corpus, const char *dir) {
    static const struct {
        const char *file;
        long offset;
        const char *name;
        size_t len;
        const char *target;
        uint8_t how;
    } rows[] = {
        {"torn/home", 0, "home", 512, "sealed", 0},
        {"clean/home", 0, "home-clean", 512, "sealed", 0},
        {"clean/p00.state", 0, "state", 512, "sealed", 6},
        {"clean/p01.state", 4096, "state-second", 512, "sealed", 6},
        {"torn/p00-00000001.seg", 0, "header", 512, "sealed", 0},
        {"torn/p00-00000001.seg", 4096, "group", 4096, "group", 8},
        {"torn/p00-00000001.seg", 8192, "group-long", 12288, "group", 8},
        {"torn/p00-00000001.seg", 20480, "group-torn", 12288, "group", 8},
        {"clean/p01-00000001.seg", 4096, "group-clean", 4096, "group", 8},
        {"clean/p01-00000001.seg", 4096, "group-restamped", 4096, "group", 15},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        seed *made = calloc(1, sizeof *made);
        fuzz_check(made != NULL);
        add_number(made, rows[i].how, rows[i].how & 8 ? 2 : 1);
        made->len += load(dir, rows[i].file, rows[i].offset, made->bytes + made->len, rows[i].len);
        save(made, corpus, rows[i].target, rows[i].name);
        free(made);
    }
}

/* ---- steps and words */

typedef struct row {
    const char *target;
    const char *name;
    size_t len;
    uint8_t bytes[48];
} row;

static void seeds_of_rows(const char *corpus) {
    static const row rows[] = {
        {"segment", "puts", 17, {4, 3, 0, 10, 'a', 'b', 'c', 1, 0, 0, 9, 1, 1, 0, 30, 0, 7}},
        {"segment", "torn", 14, {4, 0, 0, 5, 'a', 'b', 'c', 'd', 'e', 7, 2, 90, 1, 6}},
        {"segment", "stale", 10, {3, 0, 3, 0, 8, 1, 2, 0, 200, 1}},
        {"segment", "flip", 12, {2, 0, 0, 5, 'a', 'b', 'c', 'd', 'e', 4, 20, 1}},
        {"segment", "wrong", 10, {3, 0, 0, 1, 'a', 0, 7, 65, 9, 0}},
        {"segment", "patched", 11, {3, 0, 0, 1, 'a', 0, 5, 24, 0, 64, 1}},
        /* torn, as tests/formats has it */
        {"directory", "torn", 16, {0, 0, 1, 0, 2, 0, 1, 0, 140, 0, 2, 0, 0x28, 0x23, 12, 0}},
        /* a change of segments, trimmed and closed, as tests/formats has it */
        {"directory", "clean", 22, {1, 0, 1,  0, 0, 12, 1,  0, 0, 12, 1,
                                    0, 0, 12, 1, 0, 0,  12, 1, 0, 0,  12}},
        {"directory", "spares", 10, {5, 0, 0, 0, 1, 0, 1, 3, 0, 3}},
        {"directory", "trimmed", 12, {3, 0, 1, 0, 1, 0, 1, 0, 2, 0, 4, 0}},
        {"directory", "flip-home", 7, {3, 0, 7, 0, 20, 0, 0}},
        {"directory", "flip-state", 11, {3, 0, 1, 0, 1, 0, 7, 8, 40, 0, 0}},
        {"directory", "flip-group", 12, {4, 0, 1, 0, 1, 0, 7, 16, 200, 16, 0, 3}},
        {"directory", "cut", 6, {4, 0, 9, 16, 0, 8}},
        {"directory", "removed", 4, {4, 0, 10, 8}},
        {"directory", "strange", 9, {3, 0, 11, 15, 4, 'n', 'a', 'm', 'e'}},
        {"directory", "copying", 5, {3, 0, 11, 0, 0}},
        {"directory", "state", 9, {4, 0, 12, 0, 0, 1, 1, 2, 1}},
        {"directory", "copied", 5, {3, 1, 13, 16, 17}},
    };
    static const char *const urls[] = {
        "file:etx",
        "file:///var/lib/shop/etx",
        "file:/d?partitions=4&segment=16M&direct=0",
        "file:d?segment=1048576&partitions=256&direct=1&",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        seed made = {.len = rows[i].len};
        memcpy(made.bytes, rows[i].bytes, rows[i].len);
        save(&made, corpus, rows[i].target, rows[i].name);
    }
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char name[16];
        seed made = {0};
        snprintf(name, sizeof name, "url-%zu", i + 1);
        add(&made, urls[i], strlen(urls[i]));
        save(&made, corpus, "url", name);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs("usage: seeds CORPUS LOG-DIRECTORY STORY...\n", stderr);
        return 1;
    }
    chosen known = {0};
    (void)mkdir(argv[1], 0755);
    seeds_of_rows(argv[1]);
    seeds_of_log(argv[1], argv[2]);
    for (int i = 3; i < argc; i++) {
        seeds_of_story(argv[1], &known, argv[i]);
    }
    return 0;
}
