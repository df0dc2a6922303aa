#!/usr/bin/env python3
"""Refuses, in kernel sources, what the compilers accept and the harness cannot see.

    lint_sources.py FOLDER-OR-FILE...      .cu and .cuh files; exit status 1 and file:line where a rule is broken
    lint_sources.py --self-test
"""

import pathlib
import re
import sys
import tempfile

SHARED_MACRO = re.compile(r"#\s*define\s+LAYERWISE_\w*SHARED\b")

# rule: (what is searched, why it is refused, where it is allowed: (file name, text of the line))
RULES = {
    "raw __shared__": (
        re.compile(r"\b__shared__\b"),
        "g++ would silently make it a variable of each thread: use LAYERWISE_SHARED or LAYERWISE_DYNAMIC_SHARED",
        lambda name, line: name == "tile.cuh" and SHARED_MACRO.search(line)),
    "chevron launch": (
        re.compile(r"<<<"),
        "g++ cannot read it: use cudaLaunchKernelEx",
        lambda name, line: False),
    "volatile": (
        re.compile(r"\bvolatile\b"),
        "it orders nothing: use cuda::atomic_ref with an explicit order",
        lambda name, line: name == "ptx.cuh" and re.search(r"\basm\s+volatile\b", line)),
    "inline assembly": (
        re.compile(r"\b(asm|__asm__|__asm)\b"),
        "it belongs into kernels/ptx.cuh, with a stand-in for the harness",
        lambda name, line: name == "ptx.cuh"),
    "fence": (
        re.compile(r"\b(__threadfence(_block|_system)?|atomic_thread_fence)\b"),
        "the race detector does not follow it: give the atomic itself the order",
        lambda name, line: False),
}


def without_comments_and_strings(text):
    """The text with comments and string literals blanked out, lines kept."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def logical_lines(text):
    """(number, line, logical line): a macro's continued lines know the #define they belong to."""
    lines = text.split("\n")
    logical = ""
    for number, line in enumerate(lines, 1):
        logical += line
        yield number, line, logical
        if not line.endswith("\\"):
            logical = ""


def findings(path):
    for number, line, logical in logical_lines(without_comments_and_strings(path.read_text())):
        for rule, (pattern, reason, allowed) in RULES.items():
            if pattern.search(line) and not allowed(path.name, logical):
                yield f"{path}:{number}: {rule}: {reason}"


def sources(arguments):
    for argument in map(pathlib.Path, arguments):
        if argument.is_dir():
            yield from sorted(p for p in argument.rglob("*") if p.suffix in (".cu", ".cuh"))
        else:
            yield argument


PLANTED = {  # (file, text, rule that is broken or None)
    1: ("a.cu", "__shared__ float x[3];", "raw __shared__"),
    2: ("a.cu", "  extern __shared__ char raw[];", "raw __shared__"),
    3: ("tile.cuh", "#define LAYERWISE_SHARED(name, ...) __shared__ type name", None),
    4: ("tile.cuh", "#define LAYERWISE_DYNAMIC_SHARED(name) \\\n  extern __shared__ char name[]", None),
    5: ("tile.cuh", "__shared__ int y;", "raw __shared__"),
    6: ("a.cu", "// a plain __shared__ is refused\nint x;", None),
    7: ("a.cu", "kernel<<<1, 2>>>(x);", "chevron launch"),
    8: ("a.cu", 'error("<<<");', None),
    9: ("a.cu", "while (*(volatile int*)flag) {}", "volatile"),
    10: ("ptx.cuh", 'asm volatile("mov;");', None),
    11: ("ptx.cuh", "volatile int x;", "volatile"),
    12: ("a.cu", 'asm("mov;");', "inline assembly"),
    13: ("a.cu", "/* asm\n volatile */ int assembly;", None),
    14: ("a.cuh", "__threadfence();", "fence"),
}


def self_test():
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, text, rule) in PLANTED.items():
            path = pathlib.Path(folder) / name
            path.write_text(text)
            found = [f.split(": ")[1] for f in findings(path)]
            if found != ([rule] if rule else []):
                print(f"planted text {number}: found {found}, expected {rule}")
                failures += 1
    print(f"{len(PLANTED) - failures} passed, {failures} failed")
    return failures


def main(arguments):
    if arguments == ["--self-test"]:
        return 1 if self_test() else 0
    if not arguments:
        sys.exit(__doc__)
    checked = list(sources(arguments))
    if not checked:
        print(f"no kernel sources in {' '.join(arguments)}")
        return 1
    found = [finding for path in checked for finding in findings(path)]
    print("\n".join(found) if found else f"{len(checked)} files, nothing refused")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
