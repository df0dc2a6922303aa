"""What CMake chooses to build for CUDA, and what it says of it, on machines that are pretended.

    cuda_choice.py PACKAGE CMAKE C_COMPILER CXX_COMPILER

PACKAGE is the folder src/package. A driver of our own stands for the machine's GPUs and a script for nvcc. Hazards:
all architectures compiled in silence by one who asked for none; a build that stops where an old nvcc or an old GPU
is; code that no GPU here runs, as nvcc does not know the GPU yet. The expectation of each case is the rule at the head of
src/package/cuda-choice.cmake. """

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(choice LANGUAGES CXX)
set(LAYERWISE_CUDA AUTO CACHE STRING "")
include("{package}/cuda-choice.cmake")
message(STATUS "chosen: ${{LAYERWISE_HAVE_CUDA}} <${{CMAKE_CUDA_ARCHITECTURES}}>")
"""
DRIVER = """
#include <stdlib.h>
#include <string.h>
static int capability(int device) { return atoi(getenv("PRETENDED_GPUS") + 4 * device); }
int cuInit(unsigned flags) { return getenv("PRETENDED_GPUS") ? 0 : 100; }
int cuDeviceGetCount(int *count) { *count = (int)(strlen(getenv("PRETENDED_GPUS")) + 1) / 4; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? capability(device) / 10 : attribute == 76 ? capability(device) % 10 : -1;
  return 0;
}
"""
NVCC = """#!/bin/sh
case $1 in
--version) echo "Cuda compilation tools, release $PRETENDED_NVCC, V$PRETENDED_NVCC.1" ;;
--list-gpu-arch) printf 'compute_%s\\n' 75 80 86 89 90 100 103 120 ;;
*) exit 1 ;;
esac
"""
ALL = "75-real;80-real;90-real;100-real;120"

# (what, GPUs, nvcc's version, CMake's options, whether CUDA is built, for what, a word that the line must hold)
CASES = (
    ("a GPU is built for, its code and its PTX", "090", "13.0", [], 1, "90", "compute capability 9.0, PTX 9.0"),
    ("GPUs of two kinds, once each", "090 080 090", "13.0", [], 1, "80-real;90",
     "compute capability 8.0, 9.0, PTX 9.0"),
    ("no GPU: no CUDA, and how to have it", "", "13.0", [], 0, "", "-DCMAKE_CUDA_ARCHITECTURES=90"),
    ("no GPU, but architectures that are named", "", "13.0", ["-DCMAKE_CUDA_ARCHITECTURES=80-real;90"], 1,
     "80-real;90", "8.0, 9.0"),
    ("named architectures, whatever GPU is here", "120", "13.0", ["-DCMAKE_CUDA_ARCHITECTURES=90"], 1, "90", "9.0"),
    ("named in the environment", "120", "13.0", ["CUDAARCHS=90"], 1, "90", "9.0"),
    ("a GPU that nvcc does not know yet gets the newest PTX below it", "121", "12.8", [], 1, "120-virtual", "PTX 12.0"),
    ("a GPU between two that nvcc knows", "110", "12.8", [], 1, "103-virtual", "PTX 10.3"),
    ("a GPU that is too old: no CUDA", "070", "13.0", [], 0, "", "7.5 is the oldest"),
    ("of an old GPU and a newer one, the newer", "061 086", "13.0", [], 1, "86", "8.6"),
    ("an nvcc that is too old: no CUDA, but no error", "090", "12.4", [], 0, "", "older than nvcc 12.8"),
    ("ON: what a release serves, whatever is here", "", "13.0", ["-DLAYERWISE_CUDA=ON"], 1, ALL, "about 9 min"),
    ("ON: for named architectures", "", "13.0", ["-DLAYERWISE_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=90"],
     1, "90", "9.0"),
    ("ON: an nvcc that is too old is an error", "090", "12.4", ["-DLAYERWISE_CUDA=ON"], None, "",
     "older than nvcc 12.8"),
    ("native: the GPU here, not CMake's default", "089", "13.0", ["-DCMAKE_CUDA_ARCHITECTURES=native"], 1, "89", "8.9"),
    ("ON and native without a GPU is an error", "", "13.0",
     ["-DLAYERWISE_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=native"], None, "", "no GPU"),
    ("OFF", "090", "13.0", ["-DLAYERWISE_CUDA=OFF"], 0, "", "the CPU backend alone"),
)


def configure(cmake, folder, number, cxx, gpus, version, options):
    environment = {name: value for name, value in os.environ.items() if name not in ("CUDAARCHS", "LAYERWISE_CUDA")}
    environment |= {"LD_LIBRARY_PATH": str(folder), "CUDACXX": str(folder / "nvcc"), "PRETENDED_NVCC": version}
    if gpus:
        environment["PRETENDED_GPUS"] = gpus
    environment |= dict(option.split("=") for option in options if not option.startswith("-"))
    command = [cmake, "-S", folder, "-B", folder / f"build-{number}", f"-DCMAKE_CXX_COMPILER={cxx}",
               *(option for option in options if option.startswith("-"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def main(package, cmake, cc, cxx):
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "CMakeLists.txt").write_text(PROJECT.format(package=package))
        (folder / "driver.c").write_text(DRIVER)
        (folder / "nvcc").write_text(NVCC)
        (folder / "nvcc").chmod(0o755)
        subprocess.run([cc, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", folder / "driver.c"], check=True)
        for number, (what, gpus, version, options, built, architectures, said) in enumerate(CASES):
            code, printed = configure(cmake, folder, number, cxx, gpus, version, options)
            expected = f"chosen: {built} <{architectures}>" if built is not None else "CMake Error"
            if (code == 0) != (built is not None) or expected not in printed or said not in printed:
                failures += 1
                print(f"FAILED: {what}: exit code {code}; expected <{expected}> and <{said}> in:\n{printed}")
    print(f"{len(CASES) - failures} of {len(CASES)} cases hold")
    return failures


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) != 0)
