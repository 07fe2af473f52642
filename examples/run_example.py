#!/usr/bin/env python3
"""Runs an example in a directory of its own and checks what it prints.

    run_example.py NAME PROGRAM
"""
import os
import subprocess
import sys
import tempfile


def run(program, *arguments, status=0):
    """The program's output; an error if it ends otherwise than expected."""
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False)
    print("$", os.path.basename(program), *arguments)
    print(done.stdout + done.stderr, end="")
    if done.returncode != status:
        raise AssertionError(f"ended with {done.returncode}, not {status}")
    return done.stdout


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def transfer(program):
    for _ in range(2):  # the second run finds the log of the first
        output = run(program)
        expect(output.count("confirm") == 2, "both accounts are confirmed")
        expect("COMMITTED" in output, "it is committed")


def own_log(program):
    output = run(program)
    expect("100 committed" in output, "all of them are committed")


def bank(program):
    os.mkdir("d")
    run(program, "d", "open")
    expect("COMMITTED" in run(program, "d", "transfer", "alice", "bob", "300"), "money moves")
    output = run(program, "d", "transfer", "alice", "bob", "701")
    expect("ABORTED" in output and "not enough money" in output, "too much is refused")
    run(program, "d", "transfer", "alice", "nobody", "1", status=1)
    for delay in range(1, 31):  # killed anywhere, it is all or nothing
        killed = subprocess.Popen([program, "d", "transfer", "bob", "alice", "1"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            killed.wait(timeout=0.001 * delay)
        except subprocess.TimeoutExpired:
            killed.kill()
            killed.wait()
    balances = dict(line.split() for line in run(program, "d", "show").splitlines())
    expect(int(balances["alice"]) + int(balances["bob"]) == 2000, "no money is made or lost")
    expect(700 <= int(balances["alice"]) <= 730, "what moved is what was asked")


def main():
    name, program = sys.argv[1], os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="etx-example-") as scratch:
        os.chdir(scratch)
        {"transfer": transfer, "own-log": own_log, "bank": bank}[name](program)
        os.chdir("/")


if __name__ == "__main__":
    main()
