/* Journals of the simulated disk: its state in the middle of every step. */
#include "disk_inner.h"

#include <stdio.h>
#include <stdlib.h>

static disk_moment *moment_add(disk_journal *journal) {
    disk_moment *moment;
    if (journal->count == journal->capacity) {
        journal->capacity = journal->capacity ? journal->capacity * 2 : 256;
        journal->moments =
            disk_memory_more(journal->moments, journal->capacity * sizeof *journal->moments);
    }
    moment = &journal->moments[journal->count++];
    *moment = (disk_moment){.state = disk_clone(journal->on, NULL), .note = journal->note};
    return moment;
}

static void step_note(const disk_step *step, void *user) {
    disk_moment *moment = moment_add(user);
    moment->kind = step->kind;
    moment->offset = step->offset;
    moment->len = step->len;
    moment->error = step->error;
    snprintf(moment->name, sizeof moment->name, "%s", step->name);
    snprintf(moment->to, sizeof moment->to, "%s", step->to ? step->to : "");
}

void disk_journal_start(disk_journal *journal, disk *on) {
    *journal = (disk_journal){.on = on};
    disk_watch(on, step_note, journal);
}

void disk_journal_stop(disk_journal *journal) {
    moment_add(journal)->kind = DISK_KINDS;
    disk_watch(journal->on, NULL, NULL);
}

void disk_journal_free(disk_journal *journal) {
    for (size_t i = 0; i < journal->count; i++)
        disk_free(journal->moments[i].state);
    free(journal->moments);
    *journal = (disk_journal){0};
}
