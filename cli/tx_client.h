/* How `etx tx` reaches transactions: one interface, a backend for each way there is. */
#ifndef ETX_CLI_TX_CLIENT_H
#define ETX_CLI_TX_CLIENT_H

#include "cli.h"

typedef struct tx_client_ops tx_client_ops;

/* The head of every backend's own struct. */
typedef struct tx_client {
    const tx_client_ops *ops;
} tx_client;

/* All but close return 0 or an ETX error. They mean what the functions of <etx/tx.h> and
 * <etx/operate.h> mean. */
struct tx_client_ops {
    void (*close)(tx_client *client);
    int (*list)(tx_client *client,
                const etx_filter *filter,
                etx_cursor *cursor,
                uint32_t limit,
                etx_status_fn each,
                void *user);
    int (*show)(tx_client *client,
                const char *gid,
                etx_status *ret_status,
                etx_branch_fn each,
                void *user);
    int (*operate)(tx_client *client,
                   etx_bulk what,
                   const char *gid,
                   const char *who,
                   const char *why);
    int (*bulk)(tx_client *client,
                etx_bulk what,
                const etx_filter *filter,
                uint32_t per_second,
                const char *who,
                const char *why,
                uint64_t *ret_count);
    int (*force)(tx_client *client,
                 const char *gid,
                 etx_force what,
                 const char *branch,
                 etx_operation operation,
                 const char *who,
                 const char *why);
    /* what the last error was, in words; may be "" */
    void (*message)(tx_client *client, char *message, size_t size);
    /* what to do, where nobody answers or the token is refused; or NULL. NULL: there is none */
    const char *(*hint)(tx_client *client);
};

/* A log: an engine that calls nobody. With `operate` it records what is asked, in a log that no
 * process has open and no node attends; otherwise it only reads, also beside a program that runs.
 * Says what went wrong. CLI_OK or an exit code. */
int etx__tx_open_local(cli_context *cli, const char *url, int operate, tx_client **ret_client);

/* A server etxd that runs, as etx__server_open finds it. The same. */
int etx__tx_open_server(cli_context *cli, const char *url, tx_client **ret_client);

#endif
