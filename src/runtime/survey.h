/* What the store of a shared home told last: who attends, and who has which lease. */
#ifndef ETX__SURVEY_H
#define ETX__SURVEY_H

#include "home.h"

enum { ETX__NODES_MAX = 256, ETX__GONE_MAX = 64 };

typedef struct etx__member {
    char name[ETX_NAME_MAX + 1];
    char address[ETX__ADDRESS_MAX + 1];
    char homes[ETX__OWN_HOMES_MAX]; /* the ids of homes that are its alone, each after a space */
    uint64_t until_us;              /* it counts as gone then, if nothing is heard of it */
} etx__member;

typedef struct etx__lease {
    char node[ETX_NAME_MAX + 1]; /* "": nobody has it */
    uint64_t until_us;
} etx__lease;

/* What a survey has shown. */
typedef struct etx__view {
    uint32_t nodes;
    uint32_t gones;
    etx__member *node;  /* at most ETX__NODES_MAX */
    etx__member *gone;  /* that had homes of their own; at most ETX__GONE_MAX */
    etx__lease *holder; /* by partition */
} etx__view;

struct etx__survey {
    etx__view seen; /* changed with home->lock, which is not held while the store is asked */
    etx__view next; /* what is being told */
};

/* Makes home->survey. 0 or ETX_ENOMEM; in both cases undone by etx__survey_free. */
int etx__survey_make(etx__home *home);
void etx__survey_free(etx__home *home);
/* Asks the store anew. Errors: as etx_log_ops.survey, with message. */
int etx__survey_take(etx__home *home, char *message, size_t size);
/* What others are told of where this node is: its address, and behind a space each the homes that
 * are its alone. They find by them who has what was begun while the shared home was away. */
void etx__survey_say(const etx_engine *engine, char *ret_text, size_t size);
/* Tells of each home that a node of this name had for itself when it was here last, and that now
 * neither this one has nor another that attends. To be asked before it says anew what it has. */
void etx__survey_missed(etx__home *home);
/* Who has the lease and where that node is reached, each "" if nobody or nothing is known; for how
 * many ms it still has it, as the store said. Any thread. */
uint64_t etx__survey_who(etx__home *home,
                         uint32_t number,
                         char ret_node[ETX_NAME_MAX + 1],
                         char ret_address[ETX__ADDRESS_MAX + 1]);
/* A node that attends, in the order of names; 0: there are not so many. Any thread. */
int etx__survey_node(etx__home *home, uint32_t number, etx_node_status *ret_status);
/* One that is gone, and has a home that no other has taken over. The same. */
int etx__survey_gone(etx__home *home, uint32_t number, etx_node_status *ret_status);
/* Which other node has the home of this id for itself: its name, address and left_ms; if it is
 * gone, without address, and `why` says what to do. 0: none is known. Any thread. */
int etx__survey_finds(etx_engine *engine, const char *home_id, etx_partition_status *ret_status);
/* Who has the partition, in words; 1: another node, 0: nobody that is known. Any thread. */
int etx__survey_says(etx__home *home, uint32_t number, char *ret_text, size_t size);
#endif
