"""Runs a check over the PTX of the kernels, all architectures: each_ptx.py FOLDER CHECK.py KERNEL...

A KERNEL is the name of its .cu file; what the folder still has of others is of an earlier build.
"""
import glob
import os
import subprocess
import sys

folder, check, *kernels = sys.argv[1:]
files = []
for kernel in kernels:
    found = sorted(glob.glob(os.path.join(folder, f"{kernel}.ptx")) + glob.glob(os.path.join(folder, f"{kernel}.compute_*.ptx")))
    if not found:
        sys.exit(f"no PTX of {kernel} in {folder}: was the library built?")
    files += found
sys.exit(subprocess.run([sys.executable, "-B", check, *files]).returncode)
