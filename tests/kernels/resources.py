"""Registers, stack, spills and shared memory of every kernel on every architecture, from what ptxas -v said.

resources.py LOG...                              prints a table
resources.py --check ARCHITECTURES TUNING LOG... fails on a spill, on local memory, where an architecture is missing, or
                                                 where a kernel needs more than kernels/tuning.h plans with
resources.py --self-test                         planted logs
ARCHITECTURES is a list such as 75,80; TUNING is kernels/tuning.h.
"""
import re
import subprocess
import sys

ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
FUNCTION = re.compile(r"Function properties for (\S+)")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
LOCAL = re.compile(r"(\d+) bytes lmem")


class Usage:
    def __init__(self):
        self.registers = self.shared = self.stack = self.spill_stores = self.spill_loads = self.local = 0

    def memory(self):
        """What lies in local memory, in words; empty where nothing does."""
        amounts = {"stack": self.stack, "spill stores": self.spill_stores, "spill loads": self.spill_loads, "local": self.local}
        return ", ".join(f"{amount} bytes {name}" for name, amount in amounts.items() if amount)


def parse(text):
    """{(function, architecture): Usage}: kernels and whatever device functions were not inlined into them."""
    found, architecture, usage = {}, None, None
    for line in text.splitlines():
        if match := ENTRY.search(line):
            architecture = match[2]
            usage = found.setdefault((match[1], architecture), Usage())
        elif match := FUNCTION.search(line):
            usage = found.setdefault((match[1], architecture), Usage())
        elif usage and (match := FRAME.search(line)):
            usage.stack, usage.spill_stores, usage.spill_loads = map(int, match.groups())
        elif usage and (match := USED.search(line)):
            usage.registers = int(match[1])
            usage.shared = int(shared[1]) if (shared := SHARED.search(line)) else 0
            usage.local = int(local[1]) if (local := LOCAL.search(line)) else 0
    return found


def problems_in(usages, architectures):
    functions = sorted({function for function, _ in usages})
    problems = [] if functions else ["no kernel found"]
    for function in functions:
        missing = [a for a in architectures if (function, f"sm_{a}") not in usages]
        if missing:
            problems.append(f"{function}: nothing known for sm_{', sm_'.join(missing)}")
    problems += [f"{function} on {architecture}: {usage.memory()}" for (function, architecture), usage in usages.items()
                 if usage.memory()]
    return problems


# What tuning.h plans with: blocks of each kernel that an SM holds at once, and the one-pass kernels' own shared memory.
# The first pattern that a mangled name has decides.
BLOCKS = {r"5normsINS_9BothNorms": "kBothNormBlocks", "5norms": "kNormBlocks", "6update": "kUpdateBlocks",
          "8one_pass": "kOnePassBlocks", "9bulk_pass": "kOnePassBlocks"}
REGISTERS_OF_AN_SM = 65536  # on every architecture from sm_75 on; a thread gets them in eights


def numbers_of(tuning):
    return {name: int(value) for name, value in re.findall(r"constexpr int (k\w+) = (\d+);", tuning)}


def threads_of(function, number):
    """Of a block; number: what tuning.h has."""
    return number["kBlockThreads"] + (32 * number["kProducerWarps"] if "9bulk_pass" in function else 0)


def over_budget(usages, tuning):
    """Kernels of which an SM holds fewer blocks than planned, by registers or by shared memory."""
    number = numbers_of(tuning)
    problems = []
    for (function, architecture), usage in usages.items():
        kernel = next((pattern for pattern in BLOCKS if re.search(pattern, function)), None)
        if kernel is None:
            continue
        registers = (usage.registers + 7) // 8 * 8 * threads_of(function, number) * number[BLOCKS[kernel]]
        if registers > REGISTERS_OF_AN_SM:
            problems.append(f"{function} on {architecture}: {usage.registers} registers are too many for "
                            f"{number[BLOCKS[kernel]]} blocks")
        if BLOCKS[kernel] == "kOnePassBlocks" and usage.shared > number["kStaticSharedBytes"]:
            problems.append(f"{function} on {architecture}: {usage.shared} bytes of its own shared memory, planned are "
                            f"{number['kStaticSharedBytes']}")
    return problems


def readable(functions):
    """The functions' names as the source spells them, without namespaces, return types and parameters."""
    try:
        names = subprocess.run(["c++filt"], input="\n".join(functions), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {function: function for function in functions}
    short = {}
    for function, name in zip(functions, names.splitlines()):
        name = name.replace("(anonymous namespace)::", "")
        name = re.sub(r"\b(layerwise|common|kernels|cuda)::", "", name)
        name = re.sub(r"^void ", "", name)
        short[function] = re.sub(r"\((?!anonymous).*$", "", re.sub(r"\((int|bool|long)\)", "", name))
    return short


def print_table(usages):
    functions = sorted({function for function, _ in usages})
    architectures = sorted({architecture for _, architecture in usages}, key=lambda name: int(re.search(r"\d+", name)[0]))
    names = readable(functions)
    width = max(map(len, names.values()), default=0)
    print("registers by architecture, static shared memory in bytes")
    print(f"{'kernel':{width}}  {'shared':>6}" + "".join(f"  {architecture:>6}" for architecture in architectures))
    for function in sorted(functions, key=names.get):
        row = [usages.get((function, architecture)) for architecture in architectures]
        shared = max(usage.shared for usage in row if usage)
        print(f"{names[function]:{width}}  {shared:6}" + "".join(f"  {usage.registers if usage else '-':>6}" for usage in row))
    spilled = [(f, a, u.memory()) for (f, a), u in usages.items() if u.memory()]
    for function, architecture, memory in spilled:
        print(f"{names[function]} on {architecture}: {memory}")
    print(f"{len(functions)} functions, {len(architectures)} architectures, {len(spilled)} with spills or local memory")


def self_test():
    def entry(name, architecture, frame="0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads", used=""):
        return (f"ptxas info    : Compiling entry function '{name}' for '{architecture}'\n"
                f"ptxas info    : Function properties for {name}\n    {frame}\n"
                f"ptxas info    : Used 40 registers, used 1 barriers, 1056 bytes smem{used}, 400 bytes cmem[0]\n")

    clean = "ptxas info    : 0 bytes gmem\n" + entry("k", "sm_75") + entry("k", "sm_80")
    usage = parse(clean)[("k", "sm_75")]
    cases = [
        ("clean log", [(usage.registers, usage.shared)] == [(40, 1056)] and not problems_in(parse(clean), ["75", "80"])),
        ("empty log", problems_in(parse(""), ["75"])),
        ("missing architecture", problems_in(parse(clean), ["75", "80", "90"])),
        ("stack", problems_in(parse(entry("k", "sm_75", "16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads")), ["75"])),
        ("spill", problems_in(parse(entry("k", "sm_75", "0 bytes stack frame, 4 bytes spill stores, 0 bytes spill loads")), ["75"])),
        ("local", problems_in(parse(entry("k", "sm_75", used=", 8 bytes lmem")), ["75"])),
        ("stack of a function that was not inlined", problems_in(parse(
            entry("k", "sm_75") + "ptxas info    : Function properties for f\n"
            "    8 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"), ["75"])),
    ]
    tuning = ("inline constexpr int kBlockThreads = 256;\ninline constexpr int kNormBlocks = 3;\n"
              "inline constexpr int kBothNormBlocks = 2;\ninline constexpr int kUpdateBlocks = 3;\ninline constexpr int kOnePassBlocks = 2;\n"
              "inline constexpr int kProducerWarps = 2;\ninline constexpr int kStaticSharedBytes = 1024;\n")

    def budget(kernel, registers, shared):
        return over_budget(parse(entry(kernel, "sm_90").replace("40 registers", f"{registers} registers")
                                 .replace("1056 bytes smem", f"{shared} bytes smem")), tuning)

    cases += [
        ("within budget", not budget("_Z8one_pass", 128, 1024) and not budget("_Z5norms", 80, 9999)),
        ("too many registers", budget("_Z8one_pass", 129, 0) and budget("_Z5norms", 81, 0)),
        ("more registers for fewer blocks", not budget("_Z5normsINS_9BothNormsIffE", 128, 0)),
        ("too much shared memory", budget("_Z8one_pass", 128, 1025) and budget("_Z9bulk_pass", 96, 1025)),
        ("two warps more", not budget("_Z9bulk_pass", 96, 1024) and budget("_Z9bulk_pass", 105, 0)),
    ]
    return [f"{name}: not as it should be" for name, holds in cases if not holds]


def read(logs):
    usages = {}
    for log in logs:
        usages.update(parse(open(log).read()))
    return usages


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        problems = self_test()
    elif sys.argv[1] == "--check":
        usages = read(sys.argv[4:])
        problems = problems_in(usages, sys.argv[2].split(",")) + over_budget(usages, open(sys.argv[3]).read())
    else:
        problems = []
        print_table(read(sys.argv[1:]))
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)
