/* Crash images of a run. Each is a disk as a crash at one moment may leave it. It must be found
 * sound or torn, open, hold what was acknowledged and nothing that was not issued, take another
 * group, and hold that, and all that it has shown, after one more crash. */
#include "image.h"

#include <etx/log_file.h>

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

typedef struct image {
    const workload *run;
    const disk_moment *moment;
    disk *on;
    etx_log *log;
    image_tally *tally;
    memory memory; /* of the log */
    disk_rng rng;  /* of what is done with it */
    jmp_buf dead;
    uint64_t die_at;
    char wrong[600];
} image;

static uint32_t choose_none(void *user, uint32_t ways) {
    (void)user;
    (void)ways;
    return 0;
}

static void finding_note(const etx_file_finding *finding, void *user) {
    image *of = user;
    if (finding->state == ETX_FILE_CORRUPT && !of->wrong[0])
        snprintf(of->wrong, sizeof of->wrong, "verify: %s at byte %llu: %s", finding->file,
                 (unsigned long long)finding->offset, finding->text);
    else if (finding->state == ETX_FILE_TORN)
        of->tally->torn++;
}

static void image_verify(image *of) {
    char message[300] = "";
    etx_file_report report = {.size = sizeof report};
    int rc = etx_log_file_verify(IMAGE_DIR, finding_note, of, &report, message, sizeof message);
    if (rc && (rc != ETX_ENOTFOUND || of->run->history.points[of->moment->note].made))
        snprintf(of->wrong, sizeof of->wrong, "verify: %s", message);
}

static int image_open(image *of) {
    char url[160];
    char message[300] = "";
    etx_log_config config = {.size = sizeof config,
                             .url = url,
                             .node = "image",
                             .allocator = &of->memory.allocator,
                             .message = message,
                             .message_size = sizeof message};
    snprintf(url, sizeof url, "file:%s?partitions=%u&segment=%s%s", IMAGE_DIR, of->run->partitions,
             workload_segment(), of->run->options);
    int rc = etx_log_file()->open(&config, &of->log);
    if (rc) {
        of->log = NULL;
        snprintf(of->wrong, sizeof of->wrong, "REFUSED: %s", message);
    }
    return rc;
}

static void image_close(image *of, int clean) {
    if (of->log)
        etx_log_file()->close(of->log, clean);
    of->log = NULL;
}

/* Reads all partitions: each must be right for the point, and as far as `least`. */
static void image_read(image *of, const uint64_t *least, history_reading *ret_readings) {
    for (uint32_t p = 0; p < of->run->partitions && !of->wrong[0]; p++) {
        history_reading *reading = &ret_readings[p];
        history_read(reading, &of->run->history, of->moment->note, of->log, p);
        if (reading->rc || reading->wrong[0])
            snprintf(of->wrong, sizeof of->wrong, "partition %u: %s", p, reading->wrong);
        else if (reading->next < least[p])
            snprintf(of->wrong, sizeof of->wrong,
                     "partition %u: LOST: shown were slots below %llu, and now below %llu", p,
                     (unsigned long long)least[p], (unsigned long long)reading->next);
    }
}

/* One more group. */
static void image_put(image *of, const history_reading *reading, size_t len) {
    uint8_t bytes[9000];
    etx_put put = {.size = sizeof put,
                   .partition = reading->partition,
                   .predecessor = reading->next ? reading->checksum : 0,
                   .slot = reading->next,
                   .nonce = 0xfeed,
                   .batch = {bytes, len}};
    memset(bytes, 'x', sizeof bytes);
    put.checksum =
        etx_slot_checksum(put.partition, put.slot, put.nonce, put.predecessor, put.batch);
    if (reading->next && !reading->found)
        return; /* it was all trimmed away: the predecessor is not told */
    if (etx_log_file()->put(of->log, &put) != ETX_PUT_WRITTEN)
        snprintf(of->wrong, sizeof of->wrong, "one more group cannot be put: %s", put.message);
}

/* After the second opening: what was shown, and what was put since, is there. */
static void image_read_again(image *of, const history_reading *before, uint32_t puts) {
    for (uint32_t p = 0; p < of->run->partitions && !of->wrong[0]; p++) {
        history_reading reading;
        uint32_t more = before[p].next && !before[p].found ? 0 : puts;
        history_read_again(&reading, &before[p], of->log);
        if (reading.rc || reading.wrong[0])
            snprintf(of->wrong, sizeof of->wrong, "opened again: %s", reading.wrong);
        else if (reading.next != before[p].next + more)
            snprintf(of->wrong, sizeof of->wrong,
                     "LOST: partition %u ended before slot %llu, %u more were put, now it ends "
                     "before %llu",
                     p, (unsigned long long)before[p].next, more, (unsigned long long)reading.next);
    }
}

static void image_die(const disk_step *step, void *user) {
    image *of = user;
    (void)step;
    if (--of->die_at == 0)
        longjmp(of->dead, 1);
}

/* Power is lost once more, while it is opened. What the log had allocated is lost with it. */
static void image_crash_opening(image *of) {
    of->die_at = 1 + disk_rng_next(&of->rng) % 12;
    disk_watch(of->on, image_die, of);
    if (!setjmp(of->dead) && image_open(of) == 0) {
        disk_watch(of->on, NULL, NULL);
        image_close(of, 0);
        return;
    }
    of->log = NULL;
    memory_drop(&of->memory);
    of->tally->crashed++;
    disk_watch(of->on, NULL, NULL);
    disk_crash(of->on, disk_rng_choose, &of->rng);
}

/* Opens it, works with it, cuts the power, opens it again. */
static void image_work(image *of) {
    static const uint64_t nothing[HISTORY_PARTITIONS] = {0};
    history_reading readings[HISTORY_PARTITIONS];
    uint64_t way = disk_rng_next(&of->rng) % 4;
    uint32_t puts = way ? 1 : 0;
    if (image_open(of))
        return;
    image_read(of, nothing, readings);
    for (uint32_t p = 0; puts && p < of->run->partitions && !of->wrong[0]; p++)
        image_put(of, &readings[p], 1 + disk_rng_next(&of->rng) % 9000);
    image_close(of, way == 3);
    if (of->wrong[0])
        return;
    disk_crash(of->on, choose_none, NULL);
    if (image_open(of) == 0)
        image_read_again(of, readings, puts);
    image_close(of, 0);
}

static void image_judge(image *of) {
    of->tally->images++;
    image_verify(of);
    if (!of->wrong[0] && disk_rng_next(&of->rng) % 8 == 0)
        image_crash_opening(of);
    if (!of->wrong[0])
        image_work(of);
    if (!of->wrong[0] && disk_descriptors(of->on))
        snprintf(of->wrong, sizeof of->wrong, "a descriptor leaks");
    if (!of->wrong[0] && (of->memory.outstanding || of->memory.wrong))
        snprintf(of->wrong, sizeof of->wrong, "memory leaks");
}

typedef struct images {
    const workload *run;
    uint64_t seed;
    uint32_t steps;
    image_tally *tally;
} images;

static void image_tell(const images *of, const image *made, size_t at, const char *choice) {
    const disk_moment *moment = made->moment;
    of->tally->violations++;
    printf(
        "VIOLATION: %s\n  in the image of moment %zu of %zu (%s %s %s, byte %llu, %zu bytes), "
        "choice %s\n  replay: scripts/crash-images --seed %llu --steps %u --moment %zu\n",
        made->wrong, at, of->run->journal.count, disk_kind_name(moment->kind), moment->name,
        moment->to, (unsigned long long)moment->offset, moment->len, choice,
        (unsigned long long)of->seed, of->steps, at);
}

/* `choose` NULL: only the process dies, the cache stays. */
static void image_make(const images *of,
                       size_t at,
                       disk_choose_fn choose,
                       void *user,
                       const char *choice) {
    image made = {.run = of->run,
                  .moment = &of->run->journal.moments[at],
                  .tally = of->tally,
                  .rng = {.state = at * 1000003 + of->tally->images}};
    memory_make(&made.memory);
    made.on = disk_clone(made.moment->state, IMAGE_MOUNT);
    if (choose)
        disk_crash(made.on, choose, user);
    image_judge(&made);
    if (made.wrong[0])
        image_tell(of, &made, at, choice);
    disk_free(made.on);
}

/* How many images are there of a moment? Counted where everything is kept; beyond `most`: most. */
static uint64_t ways_count(const disk_moment *moment, uint64_t most) {
    disk_counter counter = {.ways = 1, .most = most};
    disk *probe = disk_clone(moment->state, NULL);
    disk_crash(probe, disk_counter_choose, &counter);
    disk_free(probe);
    return counter.ways;
}

static void moment_all(const images *of, size_t at) {
    disk_script script = {0};
    char choice[32];
    uint32_t number = 0;
    do {
        snprintf(choice, sizeof choice, "%u of all", number++);
        image_make(of, at, disk_script_choose, &script, choice);
    } while (of->tally->violations < 10 && disk_script_next(&script));
}

static void moment_samples(const images *of, size_t at, uint32_t samples) {
    char choice[48];
    for (uint32_t i = 0; i < samples; i++) {
        disk_rng rng = {.state = of->seed * 7919 + at * 104729 + i};
        snprintf(choice, sizeof choice, "sample %u", i);
        image_make(of, at, disk_rng_choose, &rng, choice);
    }
}

void images_judge(const workload *run,
                  uint64_t seed,
                  uint32_t steps,
                  size_t from,
                  size_t to,
                  uint32_t all,
                  uint32_t samples,
                  image_tally *tally) {
    images of = {.run = run, .seed = seed, .steps = steps, .tally = tally};
    for (size_t at = from; at < to && at < run->journal.count; at++) {
        if (tally->images >= tally->images_max || tally->violations >= 10)
            return;
        image_make(&of, at, NULL, NULL, "a kill");
        if (ways_count(&run->journal.moments[at], (uint64_t)all + 1) <= all)
            moment_all(&of, at);
        else
            moment_samples(&of, at, samples);
    }
}
