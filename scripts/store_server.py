"""Servers that a test starts beside a command, and that end with it: what with-postgres,
with-mariadb, with-etcd and with-redis have in common.

Each server has a new directory that is closed to others, and listens there or on loopback. Started
by root, it runs as a user of its own. No server of the system is used or changed.
"""
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

START_S = 120
SKIPPED = 77
FAILED = 125


class Missing(Exception):
    """The store is not installed; says what to do."""


class Broken(Exception):
    """A server did not start; says why."""


def run_as(*names):
    """Whom a server runs as: not root; the first of these users that is there, or nobody."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in (*names, "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Broken(f"none of the users {', '.join(names)} and nobody is there")


class Server:
    """One server in a directory of its own."""

    END = signal.SIGINT  # what ends it, also when this program was killed

    def __init__(self, home, user):
        self.home, self.user = home, user
        self.log = os.path.join(home, "log")
        self.process = None
        if os.geteuid() == 0:
            os.chown(home, user.pw_uid, user.pw_gid)

    def launch(self):
        """Starts the server's process, by spawn."""
        raise NotImplementedError

    def is_ready(self):
        """Does it serve? Asked again and again while it starts."""
        raise NotImplementedError

    def as_user(self, command):
        """The command, run as the server's user, and ended when this program is."""
        change = [] if os.geteuid() != 0 else [
            f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        return ["setpriv", *change, f"--pdeathsig={self.END.name[3:]}", *command]

    def spawn(self, *command):
        with open(self.log, "ab") as output:
            return subprocess.Popen(self.as_user(command), stdin=subprocess.DEVNULL, stdout=output,
                                    stderr=output, cwd=self.home, start_new_session=True)

    def do(self, what, *command):
        """Runs a program of the store to its end."""
        if self.spawn(*command).wait() != 0:
            raise Broken(f"{what} failed:\n{self.tail()}")

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        """Starts it, again where it was killed, and waits until it is ready."""
        until = time.monotonic() + START_S
        while not self.is_ready():
            if not self.is_up():
                # one that was killed may have left something that holds it up a little longer
                self.process = self.launch()
            if time.monotonic() > until:
                raise Broken(f"the server did not start:\n{self.tail()}")
            time.sleep(0.05)

    def stop(self):
        if self.is_up():
            self.process.send_signal(self.END)
            self.process.wait()


def beside(servers, command, env, revive):
    """The command's exit status. `revive`: a server that is killed is started again."""
    running = subprocess.Popen(command, env=env)
    while running.poll() is None:
        for server in servers if revive else ():
            if not server.is_up():
                server.start()
        try:
            running.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    return running.returncode


def main(name, modes, start):
    """`start(home, mode, servers)` starts what the mode asks for, appends each server to `servers`
    before it is started, and returns the command's environment. `modes` says for each mode, "" for
    none, whether a server that is killed is started again."""
    command = sys.argv[1:]
    if command and command[0] in ("-h", "--help"):
        print(sys.modules["__main__"].__doc__.strip())
        return 0
    mode = command.pop(0) if command and command[0] in modes else ""
    if not command or command[0].startswith("-"):
        shown = " | ".join(sorted(filter(None, modes)))
        print(f"usage: scripts/{name} [{shown}] COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    home = tempfile.mkdtemp(prefix=f"etx-{name}-")
    servers = []
    try:
        code = beside(servers, command, start(home, mode, servers), modes[mode])
        return code if code >= 0 else 128 - code
    except Missing as missing:
        print(f"SKIP: {missing}")
        return SKIPPED
    except Broken as broken:
        print(f"{name}: {broken}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)
