"""Runs a check over all PTX files of a folder: each_ptx.py FOLDER CHECK.py"""
import glob
import os
import subprocess
import sys

folder, check = sys.argv[1:]
files = sorted(glob.glob(os.path.join(folder, "*.ptx")))
if not files:
    sys.exit(f"no PTX in {folder}: was the library built?")
sys.exit(subprocess.run([sys.executable, "-B", check, *files]).returncode)
