"""What a stage is given: the programs, a share of the time, and a place for what it finds."""

import glob
import os
import shutil
import sys
import time

import process


class Clock:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()


class NotRun(Exception):
    """A stage, or a part of it, that cannot run here or was not finished in time; says why."""


class Part:
    """What a stage may use: its tree, its time, and where its findings go. `keep` writes them to disk."""

    def __init__(self, tree, stage, seconds, keep=lambda: None):
        self.tree, self.stage, self.clock, self.keep = tree, stage, Clock(seconds), keep

    def command(self, arguments, environment=None, limit=None):
        """What it prints becomes findings while it runs, so that they are kept whatever ends it, or this script."""
        before = len(self.stage.findings)

        def heard(text):
            found = process.findings(text)
            if found != self.stage.findings[before:]:
                self.stage.findings[before:] = found
                self.keep()

        outcome = process.run(arguments, min(limit or 1e9, self.clock.left()), self.tree.root, environment, heard)
        self.stage.commands.append(outcome.command)
        return outcome

    def bench(self, *arguments, wrapper=(), limit=None):
        if self.tree.bench_problem:
            raise NotRun(self.tree.bench_problem)
        return self.command([*wrapper, self.tree.bench, *arguments], limit=limit)

    def fail(self, detail):
        self.stage.problems.append(detail)

    def left_out(self, name, reason):
        """A part of the stage that was not run."""
        self.stage.findings.append({"kind": "not_run", "name": name, "reason": reason})

    def expect_success(self, outcome, what):
        """False where it failed. Raises NotRun where it was not finished: that says nothing about the library."""
        if outcome.timed_out:
            raise NotRun(f"{what}: {cut_off(outcome)}")
        problem = outcome.problem()
        said = any(f["kind"] == "check" and not f.get("ok") for f in outcome.findings())
        if problem and not (said and outcome.returncode in (1, 3)):
            words = outcome.last_words()
            self.fail(f"{what}: {problem}" + (f": {words}" if words else ""))
        return not problem


def cut_off(outcome):
    """How far a program came that was stopped."""
    names = [f["name"] for f in outcome.findings() if isinstance(f.get("name"), str)]
    return outcome.problem() + (f"; what it finished last: {names[-1]}" if names else "; it had finished nothing")


def interpreter():
    """The Python that has the frameworks: LAYERWISE_BENCH_PYTHON where it is not this one."""
    return os.environ.get("LAYERWISE_BENCH_PYTHON") or sys.executable or shutil.which("python3")


def tool(name):
    """A program of the toolkit's, from PATH or where the toolkit is usually put."""
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(tool_folders()))
    if not found:
        raise NotRun(f"there is no {name}")
    return found


def tool_folders():
    return ["/usr/local/cuda/bin", "/opt/cuda/bin", "/usr/local/cuda/compute-sanitizer",
            *sorted(glob.glob("/opt/nvidia/nsight-compute/*"), reverse=True)]
