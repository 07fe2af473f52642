"""Lines of bench/cluster.py about work that etxd does on a PostgreSQL log: how much beside a file
log, and how evenly several share it."""
import contextlib
import statistics
import threading
import time

import cluster_nodes
from cluster_nodes import TAKEOVER_S, USERS, harness

SHARE_LEAST = 0.7
WAIT_US = 5000
UNEVEN_MOST = 0.1


def etxd(options):
    rates = {"file": [], "postgresql": []}
    runs = []
    with cluster_nodes.postgres(options) as store, harness.participants(options) as behind:
        for turn in range(options.rounds):
            for home, urls in (("file", ()), ("postgresql", [store.of(f"turn{turn}")])):
                with cluster_nodes.Node(options, "a", urls) as node:
                    result = harness.run(options, "tcc", USERS, node.port, behind["ports"],
                                         warmup=1)
                rates[home].append(result["per_s"])
                runs.append({"home": home, **result})
    file, shared_home = (statistics.mean(rates[home]) for home in ("file", "postgresql"))
    yield (f"etxd, HTTP participants, c={USERS}, PostgreSQL log",
           f">= {SHARE_LEAST:.0%} of a file log", runs,
           f"{shared_home / file:.0%}: {shared_home:,.0f} tx/s of {file:,.0f}",
           shared_home >= SHARE_LEAST * file and all(map(harness.is_clean, runs)))


# ---- nodes

def work(options, nodes, ports, chosen):
    """Users at all nodes alike for a time: how many transactions each node began."""
    before = [node.begun() for node in nodes]
    end = time.monotonic() + options.seconds
    failed = []

    def use(number):
        user, count = cluster_nodes.User(ports), 0
        while time.monotonic() < end:
            gid = f"{chosen}-{number}-{count}" if chosen else None
            status, answer = user.submit(nodes[(number + count) % len(nodes)].port, gid=gid)
            if status != 200 or answer["state"] != "COMMITTED":
                failed.append((status, answer))
            count += 1
        user.leave()

    users = [threading.Thread(target=use, args=(i,)) for i in range(4 * len(nodes))]
    for each in users:
        each.start()
    for each in users:
        each.join()
    return [node.begun() - then for node, then in zip(nodes, before)], failed


def share(options, nodes, behind, chosen):
    done, failed = work(options, nodes, behind["ports"], chosen)
    mean = statistics.mean(done)
    uneven = max(abs(each / mean - 1) for each in done) if mean else 1
    return {"done": done, "uneven": uneven, "failed": failed[:5], "failures": len(failed)}


def drive(options, store, behind, partitions):
    """One node, then three, then two."""
    homes = [store.of(f"nodes{partitions}", partitions)]
    found = {}
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(cluster_nodes.Node(options, "a", homes))]
        cluster_nodes.shared(nodes)
        found["one"] = share(options, nodes, behind, "one")
        begun = time.monotonic()
        nodes += [stack.enter_context(cluster_nodes.Node(options, name, homes)) for name in "bc"]
        cluster_nodes.shared(nodes)
        found["even_s"] = time.monotonic() - begun
        found["partitions"] = cluster_nodes.counts(nodes)
        found["made"] = share(options, nodes, behind, "")
        found["chosen"] = share(options, nodes, behind, "three")
        begun = time.monotonic()
        nodes.pop().kill()
        cluster_nodes.shared(nodes)
        found["taken_s"] = time.monotonic() - begun
        found["rest"] = cluster_nodes.counts(nodes)
        found["after"] = share(options, nodes, behind, "after")
    return found


def judge(found):
    """By the partitions that each has: what a node does beyond its part of them."""
    shares = [done / each for done, each in zip(found["chosen"]["done"], found["partitions"])]
    mean = sum(found["chosen"]["done"]) / sum(found["partitions"])
    return max(abs(each / mean - 1) for each in shares)


def nodes(options):
    with cluster_nodes.postgres(options) as store, harness.participants(options, WAIT_US) as behind:
        for partitions in (16, 48):
            found = drive(options, store, behind, partitions)
            made, chosen = found["made"], found["chosen"]
            beyond = judge(found)
            total = sum(chosen["done"])
            text = (f"gids made by ETX: {made['uneven']:.1%} off; chosen: "
                    + "/".join(f"{each / total:.1%}" for each in chosen["done"])
                    + f" with {'/'.join(map(str, found['partitions']))} partitions, "
                    f"{chosen['uneven']:.1%} off, {beyond:.1%} off the partitions' part; "
                    f"even after {found['even_s']:.1f} s")
            even = beyond if partitions % 3 else chosen["uneven"]
            yield (f"3 nodes, {partitions} partitions, participants wait 5 ms",
                   f"even, +-{UNEVEN_MOST:.0%}"
                   + (" of their partitions' part" if partitions % 3 else ""), found, text,
                   max(made["uneven"], even) <= UNEVEN_MOST
                   and made["failures"] + chosen["failures"] == 0)
            yield ("... one is killed: its share is taken", f"<= {TAKEOVER_S} s", found,
                   f"{'/'.join(map(str, found['rest']))} partitions after "
                   f"{found['taken_s']:.1f} s, {found['after']['uneven']:.1%} off, "
                   f"{found['after']['failures']} failed",
                   found["taken_s"] <= TAKEOVER_S and found["after"]["failures"] == 0)
