/* The machine: all that the runtime asks of the operating system. The simulation
 * (tests/simulation) puts a machine of its own in the place of machine.c. */
#ifndef ETX__MACHINE_H
#define ETX__MACHINE_H

#include <etx/types.h>
#include <pthread.h>
#include <stdatomic.h>

/* The default allocator: calloc, and fresh pages for what is large. */
extern const etx_allocator etx__allocator;

/* Monotonic and wall clock. */
uint64_t etx__clock_us(void);
uint64_t etx__clock_wall_ms(void);
/* Random bits from the system. */
uint64_t etx__random(void);
/* Processors that this process may run on; 1 at least. */
uint32_t etx__processors(void);

/* Does what there is to do, then sleeps until there may be more. 0: the thread ends. */
typedef int (*etx__turn_fn)(void *argument);
/* Starts a thread of the engine, which takes one turn after another: all signals blocked, named.
 * What is handed to it comes from the allocator, and is given back before the first turn. 0 or
 * ETX_ENOMEM. */
int etx__thread_start(const etx_allocator *allocator,
                      pthread_t *ret_thread,
                      const char *name,
                      uint32_t number,
                      etx__turn_fn turn,
                      void *argument);
void etx__thread_join(pthread_t thread);
/* Nobody will join it. */
void etx__thread_detach(pthread_t thread);

/* What a thread of the user's own does inside may hold a shard, or a lock: it is not cancelled
 * there, but as soon as it is out. Gives what etx__cancel_back takes. */
static inline int etx__cancel_off(void) {
    int before = PTHREAD_CANCEL_ENABLE;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}
static inline void etx__cancel_back(int before) {
    int own;
    pthread_setcancelstate(before, &own);
}

/* Sleeps while *word is `value`, at most timeout_us (UINT64_MAX: for ever); may return early. */
void etx__futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_us);
void etx__futex_wake(_Atomic uint32_t *word, int count);
void etx__pause_us(uint32_t us);
/* Whoever else is ready to run on this processor goes first. */
void etx__thread_yield(void);

/* A word that is 1, and that the child of a fork reads as 0: its calls are refused. NULL: no
 * memory. */
uint32_t *etx__alive_make(void);
void etx__alive_free(const uint32_t *alive);

/* Loads the module of that name ("log_postgresql") from ETX's own directory, for good, and finds
 * its function. Errors: ETX_ENOTFOUND (no such module), ETX_EINVALID (it cannot be loaded), with
 * why. */
int etx__module_load(const char *name,
                     const char *function,
                     void **ret_function,
                     char *why,
                     size_t size);

#endif
