"""With a toolkit whose CUB nobody has looked at, the project configures, and a skipped test says which CCCL that is.

    unknown_toolkit.py SOURCE OPTION...      options go to cmake
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# CUB_VERSION and the reason that has to be seen: a version that is not in the table, and one whose text is another.
TOOLKITS = ((900100, "CCCL 9.1 is not one that"), (300001, "cub/util_ptx.cuh of CCCL 3.0 is not as"))
HEADERS = ("cuda_runtime.h", "cub/block/block_reduce.cuh", "cub/util_ptx.cuh")


def stand_in(folder, number):
    """Of a toolkit's headers, those that are looked for."""
    for name in HEADERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "cub/version.cuh").write_text(f"#define CUB_VERSION {number}")
    return folder


def listed(source, options, toolkit, build):
    """The tests that the project has with these headers."""
    subprocess.run(["cmake", "-S", source, "-B", build, "-DLAYERWISE_CUDA=OFF",
                    f"-DLAYERWISE_CUDA_INCLUDE_DIRS={toolkit}", *options], check=True, stdout=subprocess.DEVNULL)
    tests = subprocess.run(["ctest", "--test-dir", build, "-N"], check=True, capture_output=True, text=True)
    return re.findall(r"^ +Test +#\d+: (.*)$", tests.stdout, re.M)


def main():
    source, *options = sys.argv[1:]
    failed = False
    for number, reason in TOOLKITS:
        with tempfile.TemporaryDirectory() as folder:
            tests = listed(source, options, stand_in(Path(folder) / "toolkit", number), f"{folder}/build")
        simt = [test for test in tests if test.startswith(("simt: the kernels", "simt.harness", "simt.cross"))]
        if len(simt) != 1 or not simt[0].startswith(f"simt: the kernels on the CPU [{reason}") or len(tests) < 20:
            print(f"CUB {number}: of {len(tests)} tests, {simt}; expected is one that is skipped because {reason}")
            failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
