/* A server that says what a script says, whatever it is asked. */
#ifndef ETX_TESTS_NET_SCRIPT_H
#define ETX_TESTS_NET_SCRIPT_H

#include "rig.h"

/* What the scripted server does on each connection, in turn: it waits for a request's head (unless
 * told not to), sends `say`, and then closes, resets, or waits until the client closes. */
typedef struct act {
    const char *say;
    size_t len;                                       /* 0: strlen */
    int hasty;                                        /* say it before anything came */
    int gated;                                        /* say it when `go` is set */
    enum { CLOSE, RESET, WAIT, ENDLESS, AGAIN } then; /* AGAIN: the next act on this connection */
} act;

typedef struct script {
    const act *acts;
    int count;
    int listener;
    uint16_t port;
    _Atomic int requests;
    _Atomic int connections;
    _Atomic int go;
    pthread_t thread;
} script;

/* Listens on a port of 127.0.0.1 and plays the acts, one connection after another. */
void script_start(script *self);
void script_stop(script *self);

#endif
