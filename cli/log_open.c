/* Logs by URL: opening them, and who shares one. */
#include "log_open.h"

#include <limits.h>
#include <string.h>

#include "log_command.h"

int etx__cli_is_store(const char *argument) {
    size_t len = strspn(argument, "abcdefghijklmnopqrstuvwxyz");
    return len > 0 && strncmp(argument, "file:", 5) != 0 && strncmp(argument + len, "://", 3) == 0;
}

int etx__log_is_retired(const etx_log_info *info) {
    return (info->flags & (ETX_LOG_COPYING | ETX_LOG_MOVED)) != 0;
}

int etx__log_open(const char *argument,
                  uint32_t flags,
                  etx_log **ret_log,
                  char *message,
                  size_t size) {
    etx_log_config config = {.size = sizeof config,
                             .url = argument,
                             .node = "etx",
                             .flags = flags | ETX_LOG_NO_CREATE,
                             .message = message,
                             .message_size = size};
    char url[PATH_MAX + 8];
    message[0] = '\0';
    if (!etx__cli_is_store(argument) && strncmp(argument, "file:", 5) != 0) {
        snprintf(url, sizeof url, "file:%s", argument);
        config.url = url;
    }
    return etx_log_open(&config, ret_log);
}

static void take_node(const etx_log_node *node, void *user) {
    json_t *object = json_object();
    etx__out_text(object, "node", node->name);
    /* behind it stand the homes that are that node's alone */
    etx__out_bytes(object, "address", (etx_bytes){node->address, strcspn(node->address, " ")});
    etx__out_number(object, "left_ms", node->left_ms);
    json_array_append_new(user, object);
}

static void take_lease(const etx_log_lease *lease, void *user) {
    (void)lease;
    (void)user;
}

json_t *etx__log_nodes(etx_log *log, char *message, size_t size) {
    json_t *nodes = json_array();
    const etx_log_survey survey = {sizeof survey, take_node, take_lease, nodes};
    if (log->ops->survey != NULL && log->ops->survey(log, &survey, message, size) != 0) {
        json_decref(nodes);
        return NULL;
    }
    return nodes;
}

int etx__log_refuse_nodes(cli_context *cli, const json_t *nodes) {
    const json_t *node;
    const char *address = "";
    char names[400] = "";
    char hint[400];
    size_t len = 0;
    size_t i;
    json_array_foreach(nodes, i, node) {
        const char *name = json_string_value(json_object_get(node, "node"));
        const char *at = json_string_value(json_object_get(node, "address"));
        if (len < sizeof names) {
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s%s%s", i > 0 ? ", " : "",
                                    name, at[0] != '\0' ? " at " : "", at);
        }
        address = address[0] != '\0' ? address : at;
    }
    snprintf(hint, sizeof hint, "ask one that runs (--server %s), or stop them all first",
             address[0] != '\0' ? address : "URL");
    return etx__cli_fail(cli, hint, "nodes work on this log: %s", names);
}
