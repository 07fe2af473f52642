#!/usr/bin/env python3
"""Runs `etx bench` for each case of docs/performance.md, and prints ratios within one run.

    bench/table.py [--etx build/cli/etx] [--dir DIR] [--seconds S] [--only NAME] [--json]

DIR must be on the disk that is to be measured. Nothing else should run on the machine meanwhile.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile


def bench(options, *words):
    """One run of etx bench, in a directory of its own."""
    home = tempfile.mkdtemp(prefix="etx-table-", dir=options.dir)
    try:
        command = [options.etx, "bench", *words, "--home", "file:" + os.path.join(home, "log"),
                   "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600,
                              stdin=subprocess.DEVNULL)
        return json.loads(done.stdout)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def load(options, pattern, callers, in_flight):
    return bench(options, "--pattern", pattern, "--branches", "3", "--callers", callers,
                 "--in-flight", str(in_flight), "--seconds", str(options.seconds))


def one_caller(options):
    run = load(options, "tcc", "blocking", 1)
    return run, f"p50 {run['p50_per_sync']:.2f} x sync_p50", run["p50_per_sync"] <= 2.3


def async_64(options):
    run = load(options, "tcc", "async", 64)
    good = run["tx_per_sync"] >= 15 and run["p99_per_sync"] <= 6
    return run, (f"{run['tx_per_sync']:.1f} x sync_per_s, "
                 f"p99 {run['p99_per_sync']:.1f} x sync_p50 "
                 f"(of a sync alone: {run['sync_p99_us'] / run['sync_p50_us']:.1f} x, of a put: < "
                 f"{run['put_p99_us'] / run['sync_p50_us']:.1f} x; {64 / run['tx_per_put']:.1f} "
                 "puts each)"), good


def async_1024(options):
    run = load(options, "tcc", "async", 1024)
    good = run["tx_per_s"] >= 500000 and run["cpu_us_per_tx"] <= 2.5
    return run, f"{run['tx_per_s'] / 1000:.0f}k tx/s, {run['cpu_us_per_tx']:.2f} us CPU", good


def blocking_64(options):
    run = load(options, "tcc", "blocking", 64)
    return run, f"{run['tx_per_sync']:.1f} x sync_per_s", run["tx_per_sync"] >= 4


def saga_64(options):
    saga = load(options, "saga", "async", 64)
    tcc = load(options, "tcc", "async", 64)
    ratio = saga["tx_per_s"] / tcc["tx_per_s"]
    return saga, f"{ratio:.2f} x TCC", ratio >= 1


def million(options):
    run = bench(options, "--in-flight", "1000000", "--slow")
    beyond = run["bytes_per_tx"] - run["payload"] * run["branches"]
    return run, f"{beyond:.0f} bytes each beyond payload", beyond <= 1024 and run["errors"] == 0


def recovery_live(options):
    run = bench(options, "recovery", "--live", "1000000")
    return run, f"ready in {run['start_s']:.2f} s", run["start_s"] <= 3


def recovery_finished(options):
    none = bench(options, "recovery", "--live", "1000")
    run = bench(options, "recovery", "--live", "1000", "--finished", "10000000")
    return run, f"{run['start_s']:.2f} s, none: {none['start_s']:.2f} s", \
        run["start_s"] <= none["start_s"] + 0.25


def recovery_remembered(options):
    run = bench(options, "recovery", "--live", "1000", "--remembered", "1000000")
    return run, f"{run['start_s']:.2f} s", run["start_s"] <= 1


CASES = {
    "one-caller": ("1 caller, TCC of 3", "p50 <= 2.3 x sync_p50", one_caller),
    "async-64": ("async, 64 in flight", ">= 15 x sync_per_s, p99 <= 6 x sync_p50", async_64),
    "async-1024": ("async, 1024 in flight", ">= 500k tx/s, <= 2.5 us CPU", async_1024),
    "blocking-64": ("blocking, 64 threads", ">= 4 x sync_per_s", blocking_64),
    "saga-64": ("saga of 3, 64 in flight", "not below TCC", saga_64),
    "million": ("1 million in flight", "<= 1 KiB each beyond payload", million),
    "recovery-live": ("recovery, 1 million live", "<= 3 s", recovery_live),
    "recovery-finished": ("recovery, 10 million finished and trimmed", "no slower than none",
                          recovery_finished),
    "recovery-remembered": ("recovery, 1 million remembered", "<= 1 s", recovery_remembered),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--etx", default="build/cli/etx")
    parser.add_argument("--dir", default=".")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", choices=sorted(CASES), action="append")
    parser.add_argument("--json", action="store_true", help="one object a line instead")
    options = parser.parse_args()
    if not options.json:
        print("| case | target | measured | met |\n|---|---|---|---|")
    met = True
    for name in options.only or CASES:
        title, target, measure = CASES[name]
        run, text, good = measure(options)
        met = met and good
        if options.json:
            print(json.dumps({"case": name, "measured": text, "met": good, "run": run}))
        else:
            print(f"| {title} | {target} | {text} | {'yes' if good else 'no'} |")
        sys.stdout.flush()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
