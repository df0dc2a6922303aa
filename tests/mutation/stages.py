"""The tests a mutant meets, from the cheapest on."""

import collections
import dataclasses
import os
import re
import resource
import subprocess

SECONDS = 60  # of processor time for all the tests of a mutant


@dataclasses.dataclass(frozen=True)
class Stage:
    name: str
    target: str
    tests: tuple
    environment: dict
    numerics_only: bool = False


SLOW = ("the squared norm over several groups*", "a layer of more than 256 tiles*", "every combination of dtypes*")
STAGES = (
    Stage("unit", "unit", ("~[oracle]", *("~" + name for name in SLOW)), {"LAYERWISE_PROPERTY_CASES": "400"}, True),
    Stage("unit", "unit", (",".join(SLOW),), {}, True),
    Stage("fine", "simt_cross_fine", (), {"LAYERWISE_CROSS_CASES": "60"}),
    Stage("asan", "simt_cross_asan", (), {"LAYERWISE_CROSS_CASES": "10"}),
    Stage("tsan", "simt_cross_tsan", ("~[dtype]",), {"LAYERWISE_CROSS_CASES": "6"}),
)
Outcome = collections.namedtuple("Outcome", "passed timed_out seconds words")


def for_file(file):
    return [stage for stage in STAGES if file.startswith("src/") or not stage.numerics_only]


def run(stage, executable, seconds, verbose=False, without=()):
    # A mutant that waits for ever is found by the clock on the wall; the machine may be busy with other things.
    limit = max(1, int(seconds) + 1)
    command = [executable, "--abort", "--reporter", "xml", *stage.tests, *("~" + name for name in without)]
    before, timed_out = resource.getrusage(resource.RUSAGE_CHILDREN), False
    with subprocess.Popen(command, env={**os.environ, **stage.environment}, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))) as child:
        try:
            output, _ = child.communicate(timeout=4 * limit)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            timed_out = True
    code = child.returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    timed_out = timed_out or (code != 0 and used >= limit - 0.5)
    if verbose:
        print(f"---- {stage.name}: exit code {code}, {used:.1f} s\n{output[-3000:] if code else ''}")
    return Outcome(code == 0, timed_out, used, "" if code == 0 else words(output, code))


def words(output, code):
    """The test that failed, as short as it can be said."""
    names = re.findall(r'<TestCase name="([^"]*)"', output)
    return (names[-1] if names else f"exit code {code}").replace("&apos;", "'")
