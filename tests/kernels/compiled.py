"""What the compiler made of each kernel on each architecture, against a table in compiled/, one file an architecture.

compiled.py --check resources OPTIONS   registers, spills, shared memory and blocks an SM, from what ptxas -v said
compiled.py --check code OPTIONS        loads in flight and barriers a tile, from the machine code (sass.py)
compiled.py --accept OPTIONS            writes the tables anew; the commit that has them says why they changed
compiled.py --self-test                 planted changes are found
OPTIONS: --nvcc VERSION --tables FOLDER --tuning kernels/tuning.h --ptxas LOG... --objects FILE.o...

A change is no fault by itself: it is seen, and accepted in words. The tables are of one version of nvcc, which their
first line names; with another the checks are skipped. An architecture without a table is listed and not checked.
"""
import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import resources
import sass

FIELDS = {"resources": ("registers", "spilled", "shared", "blocks"), "code": ("loads in flight", "barriers")}
# Of an SM, from the CUDA programming guide's table of compute capabilities: threads, KiB of shared memory. From 8.0 on
# the system takes 1 KiB a block.
THREADS = {"75": 1024, "86": 1536, "89": 1536, "120": 1536, "121": 1536}
SHARED = {"75": 64, "80": 164, "86": 100, "89": 100, "120": 100, "121": 100}
MOST_LINES = 40  # of changes, for each architecture


def short(name):
    """A kernel's name with the dtypes as the tables have them."""
    for long, brief in (("bfloat16", "bf16"), ("float16", "f16"), ("float", "f32")):
        name = re.sub(rf"\b{long}\b", brief, name)
    return name.replace("> >", ">>").strip()


def blocks_an_sm(usage, architecture, threads):
    """Without the shared memory that a launch asks for."""
    number = re.sub(r"\D", "", architecture)
    registers = max((usage.registers + 7) // 8 * 8, 8) * threads
    shared = usage.shared + (1024 if int(number) >= 80 else 0)
    return min(resources.REGISTERS_OF_AN_SM // registers, THREADS.get(number, 2048) // threads,
               SHARED.get(number, 228) * 1024 // shared if shared else 1 << 30)


def from_ptxas(logs, tuning):
    """{architecture: {kernel: fields}}"""
    number = resources.numbers_of(Path(tuning).read_text())
    usages = resources.read(logs)
    names = resources.readable(sorted({function for function, _ in usages}))
    rows = {}
    for (function, architecture), usage in usages.items():
        spilled = usage.stack + usage.spill_stores + usage.spill_loads + usage.local
        rows.setdefault(architecture, {})[short(names[function])] = {
            "registers": str(usage.registers), "spilled": str(spilled), "shared": str(usage.shared),
            "blocks": str(blocks_an_sm(usage, architecture, resources.threads_of(function, number)))}
    return rows


def cuobjdump():
    """Its path, or None: beside nvcc, where the toolkit has it, or among Python's packages."""
    places = [os.environ.get("PATH", ""), "/usr/local/cuda/bin",
              *map(str, Path(sysconfig.get_paths()["purelib"]).glob("nvidia/cu*/bin"))]
    return shutil.which("cuobjdump", path=os.pathsep.join(places))


def from_code(objects, architectures, program):
    """{architecture: {kernel: fields}}"""
    environment = {**os.environ, "PATH": f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    rows = {}
    for architecture in architectures:
        found = {}
        for file in objects:
            done = subprocess.run([program, "-sass", "-arch", architecture, file], env=environment, text=True,
                                  capture_output=True)
            if done.returncode:
                sys.exit(f"{program} -sass -arch {architecture} {file}: {done.stderr.strip()}")
            found.update((name, sass.look(code)) for name, code in sass.kernels(io.StringIO(done.stdout)))
        names = resources.readable(sorted(found))
        rows[architecture] = {short(names[name]): dict(zip(FIELDS["code"], look)) for name, look in found.items()}
    return rows


def release(version):
    return ".".join(version.split(".")[:2])


def table_text(rows, version, architecture):
    columns = ("kernel", *FIELDS["resources"], *FIELDS["code"])
    cells = [columns] + [(name, *(rows[name][column] for column in columns[1:])) for name in sorted(rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
    title = f"nvcc {release(version)}, {architecture}, written by tests/kernels/compiled.py --accept"
    return "\n".join([title, *lines]) + "\n"


def read_table(text):
    """The version of nvcc, {kernel: fields}."""
    title, columns, *lines = text.splitlines()
    names = re.split(r"\s{2,}", columns.strip())
    return re.match(r"nvcc (\S+),", title)[1], {
        cells[0]: dict(zip(names[1:], cells[1:])) for cells in (re.split(r"\s{2,}", line.strip()) for line in lines)}


def changes(architecture, before, now, fields):
    """A line for each kernel that is not as the table has it."""
    lines = [f"{architecture} {name}: is gone" for name in sorted(before.keys() - now.keys())]
    lines += [f"{architecture} {name}: is new" for name in sorted(now.keys() - before.keys())]
    for name in sorted(before.keys() & now.keys()):
        words = [f"{field} {before[name][field]} -> {now[name][field]}" for field in fields
                 if before[name][field] != now[name][field]]
        if words:
            lines.append(f"{architecture} {name}: {', '.join(words)}")
    return lines


def check(options, rows):
    status = compared = 0
    for architecture, now in sorted(rows.items()):
        file = options.tables / f"{architecture}.txt"
        if not file.exists():
            print(f"{architecture}: no table; not checked")
            continue
        version, before = read_table(file.read_text())
        if version != release(options.nvcc):
            print(f"SKIPPED: {file.name} is of nvcc {version}, this build of {release(options.nvcc)}")
            return 0
        lines = changes(architecture, before, now, FIELDS[options.check])
        compared += len(now)
        more = [f"{architecture}: {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
        print("\n".join(lines[:MOST_LINES] + more) or f"{architecture}: {len(now)} kernels as the table has them")
        status |= bool(lines)
    if not compared:
        print("SKIPPED: no table for any architecture of this build")
    if status:
        print("Build the target accept_compiled to accept this, and say in the commit why it changed.")
    return status


def run(options):
    if not shutil.which("c++filt"):
        print("SKIPPED: no c++filt, which says the kernels' names")
        return 0
    rows = from_ptxas(options.ptxas, options.tuning)
    if not rows:
        print("no kernel found")
        return 1
    if options.check == "resources":
        return check(options, rows)
    program = cuobjdump()
    if not program:
        print("SKIPPED: no cuobjdump (pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm), so loads in flight and "
              "barriers are unknown")
        return 1 if options.accept else 0
    code = from_code(options.objects, sorted(rows), program)
    if options.check:
        return check(options, code)
    for architecture, kernels in rows.items():
        for name, fields in kernels.items():
            fields.update(code[architecture][name])
        options.tables.mkdir(exist_ok=True)
        (options.tables / f"{architecture}.txt").write_text(table_text(kernels, options.nvcc, architecture))
        print(f"{architecture}: {len(kernels)} kernels written")
    return 0


# ---- --self-test -----------------------------------------------------------------------------------------------------

CODE = """\t\tFunction : _Z1kv
        /*0000*/                   S2R R0, SR_CTAID.X ;      /* 0x0 */
        /*0010*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/                   LDG.E.128 R8, desc[UR4][R2.64+0x1000] ;
        /*0030*/                   LDG.E.128 R12, desc[UR4][R2.64+0x2000] ;
        /*0040*/                   LDG.E.64 R16, desc[UR4][R2.64+0x3000] ;
        /*0050*/                   FFMA R20, R5, R5, RZ ;
        /*0060*/                   FFMA R20, R9, R9, R20 ;
        /*0070*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0080*/              @P0  BRA 0xa0 ;
        /*0090*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*00a0*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*00b0*/             @!P1  BRA 0x10 ;
        /*00c0*/                   EXIT ;
"""


def self_test():
    def look(code):
        return [sass.look(instructions) for _, instructions in sass.kernels(code.splitlines())]

    fewer = CODE.replace("        /*0030*/", "        /*0028*/                   FADD R21, R4, R4 ;\n        /*0030*/")
    apart = CODE.replace("BRA 0x10 ;", "BRA 0x30 ;")
    rows = {"a": {"registers": "40", "spilled": "0", "shared": "32", "blocks": "4", "loads in flight": "8x16 4x8",
                  "barriers": "2 4"}}
    other = {"a": {**rows["a"], "registers": "48", "barriers": "2"}, "b": rows["a"]}
    version, read = read_table(table_text(rows, "13.0.88", "sm_90"))
    usage = resources.Usage()
    usage.registers, usage.shared = 78, 1056
    cases = [
        ("loads and barriers", look(CODE) == [("3x16+1x8", "2")]),
        ("a use between two loads takes them apart", look(fewer)[0][0] == "-"),
        ("what jumps in brings no loads", look(apart)[0][0] == "-"),
        ("a barrier on every way", look(CODE.replace("@P0  BRA 0xa0", "     NOP"))[0][1] == "3"),
        ("no loop", look(CODE.replace("@!P1  BRA 0x10", "      NOP"))[0][1] == "0"),
        ("a table is read as it was written", (version, read) == ("13.0", rows)),
        ("nothing changed", not changes("sm_90", rows, rows, FIELDS["resources"] + FIELDS["code"])),
        ("a change is named",
         changes("sm_90", rows, {"a": other["a"]}, FIELDS["code"]) == ["sm_90 a: barriers 2 4 -> 2"]),
        ("a kernel more", changes("sm_90", rows, other, ()) == ["sm_90 b: is new"]),
        ("a kernel less", changes("sm_90", other, rows, ()) == ["sm_90 b: is gone"]),
        ("names", short("k<bfloat16, float16, float> >") == "k<bf16, f16, f32>>"),
        ("blocks", [blocks_an_sm(usage, f"sm_{a}", 256) for a in (75, 90, 120)] == [3, 3, 3]),
    ]
    with tempfile.TemporaryDirectory() as folder:
        tables = Path(folder)
        (tables / "sm_90.txt").write_text(table_text(rows, "13.0.88", "sm_90"))
        for nvcc, now, expected in (("13.0.96", rows, 0), ("13.0.96", other, 1), ("13.5.37", other, 0)):
            options = argparse.Namespace(tables=tables, nvcc=nvcc, check="code")
            cases.append((f"nvcc {nvcc}", check(options, {"sm_90": now, "sm_80": now}) == expected))
    return [f"{name}: not as it should be" for name, holds in cases if not holds]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", choices=FIELDS)
    what.add_argument("--accept", action="store_true")
    what.add_argument("--self-test", action="store_true")
    parser.add_argument("--nvcc")
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--tuning")
    parser.add_argument("--ptxas", nargs="*", default=[])
    parser.add_argument("--objects", nargs="*", default=[])
    options = parser.parse_args()
    if not options.self_test:
        return run(options)
    output, sys.stdout = sys.stdout, io.StringIO()  # what planted checks print
    problems = self_test()
    sys.stdout = output
    print("\n".join(problems) or "every planted change is found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
