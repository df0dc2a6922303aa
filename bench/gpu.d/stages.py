"""The stages in their order: what each runs and how long it may take. What says most in a second comes first."""

import shutil
import tempfile
import xml.etree.ElementTree as xml
from collections import namedtuple
from pathlib import Path

from frameworks_stage import python_stage, rivals_stage
from here import look
from nccl_stage import nccl_stage
from part import NotRun, Part, cut_off
from process import say
from profiled import profile
from sanitizers import sanitize

# most: seconds. elastic: it may take what the stages before it have left over. anywhere: it needs no GPU.
Stage = namedtuple("Stage", "name most work elastic anywhere", defaults=(False, False))
LEAST = 3  # seconds without which a stage is not begun


def _program(name, *arguments):
    """A stage of bench_gpu: its checks must hold, and there must be some unless it says why not."""

    def work(part):
        _bench(part, name, part.clock.left(), *arguments)

    return work


def _bench(part, name, limit, *arguments):
    margin = max(5, limit / 8)  # for what is begun before the program's own time is over
    told = max(limit - margin, 1)
    outcome = part.bench(name, "--seconds", f"{told:.0f}", *arguments, limit=limit)
    if outcome.timed_out:  # a step that hangs looks like this too
        raise NotRun(f"{name}: {cut_off(outcome)}; it was to begin nothing after {told:.0f} s")
    part.expect_success(outcome, name)
    if not outcome.problem() and not outcome.findings():
        part.fail(f"{name}: nothing was printed")


def _rivals(part):
    """The toolkit's and plain kernels, then other frameworks. One that is not finished does not cost the other."""
    share = part.clock.left() / 3
    for name, work in (("the toolkit and plain kernels", lambda: _bench(part, "rivals", share)),
                       ("other frameworks", lambda: rivals_stage(part))):
        try:
            work()
        except NotRun as why:
            part.left_out(f"rivals: {name}", str(why))


def _cross(part):
    """The tests' comparison with the CPU, with ever other seeds while there is time."""
    if part.tree.cross_problem:
        raise NotRun(part.tree.cross_problem)
    cases, seed = 20, 1
    while part.clock.left() > LEAST:
        name = f"cross: {cases} cases, seed {seed}"
        outcome = part.command([part.tree.cross],
                               {"LAYERWISE_CROSS_CASES": str(cases), "LAYERWISE_CROSS_SEED": str(seed)})
        if outcome.timed_out:
            return part.left_out(name, "the time was over")
        if outcome.returncode == 4:
            raise NotRun(f"cross skipped its tests: {outcome.last_words()}")
        good = part.expect_success(outcome, name)
        part.stage.findings.append({"kind": "check", "name": name, "ok": good, "seconds": round(outcome.seconds, 1),
                                    "detail": outcome.last_words()})
        if not good:
            return None
        seed += cases  # each run takes as many seeds as cases
        cases = int(max(20, min(8 * cases, cases * 10 / max(outcome.seconds, 0.1))))  # some 10 s each


def _suite(part):
    """The tests but for the emulation of the kernels, which says nothing about a device, and what has run by now."""
    if part.tree.tests_problem:
        raise NotRun(part.tree.tests_problem)
    if not shutil.which("ctest"):
        raise NotRun("there is no ctest")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tests.xml"
        outcome = part.command(["ctest", "--test-dir", part.tree.folder, "-LE", "simt|cross|bench", "--parallel", "8",
                                "--timeout", "60", "--output-junit", file])
        part.expect_success(outcome, "ctest")
        try:
            counts = xml.parse(file).getroot().attrib
        except (OSError, xml.ParseError):
            return part.fail("ctest wrote no results")
    ran = int(counts.get("tests", 0)) - int(counts.get("skipped", 0)) - int(counts.get("disabled", 0))
    part.stage.findings.append({"kind": "check", "name": f"suite: {ran} tests, {counts.get('failures')} failed, "
                                f"{counts.get('skipped')} skipped", "ok": outcome.returncode == 0 and ran > 0})
    return None


ALL = (
    Stage("facts", 20, look, anywhere=True),
    Stage("cases", 15, _program("cases")),
    Stage("timing-first", 45, _program("timing", "--rows", "first")),
    Stage("profile", 40, profile),
    Stage("memcheck", 35, sanitize("memcheck")),
    Stage("racecheck", 30, sanitize("racecheck")),
    Stage("python", 75, python_stage),
    Stage("grids", 20, _program("grids")),
    Stage("graph", 30, _program("graph")),
    Stage("soak", 25, _program("soak")),
    Stage("cross", 20, _cross),
    Stage("nccl", 10, nccl_stage),
    Stage("timing-rest", 60, _program("timing", "--rows", "rest"), elastic=True),
    Stage("rivals", 45, _rivals, elastic=True),
    Stage("large", 30, _program("large")),
    Stage("initcheck", 15, sanitize("initcheck")),
    Stage("synccheck", 15, sanitize("synccheck")),
    Stage("suite", 10, _suite, elastic=True, anywhere=True),
)


def seconds_of(stage, later, left):
    """The share of a stage, of the seconds that are left for it and those after it."""
    spare = left - sum(other.most for other in later) if stage.elastic else 0
    return min(max(stage.most, spare), left)


def run(stage, later, tree, clock, results):
    """One stage; its verdict and findings are on disk when this returns, and while it runs those it has so far."""
    entry = results.begin(stage.name)

    def keep():
        entry.conclude("still running when this was written")
        results.write()

    if clock.left() < LEAST:
        entry.finish("not run", "no time left")
    elif tree.device_problem and not stage.anywhere:
        entry.finish("not run", "no GPU that it can use")
    else:
        reason = ""
        part = Part(tree, entry, seconds_of(stage, later, clock.left()), keep)
        try:
            stage.work(part)
        except NotRun as why:
            reason = str(why)
        except KeyboardInterrupt:
            entry.conclude("interrupted")
            raise
        except Exception as problem:  # a defect of this script must not cost the stages that follow
            part.fail(f"{type(problem).__name__}: {problem}")
        entry.conclude(reason)
    results.write()
    say(entry.line())
