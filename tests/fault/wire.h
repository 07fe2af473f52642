/* What a program asks of the system for a connection, and the memory that the files linked into it
 * ask for: one call of a kind fails, at its turn. The functions of the C library are replaced for
 * the whole program, so that libpq, libmariadb and libcurl meet them too; memory fails only for
 * what is linked with --wrap. One thread. */
#ifndef ETX_TESTS_FAULT_WIRE_H
#define ETX_TESTS_FAULT_WIRE_H

#include <stdint.h>

typedef enum wire_kind {
    WIRE_SOCKET = 0,
    WIRE_CONNECT,
    WIRE_SEND,
    WIRE_RECEIVE,
    WIRE_POLL,
    WIRE_MEMORY,
    WIRE_KINDS
} wire_kind;

typedef enum wire_how {
    /* The call does nothing and returns the error. A connection is broken by it, unless it is one
     * that leaves it as it was: EINTR, ENOMEM, ENOBUFS. */
    WIRE_ERROR = 0,
    WIRE_ALL,    /* send, receive: all of it comes over, and the connection is broken then */
    WIRE_HALF,   /* send: ... half of it, and no more is taken */
    WIRE_NONE,   /* send: ... nothing of it, though all was taken */
    WIRE_END,    /* receive: the other side has ended the connection */
    WIRE_LATER,  /* connect: it goes on, and fails with the error when it is asked */
    WIRE_SILENT, /* poll: nothing happens for as long as is waited */
    WIRE_SHORT   /* send, receive: one byte. This does no harm */
} wire_how;

typedef enum wire_when {
    WIRE_ONCE = 0, /* the call number `at` */
    WIRE_FOR_GOOD, /* it and all after it */
    WIRE_AGAIN     /* each whose number is a multiple of `at` */
} wire_when;

typedef struct wire_fault {
    wire_kind kind;
    wire_how how;
    int error; /* errno */
    wire_when when;
    uint64_t at; /* 1: the first; 0: none fails */
} wire_fault;

const char *wire_kind_name(wire_kind kind);
/* From now on that is what fails; calls are counted from 0. NULL: nothing does. */
void wire_set(const wire_fault *fault);
/* What others do from now on, as soon as something fails: `turn` is called after each receive.
 * Nothing fails while it runs. NULL: nobody does anything. */
void wire_others(void (*turn)(void *user), void *user);
/* How many calls have failed since. */
uint64_t wire_struck(void);
/* How many calls of the kind there were since. */
uint64_t wire_count(wire_kind kind);

#endif
