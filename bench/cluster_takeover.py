"""The line of bench/cluster.py about a node that is killed, or ends: when what it had goes on."""
import signal
import time

import cluster_nodes
from cluster_nodes import LEASE_S, TAKEOVER_S

LEAVE_S = 0.1
HELD = 20


def hold(part, node):
    """Transactions of that node, whose calls wait; their gids."""
    part.holds = True
    user = cluster_nodes.User([part.port()])
    gids = []
    for _ in range(HELD):
        status, answer = user.submit(node.port, "begun")
        if status not in (200, 202):
            raise SystemExit(f"cluster: a transaction was not begun: {status} {answer}")
        gids.append(answer["gid"])
    user.leave()
    cluster_nodes.until(lambda: set(gids) <= {gid for _, gid, _ in part.calls}, "each is called")
    return gids


def went_on(part, gids, begun):
    """How long after `begun` they were called by another owner, each for the first time: sorted."""
    def first():
        found = {}
        for at, gid, attempt in part.calls:
            if at > begun and attempt == 1 and gid in gids:
                found.setdefault(gid, at - begun)
        return found
    cluster_nodes.until(lambda: len(first()) == len(gids), "all go on")
    part.holds = False
    return sorted(first().values())


def lose(options, store, part, name, how):
    """One of two nodes ends like that; how long its transactions wait, each time."""
    waited = []
    for i in range(options.rounds):
        homes = [store.of(f"{name}{i}")]
        with cluster_nodes.Node(options, "a", homes) as left, \
                cluster_nodes.Node(options, "b", homes) as other:
            cluster_nodes.shared([left, other])
            gids = hold(part, left)
            begun = time.monotonic()
            left.process.send_signal(how)
            waited.append(went_on(part, gids, begun))
            cluster_nodes.until(lambda: left.process.poll() is not None, "it ends")
    return waited


def takeover(options):
    part = cluster_nodes.Participant()
    with cluster_nodes.postgres(options) as store:
        for what, name, how, most in (
                (f"a node is killed, lease {LEASE_S} s", "killed", signal.SIGKILL, TAKEOVER_S),
                ("a node leaves in order", "left", signal.SIGTERM, LEAVE_S)):
            waited = lose(options, store, part, name, how)
            shown = ", ".join(f"{1000 * each[0]:,.0f} to {1000 * each[-1]:,.0f}" for each in waited)
            last = max(each[-1] for each in waited)
            yield (f"{what}: its {HELD} transactions go on", f"<= {1000 * most:,.0f} ms", waited,
                   f"{shown} ms, the first to the last", last <= most)
    part.close()
