/* What the store of a shared home told last: who attends, and who has which lease. */
#include "survey.h"

#include <stdio.h>
#include <string.h>

#include "witness.h"

static int view_make(const etx__home *home, etx__view *ret_view) {
    size_t holders = home->info.partitions * sizeof *ret_view->holder;
    ret_view->node = etx__engine_alloc(home->engine, ETX__NODES_MAX * sizeof *ret_view->node);
    ret_view->gone = etx__engine_alloc(home->engine, ETX__GONE_MAX * sizeof *ret_view->gone);
    ret_view->holder = etx__engine_alloc(home->engine, holders);
    return ret_view->node != NULL && ret_view->gone != NULL && ret_view->holder != NULL;
}

static void view_free(const etx__home *home, etx__view *of) {
    etx__engine_release(home->engine, of->node, ETX__NODES_MAX * sizeof *of->node);
    etx__engine_release(home->engine, of->gone, ETX__GONE_MAX * sizeof *of->gone);
    etx__engine_release(home->engine, of->holder, home->info.partitions * sizeof *of->holder);
}

int etx__survey_make(etx__home *home) {
    home->survey = etx__engine_alloc(home->engine, sizeof *home->survey);
    return home->survey != NULL && view_make(home, &home->survey->seen) &&
                   view_make(home, &home->survey->next)
               ? 0
               : ETX_ENOMEM;
}

void etx__survey_free(etx__home *home) {
    if (home->survey == NULL) {
        return;
    }
    view_free(home, &home->survey->seen);
    view_free(home, &home->survey->next);
    etx__engine_release(home->engine, home->survey, sizeof *home->survey);
    home->survey = NULL;
}

/* ---- what the store is told, and says */

void etx__survey_say(const etx_engine *engine, char *ret_text, size_t size) {
    snprintf(ret_text, size, "%s", engine->address);
    for (uint32_t i = 0; i < engine->home_count; i++) {
        const etx__home *home = engine->home[i];
        size_t len = strlen(ret_text);
        if (atomic_load(&home->opened) && home->keeper == NULL &&
            etx__home_grade(home) > ETX_VOLATILE && len + ETX_HOME_ID_LEN + 2 <= size) {
            snprintf(ret_text + len, size - len, " %s", home->info.id);
        }
    }
}

/* Behind the homes is what it misses of its log (witness.c). */
static void hear_where(etx__member *to, const char *text) {
    size_t len = strcspn(text, " ");
    const char *missing = strstr(text + len, " !");
    size_t homes = missing != NULL ? (size_t)(missing - text) - len : strlen(text + len);
    snprintf(to->address, sizeof to->address, "%.*s", (int)len, text);
    snprintf(to->homes, sizeof to->homes, "%.*s", homes < sizeof to->homes ? (int)homes : 0,
             text + len);
}

static int is_mine(const etx__home *home, const char *node) {
    return strcmp(node, home->engine->node) == 0;
}

static void on_node(const etx_log_node *node, void *user) {
    etx__home *home = user;
    etx__view *next = &home->survey->next;
    if (!is_mine(home, node->name)) {
        etx__witness_hear(home, node->name, node->address);
    }
    if (next->nodes < ETX__NODES_MAX) {
        etx__member *to = &next->node[next->nodes++];
        snprintf(to->name, sizeof to->name, "%s", node->name);
        hear_where(to, node->address);
        to->until_us = etx__clock_us() + node->left_ms * 1000;
    }
}

/* What it missed counts as before. */
static void on_gone(const etx_log_node *node, void *user) {
    etx__home *home = user;
    etx__view *next = &home->survey->next;
    if (!is_mine(home, node->name)) {
        etx__witness_hear(home, node->name, node->address);
    }
    if (next->gones < ETX__GONE_MAX) {
        etx__member *to = &next->gone[next->gones++];
        snprintf(to->name, sizeof to->name, "%s", node->name);
        hear_where(to, node->address);
        to->until_us = 0;
    }
}

static void on_lease(const etx_log_lease *told, void *user) {
    const etx__home *home = user;
    if (told->partition < home->partition_count) {
        etx__lease *to = &home->survey->next.holder[told->partition];
        snprintf(to->node, sizeof to->node, "%s", told->node);
        to->until_us = etx__clock_us() + told->left_ms * 1000;
    }
}

int etx__survey_take(etx__home *home, char *message, size_t size) {
    struct etx__survey *survey = home->survey;
    etx_log_survey asked = {sizeof asked, on_node, on_lease, home, on_gone};
    survey->next.nodes = 0;
    survey->next.gones = 0;
    memset(survey->next.holder, 0, home->partition_count * sizeof *survey->next.holder);
    int rc = home->ops->survey(home->log, &asked, message, size);
    if (rc == 0) {
        pthread_mutex_lock(&home->lock);
        etx__view before = survey->seen;
        survey->seen = survey->next;
        survey->next = before;
        pthread_mutex_unlock(&home->lock);
    }
    return rc;
}

/* ---- what is asked of it */

static uint64_t left_ms(uint64_t until_us) {
    uint64_t now_us = etx__clock_us();
    return until_us > now_us ? (until_us - now_us) / 1000 : 0;
}

uint64_t etx__survey_who(etx__home *home,
                         uint32_t number,
                         char ret_node[ETX_NAME_MAX + 1],
                         char ret_address[ETX__ADDRESS_MAX + 1]) {
    const etx__view *seen = &home->survey->seen;
    pthread_mutex_lock(&home->lock);
    uint64_t left = left_ms(seen->holder[number].until_us);
    memcpy(ret_node, seen->holder[number].node, ETX_NAME_MAX + 1);
    ret_address[0] = 0;
    for (uint32_t i = 0; i < seen->nodes; i++) {
        if (strcmp(seen->node[i].name, ret_node) == 0) {
            memcpy(ret_address, seen->node[i].address, ETX__ADDRESS_MAX + 1);
        }
    }
    pthread_mutex_unlock(&home->lock);
    return left;
}

static void tell_member(const etx__home *home,
                        const etx__member *node,
                        etx_node_status *ret_status) {
    memcpy(ret_status->node, node->name, sizeof node->name);
    memcpy(ret_status->address, node->address, sizeof node->address);
    memcpy(ret_status->homes, node->homes, sizeof node->homes);
    ret_status->left_ms = left_ms(node->until_us);
    ret_status->here = (uint8_t)is_mine(home, node->name);
}

int etx__survey_node(etx__home *home, uint32_t number, etx_node_status *ret_status) {
    const etx__view *seen = &home->survey->seen;
    pthread_mutex_lock(&home->lock);
    int there = number < seen->nodes;
    if (there) {
        tell_member(home, &seen->node[number], ret_status);
    }
    pthread_mutex_unlock(&home->lock);
    return there;
}

static int has_home(const etx__member *node, const char *home_id) {
    const char *at = strstr(node->homes, home_id);
    return at != NULL && at[-1] == ' ' && (at[ETX_HOME_ID_LEN] == ' ' || at[ETX_HOME_ID_LEN] == 0);
}

/* The first of them that has it and is not this node; or NULL. */
static const etx__member *member_with(const etx__home *home,
                                      const etx__member *nodes,
                                      uint32_t count,
                                      const char *home_id) {
    for (uint32_t i = 0; i < count; i++) {
        if (!is_mine(home, nodes[i].name) && has_home(&nodes[i], home_id)) {
            return &nodes[i];
        }
    }
    return NULL;
}

/* Has it a home that nobody who is there has, nor this node itself? */
static int is_missed(const etx__home *home, const etx__member *gone) {
    const etx__view *seen = &home->survey->seen;
    for (const char *at = gone->homes; at[0] == ' '; at += 1 + ETX_HOME_ID_LEN) {
        char id[ETX_HOME_ID_LEN + 1];
        snprintf(id, sizeof id, "%s", at + 1);
        if (member_with(home, seen->node, seen->nodes, id) == NULL &&
            etx__home_of(home->engine, id) == NULL) {
            return 1;
        }
    }
    return 0;
}

/* Those of one row that a node of this name has left. */
static void tell_missed(etx__home *home, const etx__member *mine) {
    const etx__view *seen = &home->survey->seen;
    for (const char *at = mine->homes; at[0] == ' '; at += 1 + ETX_HOME_ID_LEN) {
        char id[ETX_HOME_ID_LEN + 1];
        char text[300];
        snprintf(id, sizeof id, "%s", at + 1);
        if (member_with(home, seen->node, seen->nodes, id) == NULL &&
            etx__home_of(home->engine, id) == NULL) {
            snprintf(text, sizeof text,
                     "home %s was node %.64s's own when it was here last, and is none of its homes "
                     "now: what is unfinished there waits. Is its directory mounted, and named?",
                     id, mine->name);
            etx__monitor_home(home, 0, ETX_EVENT_HOME_MISSED, text);
        }
    }
}

void etx__survey_missed(etx__home *home) {
    const etx__view *seen = &home->survey->seen;
    for (uint32_t i = 0; i < seen->nodes; i++) {
        if (is_mine(home, seen->node[i].name)) {
            tell_missed(home, &seen->node[i]);
        }
    }
    for (uint32_t i = 0; i < seen->gones; i++) {
        if (is_mine(home, seen->gone[i].name)) {
            tell_missed(home, &seen->gone[i]);
        }
    }
}

int etx__survey_gone(etx__home *home, uint32_t number, etx_node_status *ret_status) {
    const etx__view *seen = &home->survey->seen;
    int found = 0;
    pthread_mutex_lock(&home->lock);
    for (uint32_t i = 0; !found && i < seen->gones; i++) {
        if (is_missed(home, &seen->gone[i]) && number-- == 0) {
            tell_member(home, &seen->gone[i], ret_status);
            found = 1;
        }
    }
    pthread_mutex_unlock(&home->lock);
    return found;
}

static int find_in(etx__home *home, const char *home_id, int gone, etx_partition_status *ret) {
    const etx__view *seen = &home->survey->seen;
    pthread_mutex_lock(&home->lock);
    const etx__member *node = member_with(home, gone ? seen->gone : seen->node,
                                          gone ? seen->gones : seen->nodes, home_id);
    if (node != NULL) {
        memcpy(ret->node, node->name, sizeof node->name);
        memcpy(ret->address, gone ? "" : node->address, gone ? 1 : sizeof node->address);
        ret->node_left_ms = left_ms(node->until_us);
    }
    if (node != NULL && gone) {
        snprintf(ret->why, sizeof ret->why,
                 "home %s is with node %s, which is not there: start it again, with its "
                 "directory%s%s%s",
                 home_id, node->name,
                 node->address[0] != 0 ? "; if it was only drained, ask it at " : "", node->address,
                 node->address[0] != 0 ? " itself" : "");
    }
    pthread_mutex_unlock(&home->lock);
    return node != NULL;
}

int etx__survey_finds(etx_engine *engine, const char *home_id, etx_partition_status *ret_status) {
    for (uint32_t i = 0; i < 2 * engine->home_count; i++) {
        etx__home *home = engine->home[i % engine->home_count];
        if (atomic_load(&home->opened) && home->survey != NULL &&
            find_in(home, home_id, i >= engine->home_count, ret_status)) {
            return 1;
        }
    }
    return 0;
}

int etx__survey_says(etx__home *home, uint32_t number, char *ret_text, size_t size) {
    char node[ETX_NAME_MAX + 1];
    char address[ETX__ADDRESS_MAX + 1];
    (void)etx__survey_who(home, number, node, address);
    if (node[0] == 0 || is_mine(home, node)) {
        snprintf(ret_text, size, "partition %u is about to be taken over", number);
        return 0;
    }
    snprintf(ret_text, size, "partition %u is with node %s%s%s", number, node,
             address[0] != 0 ? " at " : "", address);
    return 1;
}
