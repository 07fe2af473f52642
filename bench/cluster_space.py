"""The line of bench/cluster.py about room: what a store keeps at full load, beside what is live.

Live are the slots that are not trimmed, with 64 bytes for each beside its batch. Kept is what the
store holds for them: table and indexes, tablespace, database file, memory. It does not shrink, so
it is compared with the most that was live until then. What a store writes beside that (WAL, binary
log, append-only file) goes by the store's own settings; it is shown, not judged.
"""
import json
import os
import re
import subprocess
import time

import cluster_log
import stores

MIB = 1 << 20
SAMPLES = 20
SLOT_COST = 64
PARTITIONS = 16
LOAD = 1024
# What may be kept beyond twice the live slots, and why.
ROOM = {
    "postgresql": 128 * MIB,  # VACUUM begins at 32 MiB that are dead; more die while it runs
    "mariadb": 128 * MIB,     # what dies until the purge comes
    "etcd": 512 * MIB,        # what is put in the five seconds between two compactions, twice
    "redis": 64 * MIB,        # the server itself, and its buffers
}
OPTIONS = {"etcd": "?compact=5"}


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120, text=True,
                          stdin=subprocess.DEVNULL).stdout


def below(folder, names=""):
    """Bytes of files in a directory whose names match."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                if re.fullmatch(names or ".*", name):
                    total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def look_postgresql():
    live, kept, wal = run("psql", "-XqtAF ", "-c", f"""
        SELECT coalesce(sum(octet_length(batch) + {SLOT_COST}), 0),
         pg_total_relation_size('bench_space.etx_log_slot'),
         (SELECT sum(size) FROM pg_ls_waldir()) FROM bench_space.etx_log_slot""").split()
    return int(live), int(kept), int(wal)


def look_mariadb():
    say = ["mariadb", "--no-defaults", f"--socket={os.environ['MARIADB_SOCKET']}", "-uroot",
           "-NBe"]
    data = os.path.join(os.path.dirname(os.environ["MARIADB_SOCKET"]), "data")
    live = run(*say, f"SELECT coalesce(sum(size + {SLOT_COST}), 0) FROM etx.space_log_slot")
    binary_log = below(data, r"bin\.\d+")
    # as binlog_expire_logs_seconds would, sooner
    run(*say, "FLUSH BINARY LOGS; PURGE BINARY LOGS BEFORE NOW()")
    return int(live), below(data, r"space_log_slot\.ibd|ibdata1|undo\d+"), binary_log


def look_etcd():
    endpoint = json.loads(run("etcdctl", "endpoint", "status", "-w", "json"))[0]["Status"]
    key = "bench_space/p/000/s/"
    values = subprocess.run(["etcdctl", "get", "--prefix", key, "--print-value-only",
                             "--consistency=s"], stdout=subprocess.PIPE, check=True, timeout=120)
    # partitions are filled evenly
    live = len(values.stdout) * PARTITIONS
    return live, endpoint["dbSize"], below(os.environ["ETX_ETCD_DIR"], r".*\.(wal|snap|tmp)")


def look_redis():
    say = ["redis-cli", "-s", os.environ["REDIS_SOCKET"]]
    live = sum(int(run(*say, "HGET", f"{{space}}:{i}", "bytes")) for i in range(PARTITIONS))
    memory = re.search(r"^used_memory:(\d+)", run(*say, "INFO", "memory"), re.M)
    return live, int(memory.group(1)), below(os.path.join(os.environ["REDIS_DIR"],
                                                          "appendonlydir"))


LOOK = {"postgresql": look_postgresql, "mariadb": look_mariadb, "etcd": look_etcd,
        "redis": look_redis}


def space_here(options, store):
    url = stores.url_of(options, store, "space") + OPTIONS.get(store, "")
    seconds = options.minutes * 60
    begun = time.monotonic()
    load = subprocess.Popen(
        [options.etx, "bench", "--in-flight", str(LOAD), "--warm-up", "50ms", "--seconds",
         f"{seconds:.1f}", "--home", url, "--json"], stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL)
    try:
        while time.monotonic() - begun < seconds:
            time.sleep(max(0.1, min(seconds / SAMPLES, begun + seconds - time.monotonic())))
            live, kept, beside = LOOK[store]()
            yield {"s": round(time.monotonic() - begun, 1), "live": live, "kept": kept,
                   "beside": beside}
        found = json.loads(load.communicate(timeout=300)[0])
        yield {"tx_per_s": found["tx_per_s"], "errors": found["errors"],
               "first_error": found["first_error"]}
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()


def space(options):
    for store, found in cluster_log.beside_each(options, "space", "--minutes",
                                                str(options.minutes)):
        most = most_beyond = 0
        for one in found[:-1]:
            most = max(most, one["live"])
            most_beyond = max(most_beyond, one["kept"] - 2 * most)
        last = found[-2]
        text = (f"kept {max(one['kept'] for one in found[:-1]) / MIB:,.0f} MiB at most, "
                f"{last['kept'] / MIB:,.0f} at the end; live {most / MIB:,.0f}, "
                f"{last['live'] / MIB:,.0f}; beside {last['beside'] / MIB:,.0f}; "
                f"{found[-1]['tx_per_s'] / 1000:.0f}k tx/s, {found[-1]['errors']} errors")
        yield (f"{options.minutes:g} minutes of {LOAD:,} in flight, {store}",
               f"kept <= 2 x live + {ROOM[store] / MIB:.0f} MiB", found, text,
               most_beyond <= ROOM[store] and found[-1]["errors"] == 0)
