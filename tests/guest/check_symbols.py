#!/usr/bin/env python3
"""What libetx.so must not need: a library in another's process neither prints nor ends it, and
raises no SIGPIPE, since it has nothing that a reader could close: no sockets, no pipes.

    check_symbols.py SOURCE-ROOT BUILD-ROOT

One file may write to standard error and abort: the one that says which assertion failed.
"""
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "style"))
import style_objects  # noqa: E402

FORBIDDEN = re.compile(
    r"^(_?exit|_Exit|quick_exit|atexit|at_quick_exit|on_exit|__cxa_atexit"
    r"|printf|vprintf|puts|putchar|perror|__printf_chk|__vprintf_chk|stdout|stdin"
    r"|setlocale|newlocale|uselocale|setenv|unsetenv|putenv|clearenv|getenv"
    r"|signal|sigaction|sigprocmask|raise|kill|tgkill|pthread_kill|alarm|setitimer|timer_create"
    r"|socket|socketpair|connect|accept4?|send|sendto|sendmsg|sendmmsg|splice|tee|vmsplice"
    r"|pipe2?|mkfifo(at)?|mknod(at)?|openpty|chdir|fchdir|umask|system|popen|fork|vfork"
    r"|strcpy|strcat|sprintf|strtok|gets|atoi|rand|srand|localtime|gmtime)$")
LAST_WORDS = re.compile(r"^(stderr|abort|__assert_fail)$")


def main():
    source_root, build_root = sys.argv[1:]
    found = [path for path in glob.glob(os.path.join(build_root, "**", "libetx.so*"),
                                        recursive=True)
             if os.path.isfile(path) and not os.path.islink(path)
             and not path.endswith(".symbols")]
    if len(found) != 1:
        print(f"one libetx.so is expected in the build: {found}")
        return 1
    listing = subprocess.run(["nm", "-D", "--undefined-only", found[0]], check=True,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listing.splitlines() if line.strip()}
    wrong = [f"libetx.so uses {name}" for name in sorted(names) if FORBIDDEN.match(name)]
    objects = style_objects.objects_of(build_root, source_root)
    for source, paths in sorted(objects.items()):
        if source.startswith("src/") and source != "src/protocol/assert.c":
            wrong += [f"{source} uses {name}" for name in sorted(style_objects.undefined(paths[0]))
                      if LAST_WORDS.match(name)]
    print(*wrong, sep="\n")
    print(f"{len(names)} names are taken from outside, {len(wrong)} that must not be")
    return 1 if wrong or not names else 0


if __name__ == "__main__":
    sys.exit(main())
