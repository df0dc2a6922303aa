#!/usr/bin/env python3
"""Copies the CUB headers that g++ cannot compile into a folder that comes first in the include path.

    cub_overlay.py TOOLKIT_INCLUDE_DIR OUTPUT_DIR

Each inline PTX statement becomes a call of the harness (device/cub.h), or ends the launch where the
project has no use for it; `using X = X<...>`, which g++ refuses, is written with its namespace. All the
rest of CUB is used as the toolkit ships it, and nothing of it is kept in the repository.

The table below is what CCCL 3.0 (CUDA 13.0) holds. Where a toolkit differs, this stops: somebody has to
look at the new text before the harness can be trusted with it.
"""

import pathlib
import re
import sys

# header: (asm statements, how many of them the harness imitates, self-named aliases)
EXPECTED = {
    "cub/util_ptx.cuh": (7, 2, 0),
    "cub/thread/thread_load.cuh": (8, 0, 0),
    "cub/thread/thread_store.cuh": (8, 0, 0),
    "cub/thread/thread_operators.cuh": (1, 0, 0),
    "cub/warp/specializations/warp_reduce_shfl.cuh": (5, 5, 0),
    "cub/warp/specializations/warp_scan_shfl.cuh": (6, 6, 0),
    "cub/block/block_load.cuh": (0, 0, 3),
    "cub/block/block_store.cuh": (0, 0, 3),
    "cub/block/block_radix_rank.cuh": (0, 0, 1),
    "cub/block/specializations/block_reduce_raking.cuh": (0, 0, 2),
    "cub/block/specializations/block_reduce_raking_commutative_only.cuh": (0, 0, 2),
    "cub/block/specializations/block_reduce_warp_reductions.cuh": (0, 0, 1),
    "cub/block/specializations/block_scan_raking.cuh": (0, 0, 2),
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
    """The changed text, and what was found in it in the order of EXPECTED."""
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


def main(toolkit, output):
    for name, expected in EXPECTED.items():
        source = toolkit / name
        if not source.is_file():
            return f"{source} is missing"
        text, found = overlay(source.read_text())
        if found != expected:
            return (f"{source} has (asm statements, imitated ones, self-named aliases) = {found}, not {expected}: "
                    "this toolkit's CUB is not the one that cub_overlay.py was written for")
        target = output / name
        if not target.is_file() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    for folder in SEARCHED:
        for source in sorted((toolkit / folder).rglob("*.cuh")):
            if str(source.relative_to(toolkit)) not in EXPECTED and ASM.search(source.read_text()):
                return f"{source} holds inline PTX, which cub_overlay.py does not know"
    return None


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    problem = main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    sys.exit(f"cub_overlay.py: {problem}" if problem else 0)
