"""What the tests hold, as a list: kernels, combinations of dtypes, hazards. Fails where there is less of something than there
was, so that tests which take less time are not fewer tests. Whoever takes something away on purpose changes LEAST.

    inventory.py SOURCE [--ptxas LOG...] [--harness PROGRAM...]
"""

import argparse
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

LEAST = {
    "CUDA kernels compiled, for each architecture": 143,
    "kernels in the harness, fine": 143,
    "kernels in the harness, tsan": 143,
    "kernels in the harness, asan": 98,
    "combinations of weights, gradients and moment, fine": 18,
    "combinations of weights, gradients and moment, tsan": 18,
    "combinations of weights, gradients and moment, asan": 9,
    "pairs of dtypes of two buffers, asan": 21,
    "cases in tests/unit": 69,
    "cases in tests/hazard": 96,
    "cases in tests/cross": 31,
    "cases in tests/simt/selftest": 25,
    "planted bugs in tests/simt/selftest": 26,
    "tests in bindings/python": 460,
    "tests in bindings/rust": 32,
    "tests in bench": 95,
}
TESTS = (("cases in tests/unit", "tests/unit", "*.cpp", r"^(?:TEMPLATE_)?TEST_CASE\("),
         ("cases in tests/hazard", "tests/hazard", "*.cpp", r"^(?:TEMPLATE_)?TEST_CASE\("),
         ("cases in tests/cross", "tests/cross", "*.cpp", r"^(?:TEMPLATE_)?TEST_CASE\("),
         ("cases in tests/simt/selftest", "tests/simt/selftest", "*.cpp", r"^(?:TEMPLATE_)?TEST_CASE\("),
         ("planted bugs in tests/simt/selftest", "tests/simt/selftest", "test_bugs.cpp", r"\{Bug::k\w+, \""),
         ("tests in bindings/python", "bindings/python/tests", "test_*.py", r"^\s*def test_"),
         ("tests in bindings/rust", "bindings/rust", "*.rs", r"#\[test\]"),
         ("tests in bench", "bench/tests", "*.py", r"^\s*def test_"))

KERNEL = re.compile(r"^void layerwise::(?:\(anonymous namespace\)::)?((?:norms|update|given_norms|one_pass)<.*?>)\(layerwise::DevicePlan")
COMBINATION = re.compile(r"^update<layerwise::(?:\(anonymous namespace\)::)?NovogradUpdate<(.*?), (.*?), (.*?)>")


def compiled(logs):
    """{architecture: kernels} that nvcc compiled, from what ptxas said."""
    counts = Counter()
    for log in logs:
        counts.update(re.findall(r"Compiling entry function '\w+' for '(sm_\w+)'", Path(log).read_text()))
    return counts


def in_harness(program):
    """The kernels of a build of the harness, by name."""
    symbols = subprocess.run(["nm", "-C", "--defined-only", program], capture_output=True, text=True, check=True).stdout
    return {found[1] for line in symbols.splitlines() if (found := KERNEL.match(line.split(" ", 2)[2]))}


def tests(source):
    for name, folder, files, pattern in TESTS:
        paths = [path for path in (source / folder).rglob(files) if "target" not in path.parts]
        yield name, sum(len(re.findall(pattern, path.read_text(), re.M)) for path in paths)


def inventory(options):
    architectures = compiled(options.ptxas)
    if architectures:
        yield "CUDA kernels compiled, for each architecture", min(architectures.values())
        print(f"{len(architectures):6}  architectures: {', '.join(sorted(architectures))}")
    for program in options.harness:
        mode = program.rsplit("_", 1)[1]
        kernels = in_harness(program)
        chosen = {found.groups() for kernel in kernels if (found := COMBINATION.match(kernel))}
        yield f"kernels in the harness, {mode}", len(kernels)
        yield f"combinations of weights, gradients and moment, {mode}", len(chosen)
        if mode == "asan":
            pairs = {(a, b, each[a], each[b]) for each in chosen for a, b in combinations(range(3), 2)}
            yield f"pairs of dtypes of two buffers, {mode}", len(pairs)
    yield from tests(options.source)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--ptxas", nargs="*", default=[])
    parser.add_argument("--harness", nargs="*", default=[])
    missing, unseen = [], dict(LEAST)
    for name, count in inventory(parser.parse_args()):
        unseen.pop(name)
        print(f"{count:6}  {name}")
        if count < LEAST[name]:
            missing.append(f"{name}: {count}, at least {LEAST[name]} were there")
    print("\n".join([f"     -  {name}: not built here" for name in unseen] + missing))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
