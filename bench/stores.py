#!/usr/bin/env python3
"""Runs `etx bench` on a log in each store, and on a file log before and after: prints ratios.

    bench/stores.py [--build build] [--dir DIR] [--seconds S] [--only STORE] [--json]

Each store is one of its own, on this machine, as durable as it can be alone (scripts/with-postgres
--durable and the like), with its data where TMPDIR or --dir says: name a directory on the disk that
is to be measured. Stores that are not installed are left out. Nothing else should run meanwhile.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CASES = (("one", "blocking", 1), ("many", "async", 1024))
# How a store is started, and the URL of a new log there.
STORES = {
    "file": ([], "file:{dir}/log-{case}"),
    "postgresql": (["with-postgres", "--durable"], "postgresql://?schema=bench_{case}"),
    "mariadb": (["with-mariadb", "--durable"],
                "mariadb://etx@/etx?socket={MARIADB_SOCKET}&prefix={case}"),
    "etcd": (["with-etcd"], "etcd://{ETX_ETCD}/bench_{case}"),
    "redis": (["with-redis", "--durable"], "redis:///0?prefix={case}&socket={REDIS_SOCKET}"),
}


def url_of(options, store, case):
    """Of a new log, in the environment of a store that runs."""
    return STORES[store][1].format(case=case, dir=options.dir, **os.environ)


def etx_bench(options, url, callers, in_flight):
    """What `etx bench` measures on that log."""
    done = subprocess.run(
        [os.path.join(options.build, "cli", "etx"), "bench", "--callers", callers, "--in-flight",
         str(in_flight), "--seconds", str(options.seconds), "--home", url, "--json"],
        stdout=subprocess.PIPE, check=False, timeout=600, stdin=subprocess.DEVNULL, text=True)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def bench_here(options, store):
    """Both cases, in the environment of a store that runs: a line of JSON each."""
    for case, callers, in_flight in CASES:
        found = etx_bench(options, url_of(options, store, case), callers, in_flight)
        print(json.dumps({"case": case, **found}), flush=True)
    return 0


def run_beside(options, store, script, *words):
    """What a script prints as lines of JSON, told by --here that the store runs; None: the store is
    not installed."""
    starter = STORES[store][0]
    start = [os.path.join(ROOT, "scripts", starter[0]), *starter[1:]] if starter else []
    with tempfile.TemporaryDirectory(prefix="etx-stores-", dir=options.dir) as folder:
        os.chmod(folder, 0o755)
        done = subprocess.run(
            [*start, sys.executable, os.path.abspath(script), "--here", store, "--build",
             options.build, "--dir", folder, "--seconds", str(options.seconds), *words],
            env=dict(os.environ, TMPDIR=folder), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 77:
        return None
    if done.returncode != 0:
        raise SystemExit(f"{store}: exit status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def bench(options, store):
    """{case: figures}, or None: the store is not installed."""
    figures = run_beside(options, store, __file__)
    return figures and {one["case"]: one for one in figures}


def report(options, store, found, base):
    if options.json:
        print(json.dumps({"store": store, **found}))
        return
    one, many = found["one"], found["many"]
    slower = one["p50_us"] / base["one"]["p50_us"]
    share = many["tx_per_s"] / base["many"]["tx_per_s"]
    print(f"{store:<11} one: p50 {one['p50_us']:>6.0f} us ({slower:.1f} x file); "
          f"1,024 in flight: {many['tx_per_s'] / 1000:>4.0f}k tx/s ({share:.2f} x file), "
          f"{many['tx_per_put']:.0f} transactions a put, {many['cpu_us_per_tx']:.1f} us of cpu",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0], allow_abbrev=False)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--dir", default=None)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", choices=sorted(STORES))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.dir = options.dir and os.path.abspath(options.dir)
    if options.here:
        return bench_here(options, options.here)
    base = bench(options, "file")
    report(options, "file", base, base)
    for store in [options.only] if options.only else list(STORES)[1:]:
        found = bench(options, store)
        if found is None:
            print(f"{store:<11} is not installed")
        else:
            report(options, store, found, base)
    if not options.only:
        report(options, "file", bench(options, "file"), base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
