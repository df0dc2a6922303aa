"""A command with a time limit, whose output survives whatever happens to it."""

import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass


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

    def findings(self):
        """The lines of JSON the benchmark's programs print; a line cut off or of another kind is no finding."""
        found = []
        for line in self.stdout.splitlines():
            if line.startswith("{"):
                try:
                    finding = json.loads(line)
                except ValueError:
                    continue
                if isinstance(finding, dict) and isinstance(finding.get("kind"), str):
                    found.append(finding)
        return found


def run(arguments, limit, root, environment=None):
    """Runs it in a process group of its own and ends the whole group when the time is over."""
    arguments = [str(argument) for argument in arguments]
    typed = [f"{name}={value}" for name, value in (environment or {}).items()]
    typed += [_shown(argument, root) for argument in arguments]
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        timed_out = False
        try:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=root,
                                       env={**os.environ, **(environment or {})}, start_new_session=True)
        except OSError as problem:
            return Outcome(" ".join(typed), 127, 0.0, False, "", str(problem))
        try:
            process.wait(timeout=max(limit, 0.1))
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _end(process)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    return Outcome(" ".join(typed), process.returncode, time.monotonic() - begin, timed_out, *texts)


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


def _shown(argument, root):
    """Paths as seen from the project, so that results do not depend on where it lies."""
    if argument == str(root):
        return "."
    if argument.startswith(str(root) + os.sep):
        return argument[len(str(root)) + 1:]
    return os.path.basename(argument) if argument.startswith(os.sep) else argument
