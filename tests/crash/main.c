/* crash_images: makes crash images of runs on the file log, and turns its bits over, one by one. */
#include "engine_images.h"
#include "flip.h"
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct options {
    uint64_t images;
    uint64_t flips; /* every so many bits; 0: none */
    uint64_t flips_from;
    uint64_t flips_most;
    uint64_t seed;
    uint64_t steps;
    uint64_t samples;
    uint64_t all;
    uint64_t moment;
    uint64_t engine; /* images of a run of the whole engine */
    int one_moment;
} options;

static const char usage[] =
    "usage: crash_images [OPTION VALUE]...\n"
    "  --images N    crash images to make (100000)\n"
    "  --seed S      the first seed (1); 0 is the scripted run alone\n"
    "  --steps N     steps of a seeded run (60)\n"
    "  --all N       all images of a moment that has at most so many (4096)\n"
    "  --samples N   images of a moment that has more (48)\n"
    "  --moment M    only this moment of run S: what a violation prints\n"
    "  --flips N     turn every N-th bit of two logs (0: none)\n"
    "  --engine N    crash images of a run of the whole engine (0)\n"
    "  --flips-from N --flips-most N   begin at this bit; so many of each log\n";

static int options_read(int argc, char **argv, options *ret_options) {
    const struct {
        const char *name;
        uint64_t *value;
    } known[] = {
        {"--images", &ret_options->images},         {"--seed", &ret_options->seed},
        {"--steps", &ret_options->steps},           {"--all", &ret_options->all},
        {"--samples", &ret_options->samples},       {"--moment", &ret_options->moment},
        {"--engine", &ret_options->engine},         {"--flips", &ret_options->flips},
        {"--flips-from", &ret_options->flips_from}, {"--flips-most", &ret_options->flips_most}};
    for (int i = 1; i < argc; i += 2) {
        size_t k = 0;
        while (k < sizeof known / sizeof known[0] && strcmp(argv[i], known[k].name) != 0)
            k++;
        if (k == sizeof known / sizeof known[0] || i + 1 == argc)
            return -1;
        *known[k].value = strtoull(argv[i + 1], NULL, 10);
        if (known[k].value == &ret_options->moment)
            ret_options->one_moment = 1;
    }
    return 0;
}

static void run_judge(const options *wanted, uint64_t seed, image_tally *tally) {
    workload run;
    size_t from = wanted->one_moment ? (size_t)wanted->moment : 0;
    workload_run(&run, seed, (uint32_t)wanted->steps);
    if (run.wrong[0]) {
        tally->violations++;
        printf(
            "VIOLATION: in the run itself: %s\n  replay: scripts/crash-images --seed %llu "
            "--steps %llu\n",
            run.wrong, (unsigned long long)seed, (unsigned long long)wanted->steps);
    } else {
        images_judge(&run, seed, (uint32_t)wanted->steps, from,
                     wanted->one_moment ? from + 1 : run.journal.count, (uint32_t)wanted->all,
                     (uint32_t)wanted->samples, tally);
    }
    workload_free(&run);
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    options wanted = {.images = 100000, .seed = 1, .steps = 60, .samples = 48, .all = 4096};
    image_tally tally = {0};
    flip_tally flips = {0};
    engine_tally engine = {0};
    double begun = now_s();
    uint64_t violations;
    uint64_t runs = 0;
    uint64_t seed;
    if (options_read(argc, argv, &wanted)) {
        fputs(usage, stderr);
        return 1;
    }
    seed = wanted.seed;
    tally.images_max = wanted.one_moment ? UINT64_MAX : wanted.images;
    if (seed == 1 && wanted.images) {
        run_judge(&wanted, 0, &tally);
        runs++;
    }
    do {
        if (tally.images < tally.images_max && tally.violations < 10) {
            run_judge(&wanted, seed++, &tally);
            runs++;
        }
    } while (!wanted.one_moment && wanted.seed && tally.images < tally.images_max &&
             tally.violations < 10);
    for (int clean = 0; wanted.flips && clean < 2; clean++)
        flips_judge(clean, wanted.flips_from, wanted.flips, wanted.flips_most, &flips);
    if (wanted.engine)
        engine_images_judge(wanted.seed, wanted.engine, &engine);
    violations = tally.violations + flips.violations + engine.violations;
    printf(
        "%llu crash images of %llu runs (%llu torn, %llu crashed again while they were opened), ",
        (unsigned long long)tally.images, (unsigned long long)runs, (unsigned long long)tally.torn,
        (unsigned long long)tally.crashed);
    printf(
        "%llu of an engine, %llu bits of %llu bytes turned over (%llu refused, %llu harmless), "
        "%llu violations, %.0f s\n",
        (unsigned long long)engine.images, (unsigned long long)flips.flips,
        (unsigned long long)flips.bytes, (unsigned long long)flips.refused,
        (unsigned long long)flips.harmless, (unsigned long long)violations, now_s() - begun);
    return violations != 0;
}
