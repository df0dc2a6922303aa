"""What a stage is given: the programs, a share of the time, and a place for what it finds."""

import time

import process


class Clock:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()


class NotRun(Exception):
    """A stage, or a part of it, that cannot run here; says why."""


class Part:
    """What a stage may use: its tree, its time, and where its findings go."""

    def __init__(self, tree, stage, seconds):
        self.tree, self.stage, self.clock = tree, stage, Clock(seconds)

    def command(self, arguments, environment=None, limit=None):
        outcome = process.run(arguments, min(limit or 1e9, self.clock.left()), self.tree.root, environment)
        self.stage.commands.append(outcome.command)
        self.stage.findings += outcome.findings()
        return outcome

    def bench(self, *arguments, wrapper=()):
        if not self.tree.bench:
            raise NotRun("the build has no bench_gpu")
        return self.command([*wrapper, self.tree.bench, *arguments])

    def fail(self, detail):
        self.stage.problems.append(detail)

    def expect_success(self, outcome, what):
        problem = outcome.problem()
        said = any(f["kind"] == "check" and not f.get("ok") for f in outcome.findings())
        if problem and not (said and outcome.returncode in (1, 3)):
            words = outcome.last_words()
            self.fail(f"{what}: {problem}" + (f": {words}" if words else ""))
        return not problem
