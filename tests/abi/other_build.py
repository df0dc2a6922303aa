"""Whether a library built by another compiler, or for another processor, leaves the same bits as this one's.

usage: other_build.py COMPILER SOURCE INCLUDE LIBRARY HERE [EMULATOR...]

COMPILER builds SOURCE against the static LIBRARY; HERE is the same program of this build. EMULATOR, a command, runs
what this processor cannot.
"""

import pathlib
import subprocess
import sys
import tempfile


def printed(*command: str) -> list[str]:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def main() -> None:
    compiler, source, include, library, here, *emulator = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        there = str(pathlib.Path(folder) / "bits")
        subprocess.run([compiler, "-std=c++20", "-O1", "-static", f"-I{include}", source, library, "-pthread", "-o", there],
                       check=True)
        digests, others = printed(here), printed(*emulator, there)
    different = [f"here: {a}   there: {b}" for a, b in zip(digests, others, strict=True) if a != b]
    if different or not digests:
        sys.exit("\n".join(different) or "no digest")
    print(f"{len(digests)} digests are equal")


if __name__ == "__main__":
    main()
