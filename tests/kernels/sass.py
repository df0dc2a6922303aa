"""What a kernel's machine code says of its time: loads in flight and barriers a tile, from what cuobjdump -sass prints."""
import re
from collections import deque

FUNCTION = re.compile(r"^\s*Function : (\S+)")
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?(\S+)\s*([^;]*);")
PREDICATED = re.compile(r"/\s+@!?U?P(?!T\b)")
REGISTER = re.compile(r"\bR(\d+)\b")
TARGET = re.compile(r"0x([0-9a-f]+)\s*$")
WIDTHS = {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}


class Instruction:
    def __init__(self, line, found):
        self.address, self.operation, self.operands = int(found[1], 16), found[2], found[3].strip()
        self.predicated = bool(PREDICATED.search(line))
        self.registers = {int(number) for number in REGISTER.findall(self.operands)}

    def kind(self):
        return self.operation.split(".", 1)[0]

    def target(self):
        found = TARGET.search(self.operands)
        return int(found[1], 16) if found and self.kind() in ("BRA", "BSSY", "JMP") else None

    def ends_a_way(self):
        return not self.predicated and self.kind() in ("EXIT", "RET", "BRX") or self.always_jumps()

    def always_jumps(self):
        return (not self.predicated and self.kind() in ("BRA", "JMP")
                and not self.operation.startswith(("BRA.DIV", "BRA.CONV"))
                and "P" not in re.sub(r"\bU?PT\b", "", self.operands.split("0x")[0]))

    def loads(self):
        """Bytes a thread that it asks global memory for."""
        if self.kind() not in ("LDG", "LDGSTS"):
            return 0
        return next((WIDTHS[part] for part in self.operation.split(".") if part in WIDTHS), 4)


def kernels(lines):
    """Name and instructions of each function."""
    name, found = None, []
    for line in lines:
        if match := FUNCTION.match(line):
            if name:
                yield name, found
            name, found = match[1], []
        elif name and (match := INSTRUCTION.match(line)):
            found.append(Instruction(line, match))
    if name:
        yield name, found


def flights(instructions):
    """Where loads are used: the number of the instruction, and the bytes a thread of each load that was on its way until
    then. What jumps in from elsewhere brings none."""
    joins = {i.target() for i in instructions if i.kind() != "BSSY"}
    waiting, grown = {}, False  # by the first register that a load fills
    for number, instruction in enumerate(instructions):
        used = [first for first, size in waiting.items()
                if instruction.registers & set(range(first, first + max(size // 4, 1)))]
        if grown and (used or instruction.address in joins or instruction.ends_a_way()):
            yield number - 1, list(waiting.values())
            grown = False
        if instruction.address in joins or instruction.ends_a_way():
            waiting = {}
        for first in used:
            waiting.pop(first, None)
        if size := instruction.loads():
            first = re.match(r"R(\d+)", instruction.operands)
            waiting[int(first[1]) if first and instruction.kind() == "LDG" else -instruction.address] = size
            grown = True


def edges(instructions):
    """For each instruction, by number, those that may follow it."""
    number = {instruction.address: i for i, instruction in enumerate(instructions)}
    meets = {}
    for i, instruction in enumerate(instructions):
        after = [] if instruction.ends_a_way() or i + 1 == len(instructions) else [i + 1]
        register = instruction.operands.split(",")[0]
        if instruction.kind() == "BSSY":
            meets[register] = instruction.target()
        elif instruction.kind() == "BSYNC" and meets.get(register) in number:
            after = [number[meets[register]]]
        elif instruction.target() in number:
            after.append(number[instruction.target()])
        yield after


def fewest(cost, neighbours, start):
    """The least cost of a way from one instruction to each other, the first one's own included."""
    best, queue = {start: cost[start]}, deque([start])
    while queue:
        at = queue.popleft()
        for to in neighbours[at]:
            if best[at] + cost[to] < best.get(to, 1 << 30):
                best[to] = best[at] + cost[to]
                (queue.append if cost[to] else queue.appendleft)(to)
    return best


def barriers(instructions, places):
    """Barriers on the way from the head of the outermost loop past each place back to the head."""
    after = list(edges(instructions))
    before = [[] for _ in after]
    for at, following in enumerate(after):
        for to in following:
            before[to].append(at)
    cost = [int(i.operation.startswith(("BAR.SYNC", "BAR.RED"))) for i in instructions]
    heads = sorted({to for at, following in enumerate(after) for to in following if to <= at})
    found, left = {}, set(places)
    for head in heads:
        if not left:
            break
        there = fewest(cost, after, head)
        if not any(place in there for place in left):
            continue
        back = fewest(cost, before, head)
        for place in [place for place in left if place in there and place in back]:
            found[place] = there[place] + back[place] - cost[place] - cost[head]
            left.remove(place)
    return found


LEAST_LOADS, MOST_GROUPS = 4, 4  # fewer at once are addresses and constants; the groups that follow say no more


def look(instructions):
    """The loads in flight before a use, the most bytes first, such as "8x16 4x16": 8 loads of 16 bytes a thread; and
    the barriers on the ways of a tile past them."""
    peaks = [(number, loads) for number, loads in flights(instructions) if len(loads) >= LEAST_LOADS]
    words = sorted({(sum(loads), "+".join(f"{loads.count(size)}x{size}" for size in sorted(set(loads), reverse=True)))
                    for _, loads in peaks}, reverse=True)
    counts = sorted(set(barriers(instructions, [number for number, _ in peaks]).values()))
    return " ".join(word for _, word in words[:MOST_GROUPS]) or "-", " ".join(map(str, counts)) or "0"
