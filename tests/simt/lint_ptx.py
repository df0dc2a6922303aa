#!/usr/bin/env python3
"""Refuses, in PTX, what would change the bits or what no test without a GPU can see.

    lint_ptx.py PTX-FILE...      exit status 1 and file:line where a rule is broken
    lint_ptx.py --self-test

The result must be the same bits everywhere, so every floating-point operation rounds to nearest even,
flushes nothing, and none is an approximation. An add or sub without a rounding modifier is one that rounds to
nearest unless ptxas may fuse it with a mul, which needs a mul without modifier: that one is refused.
An atomic of .cta scope on global memory orders nothing between blocks, and runs right in every test
that uses few of them.
"""

import functools
import pathlib
import re
import sys

FLOAT = re.compile(r"\.(f16|f16x2|bf16|bf16x2|f32|f32x2|f64|tf32|e4m3\w*|e5m2\w*)$")
NARROWING_OR_FROM_INTEGER = re.compile(r"\.(f16|f16x2|bf16|bf16x2|f32|f64)\.(f32|f64|[us](8|16|32|64))$")
WIDTH = {"f16": 16, "bf16": 16, "f16x2": 16, "bf16x2": 16, "f32": 32, "f64": 64}
APPROXIMATIONS = {"sin", "cos", "ex2", "lg2", "tanh", "rsqrt"}
ROUNDED = {"mul", "fma", "mad", "div", "sqrt", "rcp"}     # these need .rn
ADDED = {"add", "sub"}                                     # these may say nothing, see above
ORDERED = {"atom", "red", "ld", "st"}

INSTRUCTION = re.compile(r"^\s*(?:@!?%?\w+\s+)?([a-z]\w*(?:\.[\w:]+)+)")


def problem_of_conversion(parts, opcode):
    if "satfinite" in parts or "sat" in parts:
        return "saturates"
    match = NARROWING_OR_FROM_INTEGER.search(opcode)
    if not match:
        return None
    to, source = match[1], match[2]
    exact = source in WIDTH and WIDTH[to] >= WIDTH[source]
    if not exact and "rn" not in parts:
        return "a conversion that does not round to nearest even"
    return None


@functools.lru_cache(maxsize=None)  # a few hundred opcodes make up millions of instructions
def problem_of(opcode):
    """Why an instruction is refused, or None."""
    parts = opcode.split(".")
    name = parts[0]
    is_float = bool(FLOAT.search(opcode))
    if name in ORDERED and "cta" in parts:
        if not any(p.startswith("shared") for p in parts):
            return "an atomic of block scope on memory that other blocks can see"
    if name in ("atom", "red") and is_float and "add" in parts:
        return "a floating-point atomic: its sum follows the order of arrival"
    if name == "cvt":
        if "ftz" in parts:
            return "flushes denormals"
        return problem_of_conversion(parts, opcode)
    if not is_float:
        return None
    if "ftz" in parts:
        return "flushes denormals"
    if "approx" in parts or "full" in parts or name in APPROXIMATIONS:
        return "an approximation"
    if name in ROUNDED | ADDED:
        if any(r in parts for r in ("rz", "rm", "rp", "rna")):
            return "does not round to nearest even"
        if "sat" in parts:
            return "saturates"
        if name in ROUNDED and "rn" not in parts:
            return "has no rounding modifier: it may be fused, or is an approximation"
    return None


def without_comments(line, comment):
    """What is left of a line, and whether a comment goes on in the next; comment: whether one came from the line before."""
    if comment:
        if "*/" not in line:
            return "", True
        line = line.split("*/", 1)[1]
    line = re.sub(r"/\*.*?\*/", " ", line).split("//")[0]
    return line.split("/*")[0], "/*" in line


def instructions(text):
    """(line number, opcode) of every instruction, several on a line included (inline PTX)."""
    comment = False
    for number, line in enumerate(text.split("\n"), 1):
        if comment or "/" in line:
            line, comment = without_comments(line, comment)
        for statement in re.split(r"[;{}]", line):
            match = INSTRUCTION.match(statement)
            if match:
                yield number, match[1]


def findings(name, text):
    """(instructions seen, a line for each that is refused)."""
    count, refused = 0, []
    for count, (number, opcode) in enumerate(instructions(text), 1):
        problem = problem_of(opcode)
        if problem:
            refused.append(f"{name}:{number}: {opcode}: {problem}")
    return count, refused


REFUSED = """add.rz.f32 mul.f32 mul.f16 mad.f32 fma.rn.ftz.f32 add.ftz.f32 div.approx.f32 div.full.f32 rcp.approx.ftz.f32
sqrt.approx.f32 rsqrt.approx.f32 ex2.approx.f32 lg2.approx.f32 sin.approx.f32 mul.rn.ftz.f32 fma.rz.f64 add.rn.sat.f32
cvt.rz.f32.f64 cvt.rn.satfinite.bf16.f32 cvt.rz.f16.f32 cvt.ftz.f32.f16 cvt.rm.f32.s32 cvt.rn.sat.f32.f32 min.ftz.f32
setp.lt.ftz.f32 atom.global.add.f32 red.relaxed.gpu.global.add.f32 atom.acq_rel.cta.global.add.u32 atom.relaxed.cta.add.u32
ld.acquire.cta.global.u32 st.release.cta.u32 red.relaxed.cta.global.add.u32"""
ACCEPTED = """add.rn.f32 add.f32 sub.f64 mul.rn.f32 fma.rn.f32 fma.rn.f64 div.rn.f32 div.rn.f64 sqrt.rn.f32 sqrt.rn.f64
rcp.rn.f32 cvt.rn.f32.f64 cvt.f64.f32 cvt.f32.f16 cvt.f32.bf16 cvt.rn.bf16.f32 cvt.rn.f16.f32 cvt.rn.f32.s32
cvt.rzi.s32.f32 cvt.rn.f64.s64 min.f32 max.f32 abs.f32 neg.f32 setp.lt.f32 mad.lo.s32 mul.wide.u32 add.s64 ld.global.f32
ld.global.v4.f32 st.shared.f32 mov.f32 atom.acq_rel.gpu.global.add.u32 atom.relaxed.cta.shared.add.u32 ld.acquire.gpu.u32
ld.relaxed.cta.shared::cta.u32 selp.f32 mul.lo.s32 div.u32"""


def self_test():
    failures = 0
    cases = [(opcode, True) for opcode in REFUSED.split()] + [(opcode, False) for opcode in ACCEPTED.split()]
    for opcode, refused in cases:
        for text in (f"\t{opcode} \t%f1, %f2;", f"@%p1 {opcode} %f1, %f2;", f"{{ .reg .f32 r; {opcode} r, %f1; }}"):
            if bool(findings("planted", text)[1]) != refused:
                print(f"{text!r} should be {'refused' if refused else 'accepted'}")
                failures += 1
    for text in ("// mul.f32 %f1, %f2;", "/* mul.f32 %f1;\n add.rz.f32 %f1; */", ".visible .func (.param .f32 x) f("):
        if findings("planted", text)[1]:
            print(f"{text!r} should be accepted")
            failures += 1
    print(f"{3 * len(cases) + 3 - failures} passed, {failures} failed")
    return failures


def main(arguments):
    if arguments == ["--self-test"]:
        return 1 if self_test() else 0
    if not arguments:
        sys.exit(__doc__)
    found = []
    count = 0
    for argument in arguments:
        seen, refused = findings(argument, pathlib.Path(argument).read_text())
        count += seen
        found += refused
    if not count:
        found = ["no instruction in " + " ".join(arguments)]
    print("\n".join(found) if found else f"{count} instructions in {len(arguments)} files, nothing refused")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
