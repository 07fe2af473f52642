/* What this node remembers of partitions that other nodes have, and they of its own. */
#ifndef ETX__WITNESS_H
#define ETX__WITNESS_H

#include "home.h"

/* Makes home->witness. 0 or ETX_ENOMEM; in both cases undone by etx__witness_free. */
int etx__witness_make(etx__home *home);
void etx__witness_free(etx__home *home);

/* ---- the keeper's */
/* Looks whether what is remembered of others' partitions is there, where somebody else has come to
 * have one since the last look; only for some milliseconds. 1: there is news for the others. */
int etx__witness_look(etx__home *home);
/* The store was away: it may be another. */
void etx__witness_doubt(etx__home *home);
/* Adds what the others are to hear, behind a space each: "!PARTITION:SLOT:CHECKSUM:ACCEPTED". They
 * are told in turn where there is no room for all: 1, as long as some are still to be told. */
int etx__witness_say(etx__home *home, char *text, size_t size);
/* What the node of that name says. */
void etx__witness_hear(etx__home *home, const char *node, const char *words);

/* ---- of a partition; any thread */
/* What other nodes remember of it. */
void etx__witness_of(const etx__partition *partition, etx__word ret_words[ETX__WORDS]);

#endif
