"""How long tests/run will take, and where its time went.

    times.py BUILD JOBS estimate               a sentence, before the build
    times.py BUILD JOBS table "PART SECONDS"...  after the tests: the parts, and what they are made of
"""

import collections
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import passed_before

# (what, path of the output, seconds that one output takes on one core of a Zen 3), the first that fits. The kernels' is for
# one architecture.
OUTPUTS = (
    ("the library's kernels", r"layerwise_objects\.dir/kernels/", 36),
    ("the library for the CPU", r"layerwise_objects\.dir/src/cpu/step_", 23),
    ("the library for the CPU", r"layerwise_objects\.dir/|^liblayerwise", 1),
    ("the kernels' harness", r"/simt_kernel_memory.*/kernels/", 32),
    ("the kernels' harness", r"/simt_kernel_threads.*/kernels/", 18),
    ("the kernels' harness", r"/simt_host_.*/src/cpu/step_", 19),
    ("the kernels' harness", r"simt", 3),
    ("the tests", r"\.o$", 3),
    ("the tests", r"", 1),
)
TEST_SECONDS, QUICK_TEST_SECONDS = 1300, 100  # of one core, where no run has said

BUILDING = re.compile(r"^\[\d+/\d+\] (?:Building \w+ object|Linking .*?|Generating) (\S+)$", re.M)
KEPT = "tests/passed"  # a folder: what passed_before.py keeps
LOGGED_BEFORE = "tests.started"  # a file: lines of the build log before this run


def part_of(output):
    """(name, core seconds) of what builds an output."""
    return next((name, seconds) for name, pattern, seconds in OUTPUTS if re.search(pattern, output))


def cached(build, variable):
    """What CMake was configured with, or None."""
    found = re.search(rf"^{variable}:\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.M)
    return found.group(1) if found else None


def architectures(build):
    found = cached(build, "CMAKE_CUDA_ARCHITECTURES")
    return len(found.split(";")) if found else 7


def pending(build):
    """The outputs that a build would make now."""
    # By another name, or ninja plans no further than to make its own file anew.
    shutil.copy(build / "build.ninja", build / "estimate.ninja")
    asked = subprocess.run(["ninja", "-C", build, "-f", "estimate.ninja", "-n"], capture_output=True, text=True, check=True)
    return BUILDING.findall(asked.stdout)


def core_seconds(output, build):
    name, seconds = part_of(output)
    return seconds * (architectures(build) if name == "the library's kernels" else 1)


def cases(build):
    """(name, seconds, whether it had passed before and did not run) of the last run's tests."""
    for case in xml.parse(build / "tests.xml").iter("testcase"):
        yield case.get("name"), float(case.get("time") or 0), passed_before.SAID in (case.findtext("system-out") or "")


def is_kept(record, made):
    """Whether a test that has passed before will not run: nothing it read has changed or is about to be made."""
    try:
        return not made.intersection(passed_before.inputs(record["command"], record["reads"])) and (
            passed_before.digest_of_files(record["command"], record["reads"]) == record["files"])
    except (OSError, KeyError):
        return False


def to_test(build, outputs):
    """Seconds of one core that the tests will take: each as long as when it ran last."""
    if not (build / "tests.xml").is_file():
        return QUICK_TEST_SECONDS if cached(build, "LAYERWISE_TESTS_QUICK") == "ON" else TEST_SECONDS
    made = {(build / output).resolve() for output in outputs}
    seconds = 0.0
    for name, took, _ in cases(build):
        record = passed_before.kept(build / KEPT, name)
        seconds += 0 if is_kept(record, made) else max(took, record.get("seconds", 0))
    return seconds


def minutes(seconds):
    return f"{max(1, round(seconds / 60))} min"


def estimate(build, jobs):
    log = build / ".ninja_log"
    (build / LOGGED_BEFORE).write_text(str(len(log.read_text().splitlines()) if log.is_file() else 0))
    outputs = pending(build)
    seconds = [core_seconds(output, build) for output in outputs]
    building = max([sum(seconds) / jobs, *seconds])  # one file at least takes its own time, whatever the jobs
    testing = to_test(build, outputs) / min(jobs, 4)
    what = f"{minutes(building)} to build {len(outputs)} files" if outputs else "nothing to build"
    print(f"about {minutes(building + testing)} from now with {jobs} jobs: {what}, {minutes(testing)} to test")


def built(build):
    """{part: seconds of all its outputs} of this run; empty where the log was written anew in between."""
    lines = (build / ".ninja_log").read_text().splitlines()[int((build / LOGGED_BEFORE).read_text()):]
    parts = collections.Counter()
    seen = set()
    for line in lines:
        fields = line.split("\t")
        command = (fields[0], fields[-1])
        if len(fields) == 5 and command not in seen:  # a command of several outputs has a line for each
            seen.add(command)
            parts[part_of(fields[3])[0]] += (int(fields[1]) - int(fields[0])) / 1000
    return parts


def tested(build):
    """[(seconds, name)] of the last run's tests; Catch2's cases by their program."""
    parts = collections.Counter()
    for name, seconds, _ in cases(build):
        name = name.split(" [")[0]
        parts[name.split("/")[0] + "/..." if name.startswith(("unit/", "hazard/")) else name] += seconds
    return sorted(((seconds, name) for name, seconds in parts.items()), reverse=True)


def row(seconds, name):
    print(f"{seconds:8.0f} s  {name}")


def table(build, jobs, parts):
    print(f"  wall clock, {jobs} jobs:")
    total = 0
    for part in parts:
        name, seconds = part.rsplit(" ", 1)
        row(int(seconds), name)
        total += int(seconds)
    row(total, "together")
    if (build / ".ninja_log").is_file():
        print("  of building, each command's own time:")
        for name, seconds in built(build).most_common():
            row(seconds, name)
    if (build / "tests.xml").is_file():
        print("  of testing, each test's own time (those of 5 s and more):")
        for seconds, name in tested(build):
            if seconds >= 5:
                row(seconds, name)
        unchanged = [name for name, _, kept in cases(build) if kept]
        if unchanged:
            print(f"  not run, as they {passed_before.SAID} (TESTS_AGAIN=1 runs them):")
            for name in unchanged:
                row(passed_before.kept(build / KEPT, name).get("seconds", 0), name)


def main(build, jobs, command, *parts):
    build, jobs = Path(build), int(jobs)
    if command == "estimate":
        estimate(build, jobs)
    else:
        table(build, jobs, parts)


if __name__ == "__main__":
    main(*sys.argv[1:])
