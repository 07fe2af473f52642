/* A server etxd that runs: asking it, and reading what it streams. */
#ifndef ETX_CLI_SERVER_H
#define ETX_CLI_SERVER_H

#include "cli_json.h"

enum { SERVER_PATH_MAX = 1024 };

typedef struct server server;

/* Opens the server of that URL; NULL: $ETX_SERVER, or else http://127.0.0.1:7830. $ETX_TOKEN is its
 * bearer token, which goes beyond this machine over TLS only, unless $ETX_INSECURE_WITHOUT_TLS is
 * "on"; $ETX_CA whom to trust, $ETX_CERTIFICATE and $ETX_KEY what to show. Nothing is sent yet.
 * Says what went wrong. CLI_OK or an exit code. */
int etx__server_open(cli_context *cli, const char *url, server **ret_server);
void etx__server_close(server *self);

/* Each of these takes what the one before has answered; a signal that asks to end ends them with
 * ETX_EUNAVAILABLE. */

/* POSTs the body (a reference is taken; NULL: a GET), and waits. The answer is the server's: of an
 * error the problem, or NULL. 0, or an ETX error. */
int etx__server_ask(server *self, const char *path, json_t *body, const json_t **ret_answer);
/* POSTs a text of JSON as it is. */
int etx__server_send(server *self, const char *path, const char *text, const json_t **ret_answer);
/* The text of the last answer; may be "". */
const char *etx__server_answer(const server *self);
/* GETs what is no JSON. 0 (whatever the status), or an ETX error. */
int etx__server_text(server *self, const char *path, int *ret_status, const char **ret_text);
/* GETs /metrics. 0, or an ETX error, also where the server says no. */
int etx__server_metrics(server *self, const char **ret_text);

/* Takes a piece of a stream; anything but 0 ends it. */
typedef int (*server_piece_fn)(const char *bytes, size_t len, void *user);
/* GETs a stream of events from behind `last_id` on (NULL: from now on). 0: the reader has enough,
 * or a signal asked to end; ETX_ECLOSED: the server ended it; or another ETX error. */
int etx__server_stream(server *self,
                       const char *path,
                       const char *last_id,
                       server_piece_fn piece,
                       void *user);

/* What the last error was, in words; may be "". */
const char *etx__server_message(const server *self);
/* What to do about it, if it is known: where a server cannot be reached `away` (NULL: the usual),
 * or something better; where it refuses the token, what to do about that. Else NULL. */
const char *etx__server_hint(const server *self, const char *away);
/* Its URL, no '/' behind it. */
const char *etx__server_name(const server *self);
/* The server's clock, as the last answer's field Date says it; may be "". */
const char *etx__server_date(const server *self);
/* "/v1/transactions/GID", with what must not stand in a path as %XX, and `more`. SERVER_PATH_MAX
 * bytes. */
void etx__server_path(char *path, const char *gid, const char *more);
/* The member as text; "" if it is none. */
const char *etx__server_word(const json_t *object, const char *name);

#endif
