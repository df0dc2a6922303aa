"""What the built binaries hold, read with nm and readelf.

binaries.py exports HEADER LIBRARY        the library's dynamic symbols are the header's functions, both ways
binaries.py soname HEADER LIBRARY         liblayerwise.so.<ABI version>
binaries.py dependencies LIBRARY          NEEDED names glibc's own libraries alone
binaries.py size ARCHITECTURES LIBRARY    the file is as small as one with machine code for so many GPUs can be
binaries.py isa-symbols OBJECT...         the step_*.o files share no symbol a linker could merge
"""
import os
import re
import subprocess
import sys

# What glibc itself is made of: the dynamic loader and the parts that older versions keep apart.
GLIBC = re.compile(r"(libc|libm|libdl|librt|libpthread)\.so\.\d+|ld-linux.*\.so\.\d+")
FIXED_NAMES = {"novograd_step", "larc_scale", "larc_sgd_step"}


def lines_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def check(problems):
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


def exports(header, library):
    text = re.sub(r"/\*.*?\*/|^#.*?$", "", open(header).read(), flags=re.S | re.M)
    declared = set(re.findall(r"LAYERWISE_API[^;(]*?(\w+)\(", text))
    exported = {line.split()[-1] for line in lines_of("nm", "-D", "--defined-only", library)}
    problems = [f"{name}: declared in the header, not exported" for name in sorted(declared - exported)]
    problems += [f"{name}: exported, not declared in the header" for name in sorted(exported - declared)]
    problems += [f"{name}: neither a fixed name nor prefixed with layerwise_" for name in sorted(exported - FIXED_NAMES)
                 if not name.startswith("layerwise_")]
    if not FIXED_NAMES < declared:
        problems.append(f"{header}: its functions were not found")
    check(problems)


def dynamic(library, tag):
    return [match[1] for line in lines_of("readelf", "-d", library) if (match := re.search(rf"\({tag}\).*\[(.*)\]", line))]


def soname(header, library):
    abi = re.search(r"#define LAYERWISE_ABI_VERSION (\d+)", open(header).read())[1]
    found = dynamic(library, "SONAME")
    check([] if found == [f"liblayerwise.so.{abi}"] else [f"soname {found}, ABI version {abi}"])


def dependencies(library):
    needed = dynamic(library, "NEEDED")
    print("needs", *needed)
    check([f"{name}: not part of the C library" for name in needed if not GLIBC.fullmatch(name)])


def size(architectures, library):
    # A GPU's machine code is 1.3 to 1.9 MB compressed, and 13 MB as it is; from compute capability 9.0 on 0.9 MB more, the
    # bulk pass. A release has five GPUs, most of them of that kind; a wheel has room for 40 MB.
    limit = {0: 3.5, 5: 18.0}.get(int(architectures), 6.9 + 1.9 * int(architectures))
    megabytes = os.path.getsize(library) / 1e6
    print(f"{megabytes:.1f} MB, machine code for {architectures} GPUs")
    check([] if megabytes < limit else [f"{megabytes:.1f} MB, at most {limit:.1f} MB are expected"])


def defined_symbols(path):
    """(kind, name) of every symbol an object defines for the linker; a lower-case kind is local, but u, v and w."""
    symbols = [line.split(None, 2)[1:] for line in lines_of("nm", "-C", "--defined-only", path)]
    return [(kind, name) for kind, name in symbols if kind in "uvw" or kind.isupper() and kind != "N"]


# Pointers into the C++ runtime: the same in every object, and no instructions.
RUNTIME = {"DW.ref.__gxx_personality_v0"}


def isa_symbols(objects):
    """Of equal symbols the linker keeps one, and a processor may then meet instructions it does not have. So a weak
    symbol is safe only if its name holds the instruction set's own namespace, a strong one only if no other object
    defines the same."""
    symbols = {path: defined_symbols(path) for path in objects}
    steps = [path for path in objects if os.path.basename(path).startswith("step_")]
    problems = [] if len(steps) >= 2 else [f"only {len(steps)} step_*.o among {len(objects)} objects"]
    for path in steps:
        isa = re.match(r"step_(\w+)\.", os.path.basename(path))[1]
        own = f"layerwise::{'baseline' if isa == 'base' else isa}::"
        others = {name for other in objects if other != path for _, name in symbols[other]}
        if not symbols[path]:
            problems.append(f"{path}: defines nothing")
        for kind, name in symbols[path]:
            if name not in RUNTIME and own not in name and (kind in "WVuvwC" or name in others):
                problems.append(f"{path}: {name} ({kind}) is outside {own}")
    check(problems)


command, *arguments = sys.argv[1:]
if command == "isa-symbols":
    isa_symbols(arguments)
else:
    {"exports": exports, "soname": soname, "dependencies": dependencies, "size": size}[command](*arguments)
