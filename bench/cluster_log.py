"""Lines of bench/cluster.py that are measured in process, on a log in each store."""
import json
import os
import statistics
import subprocess

import stores

PUT_MOST = 2.5
IN_FLIGHT = (1, 16, 64, 256, 1024)
RATE_LEAST = 100000  # transactions a second
RATED = ("postgresql", "mariadb", "etcd")


def beside_each(options, line, *words):
    """(store, what the line has measured beside it)."""
    for store in options.store:
        found = stores.run_beside(options, store, options.script, "--only", line, *words)
        if found is not None:
            yield store, found


# ---- one transaction beside one put

def bare_put(options, like, url):
    """The adapter's own put of the same batches, over one connection."""
    done = subprocess.run(
        [os.path.join(options.build, "bench", "log-put"), "--seconds", str(options.seconds / 2),
         like, url], stdout=subprocess.PIPE, check=True, timeout=600, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout)


def put_here(options, store):
    for turn in range(options.rounds):
        like = stores.url_of(options, store, f"one{turn}")
        one = stores.etx_bench(options, like, "blocking", 1)
        yield {"one": one, "bare": bare_put(options, like,
                                            stores.url_of(options, store, f"bare{turn}"))}


def put(options):
    for store, found in beside_each(options, "put", "--rounds", str(options.rounds)):
        ratios = [turn["one"]["p50_us"] / turn["bare"]["p50_us"] for turn in found]
        ratio = statistics.median_low(ratios)
        middle = found[ratios.index(ratio)]
        text = (f"{ratio:.2f} x ({min(ratios):.2f} to {max(ratios):.2f}): "
                f"{middle['one']['p50_us']:.0f} us, a put {middle['bare']['p50_us']:.0f} us")
        yield (f"p50 of one TCC in process, {store}", f"<= {PUT_MOST} x a put", found, text,
               ratio <= PUT_MOST)


# ---- what a put carries

def puts_here(options, store):
    for in_flight in IN_FLIGHT:
        yield stores.etx_bench(options, stores.url_of(options, store, f"f{in_flight}"), "async",
                               in_flight)


def puts(options):
    for store, found in beside_each(options, "puts"):
        carried = [one["tx_per_put"] for one in found]
        text = ", ".join(f"{one['in_flight']}: {one['tx_per_put']:.1f}" for one in found)
        yield (f"transactions a put, {store}", "rises with those in flight", found, text,
               carried == sorted(carried))
        if store in RATED:
            rate = found[-1]["tx_per_s"]
            yield (f"{IN_FLIGHT[-1]:,} in flight, in process, {store}",
                   f">= {RATE_LEAST:,} tx/s", found[-1],
                   f"{rate / 1000:.0f}k tx/s", rate >= RATE_LEAST)
