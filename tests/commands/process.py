"""The command as users run it: a process, with streams of its own, or a terminal."""

import os
import select
import subprocess
import sys

POSIX = os.name == "posix"


def command(*words):
    return [sys.executable, "-m", "minibitnet", *map(str, words)]


def execute(*words, env=None, **options):
    """Run it to the end: its status, and what it wrote, as bytes."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"} | (env or {})
    options = {"stdout": -1, "stderr": -1, "timeout": 100} | options
    done = subprocess.run(command(*words), env=env, **options)
    return done.returncode, done.stdout, done.stderr


class Terminal:
    """A process that believes it talks to a person."""

    def __init__(self, words):
        self.ours, theirs = os.openpty()
        # an interrupt inside coverage's own lock would leave it locked for ever
        env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
        self.process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, env=env
        )
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def type(self, keys):
        os.write(self.ours, keys)

    def wait_for(self, text):
        """Read up to some text; all that came before it."""
        seen = b""
        while not seen or text not in seen:
            ready, _, _ = select.select([self.ours], [], [], 30)
            assert ready, f"waited for {text}, saw {seen}"
            seen += os.read(self.ours, 1)
        return seen
