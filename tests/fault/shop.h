/* A shop on the whole engine, its log on a simulated disk, its participants in memory that survives
 * the engine. Transactions have numbers. */
#ifndef ETX_TESTS_FAULT_SHOP_H
#define ETX_TESTS_FAULT_SHOP_H

#include "memory.h"

#include <etx/etx.h>

#include <stdatomic.h>

#define SHOP_ROWS 32

/* What the two participants did for a transaction: left and right. */
typedef struct shop_row {
    _Atomic uint8_t forward[2];
    _Atomic uint8_t commit[2];
    _Atomic uint8_t undo[2];
    etx_state told; /* what its caller was told; 0: nothing */
} shop_row;

typedef struct shop {
    shop_row rows[SHOP_ROWS];
    memory memory; /* of the engine */
    etx_engine *engine;
    char message[300];
} shop;

/* 0, or why the engine does not start; then there is none. */
int shop_start(shop *on, const char *url, uint32_t patience_ms);
/* Runs a transaction; if it is refused on the right it aborts. Notes what was told. */
int shop_run(shop *on, uint32_t number, int refused);
/* Has all that was begun ended? Waits for it. */
int shop_quiet(shop *on, uint32_t seconds);
void shop_stop(shop *on, etx_close_mode mode);
/* Asks for what was told, and compares. 0, or `message` says what is wrong. */
int shop_ask(shop *on, uint32_t number, etx_state told);
/* All or nothing, in each transaction? As shop_ask. */
int shop_agrees(shop *on);

#endif
