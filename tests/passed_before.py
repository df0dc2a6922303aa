"""Runs a test, unless it has passed before with the same inputs.

    passed_before.py NAME --kept FOLDER [--reads PATH...] -- COMMAND...

Inputs are the content of all that the test reads, never a time: its program and the libraries which that loads, every
file or folder that its command line or --reads names, its interpreter, its environment and the machine. It gets an
environment of named variables alone, so that no other can matter. What has passed is kept in FOLDER, one file a test; a
failure, a test that skips something, or one whose inputs change while it runs is not. TESTS_AGAIN=1 runs everything.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAID = "passed before with the same inputs"
CACHES = {"__pycache__", ".mypy_cache"}  # what running writes beside what is read
SEEN_BY_TESTS = re.compile(r"(PATH|HOME|USER|TMPDIR|TZ|LANG|LC_.*|LD_.*|PYTHON.*|OMP_.*|CUDA_.*|FAKE_CUDA_.*|SIMT_.*|"
                           r"LAYERWISE_.*|CATCH_.*|QEMU_.*|[A-Z]+SAN_OPTIONS)")


def environment():
    return {name: value for name, value in sorted(os.environ.items()) if SEEN_BY_TESTS.fullmatch(name)}


def files_below(path):
    """The files that a path stands for. Raises FileNotFoundError."""
    if path.is_dir():
        return [file for file in sorted(path.rglob("*")) if file.is_file() and not CACHES.intersection(file.parts)]
    if path.is_file():
        return [path]
    raise FileNotFoundError(f"{path} is read by the test and is not there")


def loaded_by(program):
    """The shared libraries that a program loads; none for a script."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", listed.stdout)] if listed.returncode == 0 else []


def machine():
    """What stands for all that is read of the system: the kernel, the processor, the packages' versions, Python's too."""
    flags = re.search(r"^(flags|Features)\s*:.*$", Path("/proc/cpuinfo").read_text(), re.M)
    packages = Path("/var/lib/dpkg/status")
    modules = sorted(str(found) for folder in sys.path for found in Path(folder).glob("*-info"))  # named by version
    return [*os.uname(), flags.group(0) if flags else "", packages.read_text() if packages.is_file() else "", sys.version,
            modules]


def inputs(command, reads):
    """Every file that a test reads."""
    program = shutil.which(command[0])
    if program is None:
        raise FileNotFoundError(f"{command[0]} is no program")
    named = [Path(program), Path(__file__), *loaded_by(program), *map(Path, reads)]
    named += [Path(argument) for argument in command[1:] if os.path.exists(argument)]
    return sorted({file for path in named for file in files_below(path)})


def digest(seen):
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def digest_of_files(command, reads):
    return digest([(str(file), os.access(file, os.X_OK), hashlib.sha256(file.read_bytes()).hexdigest())
                   for file in inputs(command, reads)])


def fingerprint(command, reads):
    """Of all that decides a test's result."""
    return digest([command, os.getcwd(), environment(), machine(), digest_of_files(command, reads)])


def kept_file(folder, name):
    return Path(folder) / (re.sub(r"\W+", "-", name) + ".json")


def kept(folder, name):
    """{fingerprint, seconds, command, reads, files} of the last pass, or {}."""
    try:
        return json.loads(kept_file(folder, name).read_text())
    except (OSError, ValueError):
        return {}


def keep(folder, name, record):
    file = kept_file(folder, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as unfinished:
        json.dump(record, unfinished)
    os.replace(unfinished.name, file)


def run(command):
    """(exit status, whether a part of it was skipped); its output goes on."""
    skips = False
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()) as test:
        for line in test.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            skips = skips or b"skip" in line.lower()
    return test.returncode, skips


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--kept", required=True)
    parser.add_argument("--reads", nargs="*", default=[])
    at = sys.argv.index("--")
    asked, command = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1:]
    try:
        before = fingerprint(command, asked.reads)
    except OSError as problem:
        sys.exit(f"{asked.name}: {problem}")
    record = kept(asked.kept, asked.name)
    if record.get("fingerprint") == before and os.environ.get("TESTS_AGAIN", "0") in ("", "0"):
        print(f"{SAID}, in {record['seconds']:.1f} s")
        return 0
    begun = time.monotonic()
    status, skips = run(command)
    if status == 0 and not skips and fingerprint(command, asked.reads) == before:
        keep(asked.kept, asked.name, {"fingerprint": before, "seconds": time.monotonic() - begun, "command": command,
                                      "reads": asked.reads, "files": digest_of_files(command, asked.reads)})
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
