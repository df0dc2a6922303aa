#!/usr/bin/env python3
"""Refuses, in PTX, what would change the bits or what no test without a GPU can see.

    lint_ptx.py PTX-FILE...      exit status 1 and file:line where a rule is broken
    lint_ptx.py --self-test

The result must be the same bits everywhere, so every floating-point operation rounds to nearest even, flushes nothing,
and none is an approximation, clamps, or adds in an order that nobody wrote. What may be done with floating-point
numbers is listed here (KNOWN): an instruction or a modifier that is not is refused until somebody has looked at it, as
PTX gets new ones with every version. An add or sub without a rounding modifier is one that rounds to nearest unless
ptxas may fuse it with a mul, which needs a mul without modifier: that one is refused. An atomic of .cta or .cluster
scope on global memory orders nothing between blocks, and runs right in every test that uses few of them.
"""

import functools
import pathlib
import re
import sys

FLOATS = {"f16", "f16x2", "bf16", "bf16x2", "f32", "f32x2", "f64"}
OTHER_FLOAT = re.compile(r"(tf32|u?e\d+m\d+|s\df\d)(x\d+)?")  # of tensor cores
INTEGERS = {f"{kind}{bits}" for kind in "sub" for bits in (8, 16, 32, 64, 128)} | {"u16x2", "s16x2", "pred"}
NARROWING_OR_FROM_INTEGER = re.compile(r"\.(f16|f16x2|bf16|bf16x2|f32|f64)\.(f32|f64|[us](8|16|32|64))$")
WIDTH = {"f16": 16, "bf16": 16, "f16x2": 16, "bf16x2": 16, "f32": 32, "f64": 64}

ANY = None
COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan",
               "and", "or", "xor"}
# What is known to keep the bits, and with which modifiers beside the types.
KNOWN = {
    **dict.fromkeys(("ld", "ldu", "st"), ANY),
    **dict.fromkeys(("mov", "selp", "slct", "abs", "neg", "copysign"), set()),
    **dict.fromkeys(("add", "sub", "mul", "fma", "mad", "div", "sqrt", "rcp"), {"rn"}),
    **dict.fromkeys(("min", "max"), {"NaN"}),
    **dict.fromkeys(("setp", "set"), COMPARISONS),
    "testp": {"finite", "infinite", "number", "notanumber", "normal", "subnormal"},
    "cvt": {"rn", "rni", "rzi", "rmi", "rpi"},
}
NEEDS_ROUNDING = {"mul", "fma", "mad", "div", "sqrt", "rcp"}  # the others may say nothing, see above
APPROXIMATIONS = {"sin", "cos", "ex2", "lg2", "tanh", "rsqrt"}
TENSOR_CORES = {"mma", "wmma", "wgmma", "tcgen05"}
ORDERED = {"atom", "red", "ld", "st", "multimem"}

# A label or a predicate may stand in front.
INSTRUCTION = re.compile(r"^\s*(?:[\w$%]+:(?!:)\s*)?(?:@!?%?\w+\s+)?([a-z]\w*(?:\.[\w:]+)+)")


def problem_of_reduction(words, is_float):
    if is_float:
        return "a floating-point reduction: its result follows the order of arrival, or one of the device's own"
    if not words & INTEGERS:
        return "a reduction in a type that the instruction does not say"
    return None


def problem_of_float(name, words, opcode):
    if "ftz" in words:
        return "flushes denormals"
    if words & {"approx", "full"} or name in APPROXIMATIONS:
        return "an approximation"
    if words & {"rz", "rm", "rp", "rna", "rs"}:
        return "does not round to nearest even"
    if words & {"sat", "satfinite", "relu", "oob"}:
        return "clamps"
    if name not in KNOWN:
        return "not known to keep the bits"
    unknown = set() if KNOWN[name] is ANY else words - KNOWN[name] - FLOATS - INTEGERS
    if unknown:
        return f"not known to keep the bits with .{' .'.join(sorted(unknown))}"
    if name in NEEDS_ROUNDING and "rn" not in words:
        return "has no rounding modifier: it may be fused, or is an approximation"
    match = NARROWING_OR_FROM_INTEGER.search(opcode) if name == "cvt" else None
    if match and not (match[2] in WIDTH and WIDTH[match[1]] >= WIDTH[match[2]]) and "rn" not in words:
        return "a conversion that does not round to nearest even"
    return None


@functools.lru_cache(maxsize=None)  # a few hundred opcodes make up millions of instructions
def problem_of(opcode):
    """Why an instruction is refused, or None."""
    name, *modifiers = opcode.split(".")
    words = set(modifiers)
    is_float = bool(words & FLOATS) or any(OTHER_FLOAT.fullmatch(word) for word in words)
    if name in ORDERED and words & {"cta", "cluster"} and not any(word.startswith("shared") for word in words):
        return "an atomic of less than the device's scope on memory that other blocks can see"
    if name in TENSOR_CORES:
        return "of tensor cores, whose sums have an order and roundings of their own"
    if name in ("atom", "red", "redux") or words & {"red", "reduce", "ld_reduce"}:
        return problem_of_reduction(words, is_float)
    if name == "cp" and "tensor" in words:
        return "a copy by a tensor map, which may flush or round what it copies"
    if name == "cvt" and words & {"sat", "satfinite"}:
        return "clamps"
    return problem_of_float(name, words, opcode) if is_float else None


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


REFUSED = """add.rz.f32 mul.f32 mul.f16 mad.f32 fma.rn.ftz.f32 add.ftz.f32 div.approx.f32 div.full.f32
rcp.approx.ftz.f32 sqrt.approx.f32 rsqrt.approx.f32 ex2.approx.f32 lg2.approx.f32 sin.approx.f32 mul.rn.ftz.f32
fma.rz.f64 add.rn.sat.f32 cvt.rz.f32.f64 cvt.rn.satfinite.bf16.f32 cvt.rz.f16.f32 cvt.ftz.f32.f16 cvt.rm.f32.s32
cvt.rn.sat.f32.f32 min.ftz.f32 setp.lt.ftz.f32 atom.global.add.f32 red.relaxed.gpu.global.add.f32
atom.acq_rel.cta.global.add.u32 atom.relaxed.cta.add.u32 ld.acquire.cta.global.u32 st.release.cta.u32
red.relaxed.cta.global.add.u32 atom.relaxed.cluster.global.add.u32 ex2.approx.ftz.bf16x2 tanh.approx.f32
rsqrt.approx.ftz.f64 rcp.approx.ftz.f64 sqrt.rm.f32 div.rp.f64 rcp.rz.f32 add.rm.f32x2 add.rz.f32x2 mul.f32x2
fma.rn.ftz.f32x2 fma.rn.relu.f16x2 fma.rn.relu.bf16 fma.rn.oob.f16 fma.rn.oob.relu.bf16x2 fma.rn.sat.f32
fma.rn.sat.f16 add.sat.f32 sub.sat.f16x2 mul.rn.sat.f16 add.rn.ftz.sat.f32 add.rz.f32.bf16 fma.rp.f32.f16 mad.rz.f32
abs.ftz.f32 neg.ftz.f16 max.ftz.NaN.f16 min.xorsign.abs.f32 max.NaN.xorsign.abs.bf16x2 set.eq.ftz.f32.f32
slct.ftz.f32.s32 cvt.rn.relu.bf16.f32 cvt.rn.relu.bf16x2.f32 cvt.rz.relu.f16x2.f32 cvt.rz.bf16.f32 cvt.rna.tf32.f32
cvt.rn.tf32.f32 cvt.rna.satfinite.tf32.f32 cvt.rn.relu.tf32.f32 cvt.rs.f16x2.f32 cvt.rs.relu.satfinite.e4m3x4.f32
cvt.rn.satfinite.e4m3x2.f32 cvt.rn.satfinite.relu.e5m2x2.f16x2 cvt.rn.f16x2.e4m3x2 cvt.rn.bf16x2.ue8m0x2
cvt.rz.satfinite.ue8m0x2.f32 cvt.rn.satfinite.e2m1x2.f32 cvt.rn.satfinite.relu.e3m2x2.f32 cvt.rp.f16.f32
cvt.rmi.ftz.f32.f32 cvt.f32.f64 cvt.sat.u8.s32 cvt.rzi.sat.s32.f32 cvt.rn.satfinite.s2f6x2.f32
red.global.add.noftz.f16 red.relaxed.sys.global.add.noftz.bf16x2 red.global.v4.f32.add red.global.v8.bf16.add.noftz
atom.global.v4.f32.add atom.global.v2.f16x2.max.noftz atom.shared.add.f64
red.async.relaxed.cluster.shared::cluster.add.f32 multimem.red.relaxed.sys.global.add.f32
multimem.red.release.gpu.global.add.v4.f32 multimem.red.add.f16x2 multimem.ld_reduce.relaxed.sys.global.add.v4.f32
multimem.ld_reduce.weak.global.add.acc::f32.v4.bf16x2 multimem.ld_reduce.min.f16
multimem.red.relaxed.cta.global.add.u32 multimem.cp.reduce.async.bulk.global.shared::cta.add.f32
cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32
cp.reduce.async.bulk.global.shared::cta.bulk_group.add.noftz.bf16
cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.f64
cp.reduce.async.bulk.tensor.1d.global.shared::cta.add.tile.bulk_group
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes redux.sync.min.f32
redux.sync.max.abs.NaN.f32 mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64
mma.sp::ordered_metadata.sync.aligned.m16n8k16.row.col.f32.tf32.tf32.f32
wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16
tcgen05.mma.cta_group::1.kind::tf32 tcgen05.ld.red.sync.aligned.32x32b.x8.min.f32 tex.2d.v4.f32.f32
tld4.r.2d.v4.f32.f32 suld.p.1d.v4.f32 newinstruction.rn.f32"""
ACCEPTED = """add.rn.f32 add.f32 sub.f64 mul.rn.f32 fma.rn.f32 fma.rn.f64 div.rn.f32 div.rn.f64 sqrt.rn.f32
sqrt.rn.f64 rcp.rn.f32 cvt.rn.f32.f64 cvt.f64.f32 cvt.f32.f16 cvt.f32.bf16 cvt.rn.bf16.f32 cvt.rn.f16.f32
cvt.rn.f32.s32 cvt.rzi.s32.f32 cvt.rn.f64.s64 min.f32 max.f32 abs.f32 neg.f32 setp.lt.f32 mad.lo.s32 mul.wide.u32
add.s64 ld.global.f32 ld.global.v4.f32 st.shared.f32 mov.f32 atom.acq_rel.gpu.global.add.u32
atom.relaxed.cta.shared.add.u32 ld.acquire.gpu.u32 ld.relaxed.cta.shared::cta.u32 selp.f32 mul.lo.s32 div.u32
add.rn.f32x2 fma.rn.f32x2 fma.rn.f16x2 min.NaN.f16 max.NaN.f32 cvt.rn.bf16x2.f32 cvt.rn.f16x2.f32 cvt.rni.f32.f32
cvt.u32.u64 setp.leu.and.f64 testp.finite.f32 copysign.f32 mad.rn.f64 atom.add.acq_rel.gpu.u32 atom.global.cas.b64
atom.exch.b128 red.relaxed.gpu.global.or.b32 redux.sync.add.s32 bar.red.popc.u32 barrier.cta.red.and.pred
shfl.sync.down.b32 cp.async.cg.shared.global cp.async.bulk.commit_group
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes mbarrier.try_wait.parity.shared::cta.b64
cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u64 ld.global.L1::no_allocate.L2::128B.v4.f32
ld.global.nc.v4.f32 red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 fence.acq_rel.gpu
cvta.to.global.u64"""


def self_test():
    failures = 0
    cases = [(opcode, True) for opcode in REFUSED.split()] + [(opcode, False) for opcode in ACCEPTED.split()]
    for opcode, refused in cases:
        for text in (f"\t{opcode} \t%f1, %f2;", f"@%p1 {opcode} %f1, %f2;", f"{{ .reg .f32 r; {opcode} r, %f1; }}",
                     f"$L__BB0_2: {opcode} %f1;", f"again: @!p {opcode} %f1;"):
            if bool(findings("planted", text)[1]) != refused:
                print(f"{text!r} should be {'refused' if refused else 'accepted'}")
                failures += 1
    for text in ("// mul.f32 %f1, %f2;", "/* mul.f32 %f1;\n add.rz.f32 %f1; */", ".visible .func (.param .f32 x) f("):
        if findings("planted", text)[1]:
            print(f"{text!r} should be accepted")
            failures += 1
    print(f"{5 * len(cases) + 3 - failures} passed, {failures} failed")
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
