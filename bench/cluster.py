#!/usr/bin/env python3
"""Measures a log in a store, and several etxd that share one: target, measured, met.

    bench/cluster.py [--build build] [--dir DIR] [--only LINE] [--store STORE] [--seconds S]
                     [--rounds N] [--minutes M] [--json]

Each line starts the stores that it needs, of its own, as durable as one alone can be, with their
data in DIR, which must be on the disk that is to be measured; ratios are of one run. A line takes
a minute or two; `space` takes --minutes for each store and is done only where it is named. Nothing
else should run on the machine meanwhile. Stores that are not installed are left out.
"""
import argparse
import json
import os
import sys

sys.dont_write_bytecode = True
BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [BENCH, os.path.join(BENCH, "..", "scripts")]
import cluster_failover  # noqa: E402
import cluster_log  # noqa: E402
import cluster_share  # noqa: E402
import cluster_space  # noqa: E402
import cluster_takeover  # noqa: E402
import stores  # noqa: E402

# Each yields rows: (what, target, results, what is to be said of them, whether that is enough).
LINES = {
    "put": cluster_log.put,
    "puts": cluster_log.puts,
    "etxd": cluster_share.etxd,
    "takeover": cluster_takeover.takeover,
    "failover": cluster_failover.failover,
    "nodes": cluster_share.nodes,
    "space": cluster_space.space,
}
# What runs in the environment of a store, and prints lines of JSON.
HERE = {"put": cluster_log.put_here, "puts": cluster_log.puts_here,
        "space": cluster_space.space_here}


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0], allow_abbrev=False)
    parser.add_argument("--build", default=os.path.join(stores.ROOT, "build"))
    parser.add_argument("--dir", default=None)
    parser.add_argument("--only", choices=list(LINES), action="append")
    parser.add_argument("--store", choices=list(stores.STORES)[1:], action="append",
                        help="of put, puts and space (default: all)")
    parser.add_argument("--seconds", type=float, default=3, help="of each load (default 3)")
    parser.add_argument("--rounds", type=int, default=3,
                        help="turns of put, etxd, takeover and failover (default 3)")
    parser.add_argument("--minutes", type=float, default=10, help="of space (default 10)")
    parser.add_argument("--json", action="store_true", help="one object a line instead")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.dir = options.dir and os.path.abspath(options.dir)
    options.store = options.store or list(stores.STORES)[1:]
    options.script = os.path.abspath(__file__)
    for name, place in (("etxd", "etxd"), ("etx", "cli"), ("load", "bench")):
        program = "http-load" if name == "load" else name
        setattr(options, name, os.path.join(options.build, place, program))
    return options


def tell(options, line, row):
    what, target, results, text, good = row
    if options.json:
        print(json.dumps({"line": line, "case": what, "target": target, "measured": text,
                          "met": good, "run": results}))
    else:
        print(f"| {what} | {target} | {text} | {'yes' if good else 'no'} |")
    sys.stdout.flush()


def main():
    options = read_options()
    if options.here:
        for found in HERE[options.only[0]](options, options.here):
            print(json.dumps(found), flush=True)
        return 0
    met = True
    if not options.json:
        print("| what | target | measured | met |\n|---|---|---|---|", flush=True)
    for line in options.only or [name for name in LINES if name != "space"]:
        for row in LINES[line](options):
            tell(options, line, row)
            met = met and row[-1]
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
