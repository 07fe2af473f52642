/* Nodes that take nothing of this one, since it shows no certificate that they accept: who, and
 * what to set. */
#include "refusal.h"

#include <stdlib.h>
#include <string.h>

#include "forward.h"

/* It is learned by asking: nodes do not know how others are set up. Nodes that are set up alike are
 * foreseen, from this one's own settings. */

struct etxd_refusal {
    etxd_refusal *next;
    char node[ETX_NAME_MAX + 1];
    char text[400];
};

static etxd_refusal **find(etxd *server, const char *node) {
    etxd_refusal **link = &server->refusals;
    while (*link != NULL && strcmp((*link)->node, node) != 0) {
        link = &(*link)->next;
    }
    return link;
}

static void forget(etxd_refusal **link) {
    etxd_refusal *one = *link;
    *link = one->next;
    free(one);
}

static void warn(etxd *server, const char *node, const char *text) {
    const etxd_field fields[] = {{"node", node, 0}, {"why", text, 0}};
    etxd_log_line(&server->log, ETXD_WARNING, "certificates between nodes", fields,
                  sizeof fields / sizeof *fields);
}

void etxd_refusal_note(etxd *server, const char *node, const char *why) {
    etxd_refusal **link = find(server, node);
    if (why == NULL && *link != NULL) {
        forget(link);
    } else if (why != NULL && *link == NULL) {
        etxd_refusal *one = calloc(1, sizeof *one);
        if (one == NULL) {
            return; /* it will be asked again */
        }
        snprintf(one->node, sizeof one->node, "%s", node);
        snprintf(one->text, sizeof one->text,
                 "it does not accept node %s, which shows it %s (%.100s): set call-certificate and "
                 "call-key of %s, to a certificate of its tls-client-ca",
                 server->config.node,
                 server->config.call_certificate[0] != '\0' ? "call-certificate" : "no certificate",
                 why, server->config.node);
        *link = one;
        warn(server, node, one->text);
    }
}

/* What nodes at an https:// address demand of each other. */
static int lacks_certificate(const etxd_config *config) {
    return etxd_config_is_shared(config) && config->tls_client_ca[0] != '\0' &&
           config->call_certificate[0] == '\0' &&
           strncmp(config->advertise, "https:", strlen("https:")) == 0;
}

const char *etxd_refusal_of(const etxd *server, const char *node) {
    const etxd_refusal *one = server->refusals;
    if (strcmp(node, server->config.node) == 0) {
        return lacks_certificate(&server->config)
                   ? "it demands certificates (tls-client-ca), and has none to show to nodes that "
                     "do so too: set its call-certificate and call-key"
                   : "";
    }
    while (one != NULL && strcmp(one->node, node) != 0) {
        one = one->next;
    }
    return one != NULL ? one->text : "";
}

void etxd_refusal_warn(etxd *server) {
    const char *node = server->config.node;
    const char *text = etxd_refusal_of(server, node);
    if (text[0] != '\0') {
        warn(server, node, text);
    }
}

void etxd_refusals_forget(etxd *server) {
    while (server->refusals != NULL) {
        forget(&server->refusals);
    }
}
