#!/usr/bin/env python3
"""Copies the CUB headers that g++ cannot compile into a folder that comes first in the include path.

    cub_overlay.py TOOLKIT_INCLUDE_DIR OUTPUT_DIR
    cub_overlay.py --version TOOLKIT_INCLUDE_DIR

Each inline PTX statement becomes a call of the harness (device/cub.h), or ends the launch where the
project has no use for it; `using X = X<...>`, which g++ refuses, is written with its namespace. All the
rest of CUB is used as the toolkit ships it, and nothing of it is kept in the repository.

The table below is what CCCL 3.0 (CUDA 13.0) and 3.5 (CUDA 13.5) hold. Where a toolkit differs, this stops and says so:
somebody has to look at the new text before the harness can be trusted with it. `--version` prints a toolkit's CCCL.
"""

import pathlib
import re
import sys

# CCCL: {header: (asm statements, how many of them the harness imitates, self-named aliases)}
ALIKE = {
    "cub/util_ptx.cuh": (7, 2, 0),
    "cub/thread/thread_load.cuh": (8, 0, 0),
    "cub/thread/thread_store.cuh": (8, 0, 0),
    "cub/warp/specializations/warp_reduce_shfl.cuh": (5, 5, 0),
    "cub/warp/specializations/warp_scan_shfl.cuh": (6, 6, 0),
    "cub/block/block_radix_rank.cuh": (0, 0, 1),
    "cub/block/specializations/block_reduce_raking.cuh": (0, 0, 2),
    "cub/block/specializations/block_reduce_raking_commutative_only.cuh": (0, 0, 2),
    "cub/block/specializations/block_scan_raking.cuh": (0, 0, 2),
}
EXPECTED = {
    "3.0": ALIKE | {
        "cub/thread/thread_operators.cuh": (1, 0, 0),
        "cub/block/block_load.cuh": (0, 0, 3),
        "cub/block/block_store.cuh": (0, 0, 3),
        "cub/block/specializations/block_reduce_warp_reductions.cuh": (0, 0, 1),
    },
    "3.5": ALIKE | {
        "cub/thread/thread_simd.cuh": (3, 0, 0),
        "cub/warp/specializations/warp_redux.cuh": (1, 0, 0),
        "cub/block/block_load_to_shared.cuh": (3, 0, 0),
    },
}
# Other block- and warp-level headers may not hold inline PTX at all.
SEARCHED = ("cub/block", "cub/warp", "cub/thread")

UNKNOWN = '::simt::trap("reaches inline PTX of CUB that the harness does not imitate");'
ASM = re.compile(r"\basm(\s+volatile)?\s*\(")
ALIAS = re.compile(r"(using\s+(\w+)\s*=\s*(?:typename\s+)?)(?=\2\s*<)")


def end_of_statement(text, start):
    """The index behind the ';' of the statement whose '(' is just before start."""
    depth = 1
    while depth:
        if text[start] == '"':
            start = text.index('"', start + 1)
        depth += {"(": 1, ")": -1}.get(text[start], 0)
        start += 1
    return text.index(";", start) + 1


def imitation(asm):
    """The harness's call for one asm statement, or None."""
    kind = re.search(r"shfl\.sync\.(up|down)\.b32", asm)
    if not kind:
        return None
    name = f"::simt::Shuffle::k{kind[1].capitalize()}"
    if "@p add" in asm:
        return f"output = ::simt::cub_shuffle_add({name}, input, offset, shfl_c, member_mask);"
    if '"=r"(word)' in asm:
        return f"word = ::simt::cub_shuffle({name}, word, src_offset, flags, member_mask);"
    return None


def overlay(text):
    """The changed text, and what was found in it in the order of EXPECTED's counts."""
    out, end, statements, imitated = "", 0, 0, 0
    for match in ASM.finditer(text):
        stop = end_of_statement(text, match.end())
        call = imitation(text[match.start():stop])
        out += text[end:match.start()] + (call or UNKNOWN)
        end = stop
        statements += 1
        imitated += call is not None
    out, aliases = ALIAS.subn(r"\1CUB_NS_QUALIFIER::", out + text[end:])
    return out, (statements, imitated, aliases)


def version(toolkit):
    """CCCL's version as major.minor."""
    number = int(re.search(r"define CUB_VERSION (\d+)", (toolkit / "cub/version.cuh").read_text())[1])
    return f"{number // 100000}.{number // 100 % 1000}"


def problem_of(toolkit, output):
    """Why a toolkit's CUB cannot be used, in a line, or None."""
    cccl = version(toolkit)
    if cccl not in EXPECTED:
        return f"CCCL {cccl} is not one that cub_overlay.py was written for ({', '.join(EXPECTED)})"
    for folder in SEARCHED:
        for source in sorted((toolkit / folder).rglob("*.cuh")):
            name = source.relative_to(toolkit).as_posix()
            if name not in EXPECTED[cccl] and ASM.search(source.read_text()):
                return f"{name} of CCCL {cccl} holds inline PTX, which cub_overlay.py does not know"
    for name, expected in EXPECTED[cccl].items():
        source = toolkit / name
        if not source.is_file():
            return f"{name} of CCCL {cccl} is missing"
        text, found = overlay(source.read_text())
        if found != expected:
            return (f"{name} of CCCL {cccl} is not as cub_overlay.py knows it, (asm statements, imitated ones, "
                    f"self-named aliases) is {found} and not {expected}")
        target = output / name
        if not target.is_file() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    for target in sorted(output.rglob("*.cuh")):  # another toolkit's
        if target.relative_to(output).as_posix() not in EXPECTED[cccl]:
            target.unlink()
    return None


def main(arguments):
    if len(arguments) != 2:
        return __doc__
    if arguments[0] == "--version":
        return print(version(pathlib.Path(arguments[1])))
    return problem_of(*map(pathlib.Path, arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
