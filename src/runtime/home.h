/* Homes: the list of preference, their health, and which takes a new transaction. */
#ifndef ETX__HOME_H
#define ETX__HOME_H

#include "partition.h"

typedef enum etx__health {
    ETX__HOME_DOWN = 0,
    ETX__HOME_HELD = 1, /* well again, not for long enough */
    ETX__HOME_UP = 2
} etx__health;

struct etx__home {
    etx_engine *engine;
    const etx_log_ops *ops;
    etx_log *log;
    etx_log_info info;
    uint32_t place;
    etx__partition **partition;
    uint32_t partition_count;
    _Atomic uint32_t health;
    _Atomic uint64_t since_ms;  /* wall */
    _Atomic uint64_t well_ms;   /* monotonic */
    _Atomic uint32_t placed;    /* gids made so far */
    _Atomic uint32_t drains;    /* of a shared home: this node is to have no partition */
    uint32_t turn;              /* so many gids in a row prefer the same partition */
    uint8_t stuck;              /* closed while a put had not come back */
    struct etx__keeper *keeper; /* of a shared home; else NULL */
    pthread_mutex_t lock;       /* of why and why_rc, and of what the keeper has seen */
    char why[160];
    int why_rc;     /* ETX_EFULL: there is no space, and that alone; else ETX_EUNAVAILABLE */
    char url[256];  /* as it may be shown */
    char *open_url; /* as it was given */
};

int etx__home_make(etx_engine *engine, const char *url, etx__home **ret_home);
/* Opens the log and makes its partitions. */
int etx__home_open(etx__home *home);
void etx__home_close(etx__home *home, int clean);
void etx__home_free(etx__home *home);
/* New transactions do not go there any more / may go there again. */
void etx__home_down(etx__home *home, int rc, const char *why);
void etx__home_well(etx__home *home);
/* The best that satisfies the durability, or NULL. */
etx__home *etx__home_best(etx_engine *engine, etx_durability durability);
/* Why the home takes nothing new, with its name. ETX_EFULL or ETX_EUNAVAILABLE. */
int etx__home_why(etx__home *home, char *ret_why, size_t size);
/* Why none takes it: ETX_EFULL where all that could are full, else ETX_EUNAVAILABLE. */
int etx__home_none(etx_engine *engine, etx_durability durability, char *ret_why, size_t size);
/* The one with that id, or NULL. */
etx__home *etx__home_of(const etx_engine *engine, const char *id);
etx__partition *etx__home_partition(etx__home *home); /* for a gid made by ETX */
etx__partition *etx__home_hashed(etx__home *home, uint32_t hash);

#endif
