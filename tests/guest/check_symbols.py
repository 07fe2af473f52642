#!/usr/bin/env python3
"""What libetx.so must not need: a library in another's process neither prints nor ends it.

    check_symbols.py BUILD-ROOT
"""
import glob
import os
import re
import subprocess
import sys

FORBIDDEN = re.compile(
    r"^(_?exit|_Exit|quick_exit|atexit|at_quick_exit|on_exit|__cxa_atexit"
    r"|printf|vprintf|puts|putchar|perror|__printf_chk|__vprintf_chk|stdout|stderr|stdin"
    r"|setlocale|newlocale|uselocale|setenv|unsetenv|putenv|clearenv"
    r"|signal|sigaction|raise|kill|alarm|setitimer|chdir|umask|system|popen|fork|vfork"
    r"|strcpy|strcat|sprintf|strtok|gets|atoi|rand|srand|localtime|gmtime|strerror|getenv)$")


def main():
    found = [path for path in glob.glob(os.path.join(sys.argv[1], "**", "libetx.so*"), recursive=True)
             if os.path.isfile(path) and not os.path.islink(path) and not path.endswith(".symbols")]
    if len(found) != 1:
        print(f"one libetx.so is expected in the build: {found}")
        return 1
    listing = subprocess.run(["nm", "-D", "--undefined-only", found[0]], check=True,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listing.splitlines() if line.strip()}
    if not names:
        print("nothing is undefined: this is not a shared library that uses the C library")
        return 1
    wrong = sorted(name for name in names if FORBIDDEN.match(name))
    for name in wrong:
        print(f"libetx.so uses {name}")
    print(f"{len(names)} names are taken from outside, {len(wrong)} that must not be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
