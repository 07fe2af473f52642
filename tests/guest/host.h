/* A host process for tests: directories that go away, engines with small tables, participants
 * that count, and waiting that ends. */
#ifndef TESTS_GUEST_HOST_H
#define TESTS_GUEST_HOST_H

#include <etx/etx.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#if defined(__SANITIZE_THREAD__)
#define HOST_THREAD_SANITIZER 1
#elif defined(__SANITIZE_ADDRESS__)
#define HOST_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOST_THREAD_SANITIZER 1
#elif __has_feature(address_sanitizer)
#define HOST_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef HOST_THREAD_SANITIZER
#define HOST_THREAD_SANITIZER 0
#endif
#ifndef HOST_ADDRESS_SANITIZER
#define HOST_ADDRESS_SANITIZER 0
#endif

#define HOST_PATH_MAX 256

/* Makes an empty directory, and its "file:" URL. */
typedef struct host_dir {
    char path[HOST_PATH_MAX];
    char url[HOST_PATH_MAX + 16];
} host_dir;
void host_dir_make(host_dir *dir);
/* Removes it with all that is in it. */
void host_dir_remove(const host_dir *dir);

/* What a participant was asked, and what it answers. */
typedef struct host_bank {
    atomic_uint forwards;
    atomic_uint commits;
    atomic_uint undos;
    _Atomic int forward_reply; /* an etx_reply, or nonsense; 0: ETX_DONE */
    _Atomic int finish_reply;
    atomic_uint blocked;  /* callbacks that have come to the gate */
    atomic_uint returned; /* forward calls that touch this no more */
    sem_t gate;           /* with `gated`: each forward call waits for it */
    bool gated;
} host_bank;
void host_bank_make(host_bank *bank);
etx_participant host_participant(const char *name, etx_kind kind, uint32_t flags, host_bank *bank);

/* Options with small tables; a volatile home is allowed, and asked for. */
etx_options host_options(void);
/* An engine with that home and with the participants "stock" (TCC, inline), "slow" (TCC, on
 * workers) and "step" (saga, inline), started. */
etx_engine *host_engine(const char *url, const etx_options *options, host_bank *bank);
void host_engine_end(etx_engine *engine);

/* The call returned `want`, and the newest message is about it: it says `text`, and is not the one
 * before. */
void host_says(etx_engine *engine, int rc, int want, const char *text);

/* Runs a transaction of one branch, as its caller. */
int host_run(etx_engine *engine, const char *participant, etx_outcome *outcome);
/* The same in a thread of its own. */
typedef struct host_runner {
    pthread_t thread;
    etx_engine *engine;
    const char *participant;
    etx_outcome outcome;
    int rc;
    uint64_t done_ms; /* when it came back, by host_now_ms */
} host_runner;
void host_runner_start(host_runner *runner, etx_engine *engine, const char *participant);
void host_runner_join(host_runner *runner);

uint64_t host_now_ms(void);
/* Waits until the counter has reached a number, a minute at most; returns whether it has. */
bool host_wait_for(atomic_uint *counter, unsigned at_least);

#endif
