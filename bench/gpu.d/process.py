"""A command with a time limit, whose output survives whatever happens to it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

HEARD_EVERY = 1  # seconds


@dataclass
class Outcome:
    command: str  # as a person would type it
    returncode: int  # negative: the signal that ended it
    seconds: float
    timed_out: bool
    stdout: str
    stderr: str

    def problem(self):
        """Why this is no success, or an empty string."""
        if self.timed_out:
            return f"stopped after {self.seconds:.0f} s"
        if self.returncode < 0:
            try:
                return f"ended by {signal.Signals(-self.returncode).name}"
            except ValueError:
                return f"ended by signal {-self.returncode}"
        return f"exit code {self.returncode}" if self.returncode else ""

    def last_words(self):
        lines = [line.strip() for line in (self.stdout + "\n" + self.stderr).splitlines()]
        lines = [line for line in lines if line and not line.startswith("{")]
        return lines[-1][:300] if lines else ""

    def cannot_start(self):
        """The words of the system or the loader where the program is not for this machine, or an empty string."""
        if self.returncode == 127 and not self.stdout:
            return self.last_words() or "no such program"
        words = re.search(r"[^\n]*(_[0-9.]+' not found|error while loading shared libraries)[^\n]*", self.stderr)
        return words.group(0).strip() if words and self.returncode else ""

    def findings(self):
        return findings(self.stdout)


def findings(text):
    """The lines of JSON that the programs print; a line cut off or of another kind is no finding."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                finding = json.loads(line)
            except ValueError:
                continue
            if isinstance(finding, dict) and isinstance(finding.get("kind"), str):
                found.append(finding)
    return found


def run(arguments, limit, root, environment=None, heard=None):
    """Runs it in a process group of its own and ends the whole group when the time is over. `heard` is called with what
    it has printed so far, every second and at its end, however it ends: an interruption loses nothing."""
    arguments = [str(argument) for argument in arguments]
    typed = [f"{name}={os.pathsep.join(_shown(path, root) for path in str(value).split(os.pathsep))}"
             for name, value in (environment or {}).items()]
    command = " ".join(typed + [_shown(argument, root) for argument in arguments])
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        outcome = Outcome(command, 127, 0.0, False, "", "")
        try:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=root,
                                       env={**os.environ, **(environment or {})}, start_new_session=True)
        except OSError as problem:
            outcome.stderr = problem.strerror or str(problem)
            return outcome
        try:
            outcome.timed_out = not _wait(process, begin + max(limit, 0.1), lambda: heard and heard(_text(out)))
        finally:
            _end(process)
            outcome.returncode, outcome.seconds = process.returncode, time.monotonic() - begin
            outcome.stdout, outcome.stderr = _text(out), _text(err)
            if heard:
                heard(outcome.stdout)
    return outcome


def _wait(process, end, meanwhile):
    """False where the time is over first."""
    while True:
        try:
            process.wait(timeout=max(min(HEARD_EVERY, end - time.monotonic()), 0))
            return True
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                return False
            meanwhile()


def _text(file):
    """All of it, without moving the position that the program shares and writes at."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode("utf-8", "replace")


def _end(process):
    """Ends what is left of the group; a process that hangs in the driver may take its time, and is then left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.returncode = -signal.SIGKILL


def say(line):
    """A reader who has gone, or a terminal, is no reason to stop."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")


def _shown(argument, root):
    """Paths as seen from the project, so that results do not depend on where it lies."""
    if argument == str(root):
        return "."
    if argument.startswith(str(root) + os.sep):
        return argument[len(str(root)) + 1:]
    return os.path.basename(argument) if argument.startswith(os.sep) else argument
