/* Faults of the simulated disk, and who is told of its steps. */
#include "disk_inner.h"

#include <stdlib.h>
#include <string.h>

const char *disk_kind_name(disk_kind kind) {
    static const char *const names[DISK_KINDS] = {
        "open",     "read", "list",     "stat",   "lock",   "create", "write",
        "allocate", "sync", "sync-dir", "rename", "unlink", "mkdir"};
    return kind < DISK_KINDS ? names[kind] : "end";
}

void disk_watch(disk *on, disk_step_fn watcher, void *user) {
    on->watcher = watcher;
    on->watcher_user = user;
}

uint64_t disk_steps(const disk *on) {
    return on->steps;
}

uint64_t disk_count(const disk *on, disk_kind kind) {
    return on->counts[kind];
}

uint64_t disk_struck(const disk *on) {
    return on->struck;
}

void disk_limit_set(disk *on, uint64_t bytes) {
    on->limit = bytes;
}

void disk_fault_add(disk *on, const disk_fault *fault) {
    if (on->fault_count == DISK_FAULTS_MAX)
        abort();
    on->faults[on->fault_count++] = *fault;
}

void disk_fault_clear(disk *on) {
    on->fault_count = 0;
}

static int name_ends(const char *name, const char *wanted) {
    size_t len = strlen(name);
    size_t wanted_len = strlen(wanted);
    return len >= wanted_len && strcmp(name + len - wanted_len, wanted) == 0;
}

int disk_begin(disk *on, disk_kind kind, const char *name, disk_fault *ret_fault) {
    int struck = 0;
    on->counts[kind]++;
    for (uint32_t i = 0; i < on->fault_count; i++) {
        disk_fault *fault = &on->faults[i];
        if (fault->kind != kind || !fault->at || (fault->file && !name_ends(name, fault->file)))
            continue;
        if (fault->at > 1) {
            fault->at--;
            continue;
        }
        if (!struck++)
            *ret_fault = *fault;
        if (!fault->for_good)
            fault->at = 0;
    }
    on->struck += struck != 0;
    return struck != 0;
}

void disk_tell(disk *on, const disk_step *step) {
    disk_step told = *step;
    told.number = ++on->steps;
    if (on->watcher)
        on->watcher(&told, on->watcher_user);
}
