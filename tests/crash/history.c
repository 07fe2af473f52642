/* The points of a run, and the reading of a log against them. */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *block, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return block;
    *capacity = *capacity ? *capacity * 2 : 64;
    block = realloc(block, *capacity * size);
    if (!block)
        abort();
    return block;
}

void history_free(history *done) {
    free(done->points);
    free(done->slots);
    *done = (history){0};
}

history_point *history_add(history *on) {
    on->points = grown(on->points, on->count, &on->capacity, sizeof *on->points);
    on->points[on->count] = on->count ? on->points[on->count - 1] : (history_point){0};
    return &on->points[on->count++];
}

void history_issue(history *on, const etx_put *put) {
    history_point *point = history_add(on);
    if (point->of[put->partition].issued < put->slot + 1)
        point->of[put->partition].issued = put->slot + 1;
    on->slots = grown(on->slots, on->slot_count, &on->slot_capacity, sizeof *on->slots);
    on->slots[on->slot_count++] = (history_slot){.partition = put->partition,
                                                 .checksum = put->checksum,
                                                 .slot = put->slot,
                                                 .since = on->count - 1};
}

int history_find(const history *on,
                 uint64_t point,
                 uint32_t partition,
                 uint64_t slot,
                 uint32_t *ret_checksum) {
    for (size_t i = on->slot_count; i > 0; i--) {
        const history_slot *at = &on->slots[i - 1];
        if (at->partition == partition && at->slot == slot && at->since <= point) {
            *ret_checksum = at->checksum;
            return 1;
        }
    }
    return 0;
}

static int slot_judge(const etx_slot *slot, void *user) {
    history_reading *reading = user;
    uint32_t checksum = 0;
    if (etx_slot_checksum(slot->partition, slot->slot, slot->nonce, slot->predecessor,
                          slot->batch) != slot->checksum)
        snprintf(reading->wrong, sizeof reading->wrong, "slot %llu has not its own checksum",
                 (unsigned long long)slot->slot);
    else if (reading->found && slot->slot != reading->next)
        snprintf(reading->wrong, sizeof reading->wrong, "slot %llu follows %llu",
                 (unsigned long long)slot->slot, (unsigned long long)reading->next);
    else if (slot->slot < reading->own &&
             slot->slot < reading->on->points[reading->point].of[reading->partition].issued &&
             (!history_find(reading->on, reading->point, reading->partition, slot->slot,
                            &checksum) ||
              checksum != slot->checksum))
        snprintf(reading->wrong, sizeof reading->wrong, "slot %llu holds what it was not given",
                 (unsigned long long)slot->slot);
    if (!reading->found++)
        reading->mark = slot->slot;
    reading->next = slot->slot + 1;
    reading->checksum = slot->checksum;
    return reading->wrong[0] ? 1 : 0;
}

static void ends_judge(history_reading *reading) {
    const history_point *point = &reading->on->points[reading->point];
    unsigned long long acknowledged = point->of[reading->partition].acknowledged;
    unsigned long long issued = point->of[reading->partition].issued;
    unsigned long long least = point->of[reading->partition].mark_least;
    unsigned long long most = point->of[reading->partition].mark_most;
    if (reading->next < acknowledged)
        snprintf(reading->wrong, sizeof reading->wrong,
                 "LOST: it ends before slot %llu, but slots below %llu were acknowledged",
                 (unsigned long long)reading->next, acknowledged);
    else if (reading->own == UINT64_MAX && reading->next > issued)
        snprintf(reading->wrong, sizeof reading->wrong,
                 "it ends before slot %llu, but slots from %llu on were never issued",
                 (unsigned long long)reading->next, issued);
    else if (reading->mark < least || reading->mark > most)
        snprintf(reading->wrong, sizeof reading->wrong,
                 "the mark is %llu, but should be %llu to %llu", (unsigned long long)reading->mark,
                 least, most);
    else if (reading->found && reading->next - reading->found > reading->mark)
        snprintf(reading->wrong, sizeof reading->wrong,
                 "LOST: the mark is %llu, but the first slot is %llu",
                 (unsigned long long)reading->mark,
                 (unsigned long long)(reading->next - reading->found));
}

static void read_all(history_reading *reading, etx_log *log) {
    uint64_t mark = 0;
    reading->rc = etx_log_file()->get(log, reading->partition, 0, slot_judge, reading, &mark,
                                      reading->wrong, sizeof reading->wrong);
    if (reading->rc)
        return;
    reading->mark = mark;
    if (!reading->found)
        reading->next = mark;
    ends_judge(reading);
}

void history_read(history_reading *reading,
                  const history *on,
                  uint64_t point,
                  etx_log *log,
                  uint32_t partition) {
    *reading =
        (history_reading){.on = on, .point = point, .partition = partition, .own = UINT64_MAX};
    read_all(reading, log);
}

void history_read_again(history_reading *reading, const history_reading *before, etx_log *log) {
    *reading = (history_reading){.on = before->on,
                                 .point = before->point,
                                 .partition = before->partition,
                                 .own = before->next};
    read_all(reading, log);
}
