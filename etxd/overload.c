/* Overload: what this thread cannot do in time is refused at once, before it is read. */
#include "etxd.h"

/* A transaction comes by the loop's thread some six times. If what is ready waits long for that
 * thread, all of them wait six times as long, and more of them only make it worse: so nothing new
 * is begun then. Participants that take their time do not count: nobody waits for this thread
 * because of them. One turn that takes long says little (the machine may have been busy with
 * others): only several in a row are an overload. From then on each late turn refuses, until there
 * was none for a while. So long there is a limit on how many are in progress as well, which late
 * turns lower and others raise: if the engine or the participants halt for a moment, the loop has
 * time to take in far more than can be done in time afterwards. While few are in progress nothing
 * is refused: they are soon done. */

enum { LATE_TURNS = 4, CALM_MS = 1000, LIMIT_LEAST = 128 };

static void learn(etxd_pressure *pressure, int late, uint32_t open) {
    pressure->late = late ? pressure->late + 1 : 0;
    if (late) {
        pressure->limit = pressure->limit < open ? pressure->limit : open;
        pressure->limit -= pressure->limit / 8;
        pressure->limit = pressure->limit > LIMIT_LEAST ? pressure->limit : LIMIT_LEAST;
    } else if (pressure->limit < UINT32_MAX / 2) {
        pressure->limit += pressure->limit / 64 + 1;
    }
}

static int is_overload(etxd_pressure *pressure, const net_loop *loop, int late, uint32_t open) {
    uint64_t turn = net_loop_turns(loop);
    uint64_t now = net_loop_now_ms(loop);
    if (now >= pressure->until_ms && pressure->late == 0) {
        pressure->limit = UINT32_MAX;
    }
    if (pressure->turn != turn) {
        pressure->turn = turn;
        learn(pressure, late, open);
    }
    if (open < LIMIT_LEAST) {
        return 0;
    }
    if (late && (pressure->late >= LATE_TURNS || now < pressure->until_ms)) {
        pressure->until_ms = now + CALM_MS;
        return 1;
    }
    return now < pressure->until_ms && open >= pressure->limit;
}

int etxd_overload_guard(etxd_exchange *x) {
    etxd *server = x->server;
    uint64_t waited = net_loop_waited_us(server->loop);
    uint64_t most = server->config.overload * 1000;
    uint32_t open = atomic_load(&server->counts.waiting);
    if (most == 0 || !is_overload(&server->pressure, server->loop, waited > most, open)) {
        return 0;
    }
    return etxd_problem_set(&x->problem, ETXD_BUSY_PROBLEM,
                            "more comes than is done in time: requests waited %llu ms for this "
                            "server (see --overload)",
                            (unsigned long long)(waited / 1000));
}
