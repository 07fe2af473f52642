/* A codec and a monitor made outside of the tree, by the public headers alone.
 *
 * A first engine writes with the codec, a second reads with it what the first wrote, a third does
 * without and is refused; the monitor hears all of each transaction. Prints how often they were
 * used. */
#include <etx/codec.h>
#include <etx/etx.h>
#include <etx/monitor.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { CODEC_ID = 200, SIGN = '#' };

/* ---- the codec: a sign of its own before what the binary codec writes */

static atomic_uint encoded;
static atomic_uint decoded;

static size_t own_bound(const etx_record *record) {
    return 1 + etx_codec_binary()->bound(record);
}

static size_t own_encode(const etx_record *record, void *buffer) {
    char *at = buffer;
    size_t len = etx_codec_binary()->encode(record, at + 1);
    if (len == 0) {
        return 0;
    }
    *at = SIGN;
    encoded++;
    return len + 1;
}

static int own_decode(etx_bytes bytes,
                      etx_record_room *room,
                      etx_record *ret_record,
                      size_t *ret_used) {
    const char *at = bytes.data;
    if (bytes.len == 0 || *at != SIGN) {
        return ETX_ECORRUPT;
    }
    int rc =
        etx_codec_binary()->decode((etx_bytes){at + 1, bytes.len - 1}, room, ret_record, ret_used);
    if (rc == 0) {
        *ret_used += 1;
        decoded++;
    }
    return rc;
}

static const etx_codec own_codec = {
    ETX_CODEC_VERSION, CODEC_ID, "own", own_bound, own_encode, own_decode,
};

/* ---- the monitor: what it heard of a transaction */

typedef struct heard {
    atomic_uint begun;
    atomic_uint decided;
    atomic_uint ended;
    atomic_uint endings; /* those told with both branches */
} heard;

static void hear_event(const etx_event *event, void *user) {
    heard *all = user;
    if (strncmp(event->gid, "order-", 6) != 0) {
        return;
    }
    all->begun += event->type == ETX_EVENT_BEGUN;
    all->decided += event->type == ETX_EVENT_DECIDED && event->state == ETX_COMMITTING;
    all->ended += event->type == ETX_EVENT_ENDED && event->state == ETX_COMMITTED;
}

static void hear_ending(const etx_status *status, const etx_ending *ending, void *user) {
    heard *all = user;
    uint32_t place;
    for (place = 0; place < status->branch_count; place++) {
        etx_branch_status branch = {.size = sizeof branch};
        if (etx_ending_branch(ending, place, &branch) != 0 ||
            strcmp(branch.participant, "shelf") != 0) {
            return;
        }
    }
    all->endings += place == 2;
}

/* ---- the program */

static etx_reply agree(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

/* An engine on the log, with the codec or without. The start's answer. */
static int start(etx_engine **ret_engine, const etx_codec *codec, const etx_monitor *monitor) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_participant shelf = ETX_PARTICIPANT_INIT;
    options.codec = codec;
    options.monitor = monitor;
    shelf.name = "shelf";
    shelf.kind = ETX_TCC;
    shelf.forward = shelf.commit = shelf.undo = agree;
    if (etx_engine_create(&options, ret_engine) != 0 ||
        etx_engine_home(*ret_engine, "file:own-codec") != 0 ||
        etx_engine_register(*ret_engine, &shelf) != 0) {
        return ETX_EINVALID;
    }
    return etx_engine_start(*ret_engine);
}

static int run_order(etx_engine *engine, const char *gid) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    options.gid = gid;
    int rc = etx_tx_new(engine, &options, &tx);
    if (rc == 0) {
        etx_tx_add(tx, "shelf", "tea", 3);
        etx_tx_add(tx, "shelf", "cup", 3);
        rc = etx_tx_run(tx, &outcome);
    }
    return rc == 0 && outcome.state == ETX_COMMITTED ? 0 : 1;
}

/* An engine's life: is the order known that must be, if one must; then it runs another. */
static int live(const etx_monitor *monitor, const char *known, const char *gid) {
    etx_engine *engine = NULL;
    int failed = start(&engine, &own_codec, monitor) != 0;
    if (!failed && known != NULL) {
        etx_status status = {.size = sizeof status};
        failed = etx_query(engine, known, &status) != 0 || status.state != ETX_COMMITTED;
    }
    failed = failed || run_order(engine, gid) != 0;
    etx_engine_close(engine, ETX_CLOSE_FINISH, 5000);
    etx_engine_free(engine);
    return failed;
}

int main(void) {
    heard all = {0};
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_engine *engine = NULL;
    char message[512] = "";
    monitor.on_event = hear_event;
    monitor.on_ending = hear_ending;
    monitor.user = &all;
    monitor.events = 1 << ETX_EVENT_BEGUN | 1 << ETX_EVENT_DECIDED | 1 << ETX_EVENT_ENDED;
    int failed = live(&monitor, NULL, "order-1");
    unsigned at_first = decoded;
    failed = failed || live(&monitor, "order-1", "order-2");
    printf("lives: %s; encoded %u, decoded %u and %u\n", failed ? "failed" : "well", encoded,
           at_first, decoded - at_first);
    printf("heard: %u begun, %u decided, %u ended, %u endings\n", all.begun, all.decided, all.ended,
           all.endings);
    int rc = start(&engine, NULL, NULL);
    etx_engine_message(engine, message, sizeof message);
    printf("without: %s %s\n", etx_error_name(rc), message);
    etx_engine_free(engine);
    return failed;
}
