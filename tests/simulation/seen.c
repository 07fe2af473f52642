/* State directories in memory, in the place of src/runtime/seen_file.c: one for each node, named as
 * it is. What was written is there whole, or not at all, whenever the node crashes. */
#include <string.h>

#include "../../src/runtime/seen_file.h"
#include "sim.h"

static sim_node *node_of(const char *dir) {
    sim_node *node = (*sim_current())->running;
    etx_assert(strcmp(dir, node->name) == 0);
    return node;
}

/* The file of that home, whether it is written or not. */
static sim_kept *kept_of(const char *dir, const char *home) {
    sim_node *node = node_of(dir);
    for (uint32_t i = 0; i < node->world->stores; i++) {
        if (strcmp(node->world->store[i].id, home) == 0) {
            return &node->kept[i];
        }
    }
    return NULL;
}

int etx__seen_dir_take(const char *dir, int *ret_fd, char *message, size_t size) {
    (void)message;
    (void)size;
    (void)node_of(dir);
    *ret_fd = -1;
    return 0;
}

int etx__seen_write(const etx_allocator *allocator,
                    const char *dir,
                    const etx_seen *state,
                    char *message,
                    size_t size) {
    (void)allocator;
    sim_kept *kept = kept_of(dir, state->home);
    (void)message;
    (void)size;
    sim_node_may_die(node_of(dir));
    etx_assert(kept != NULL && state->partitions <= SIM_PARTITIONS);
    kept->seen = *state;
    memcpy(kept->mark, state->mark, state->partitions * sizeof *state->mark);
    sim_node_may_die(node_of(dir));
    return 0;
}

static int give(const sim_kept *kept, etx_seen *ret_state) {
    if (kept == NULL || kept->seen.home[0] == 0) {
        return ETX_ENOTFOUND;
    }
    *ret_state = kept->seen;
    ret_state->mark = (etx_seen_mark *)kept->mark; /* for as long as it is looked at */
    return 0;
}

int etx_seen_read(const char *dir,
                  const char *home,
                  etx_seen *ret_state,
                  char *message,
                  size_t message_size) {
    (void)message;
    (void)message_size;
    return give(kept_of(dir, home), ret_state);
}

void etx_seen_free(etx_seen *state) {
    state->mark = NULL;
    state->partitions = 0;
}

int etx__seen_find(const char *dir,
                   const char *url,
                   etx_seen *ret_state,
                   char *message,
                   size_t size) {
    sim_node *node = node_of(dir);
    (void)message;
    (void)size;
    for (uint32_t i = 0; i < node->world->stores; i++) {
        if (strcmp(node->kept[i].seen.url, url) == 0) {
            return give(&node->kept[i], ret_state);
        }
    }
    return ETX_ENOTFOUND;
}
