/* A server on a thread of its own, and raw bytes to it: what the tests of net/ are made with. */
#ifndef ETX_TESTS_NET_RIG_H
#define ETX_TESTS_NET_RIG_H

#include "../unit/net/cmocka_net.h"

#include "../../net/client.h"
#include "../../net/server.h"

#include <pthread.h>
#include <stdatomic.h>

enum { REPLY_MAX = 1 << 20 };

/* The handler does what the path says:
 *   /later   answers from another thread
 *   /alone   the same, alone on its connection; what begins meanwhile counts in `overtaking`
 *   /hold    answers when the connection is gone; counts in `gone`
 *   /needed  the same, and needs its client
 *   /stream  three pieces, then the end
 *   /flood   8 MiB, as fast as it is taken
 *   /forever a stream that ends when the connection is gone
 *   /big     a body of 4 MiB
 *   /bad     an answer that cannot be sent
 *   /who     the subject of the client's certificate
 *   others   "METHOD path?query host body" */
typedef struct rig {
    net_server_options options; /* set before rig_start, but for size and handler */
    net_tls *tls;
    const char *listen; /* NULL: 127.0.0.1:0 */
    net_loop *loop;
    net_server *server;
    net_address address;
    char url[64]; /* "http://127.0.0.1:PORT" or https */
    pthread_t thread;
    net_request *stream; /* the last of /forever */
    _Atomic int handled;
    _Atomic int gone;
    _Atomic int smuggled; /* requests of /smuggled */
    _Atomic int alone;    /* requests of /alone that are not answered */
    _Atomic int overtaking;
    _Atomic int refused_writes;
    _Atomic int later; /* threads that are to answer */
} rig;

void rig_start(rig *self);
/* Frees the server and waits for the thread. */
void rig_stop(rig *self);
/* Has `run` called on the rig's thread, and waits for it. */
void rig_do(rig *self, void (*run)(rig *self));

/* A blocking socket to the rig. */
int rig_connect(const rig *self);
void send_text(int fd, const char *text);
void send_bytes(int fd, const char *bytes, size_t len);
/* Reads until the peer ends, or nothing comes for `ms`; ended by a 0. `*ret_closed` (may be NULL):
 * 1 an end, 2 a reset, 0 neither. Static memory is not used: the caller frees it. */
char *read_reply(int fd, int ms, int *ret_closed);
/* Sends, reads to the end, closes. */
char *rig_talk(const rig *self, const char *bytes, size_t len, int *ret_closed);
/* How often `word` stands in `text`. */
int count_of(const char *text, const char *word);

#endif
