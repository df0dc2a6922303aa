"""Mutants of a C++ or CUDA source, by rules over its text.

A mutant replaces one span of a file. What is no code is blanked first, so that no rule can see it: comments, strings,
preprocessor lines, static assertions, and what is compiled by nvcc alone (#if __CUDACC__, __CUDA_ARCH__), since no
machine without a GPU could tell.
"""

import dataclasses
import hashlib
import random
import re


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    rule: str
    start: int
    end: int
    replacement: str
    before: str  # the lines it changes, stripped
    after: str
    occurrence: int  # among equal changes of the file

    @property
    def key(self):
        """Stays the same while other lines of the file change."""
        what = "\0".join((self.file, self.rule, self.before, self.after, str(self.occurrence)))
        return hashlib.sha1(what.encode()).hexdigest()[:10]

    def apply(self, text):
        return text[:self.start] + self.replacement + text[self.end:]

    def diff(self):
        return f"{self.file}:{self.line} {self.rule}\n- {self.before}\n+ {self.after}"


# ---- What rules may see ----------------------------------------------------------------------------------------------

NO_CODE = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""", re.DOTALL)
DEVICE_ONLY = re.compile(r"^#if defined\(__CUDA(?:CC|_ARCH)__\).*?^#(?:else|endif)$", re.DOTALL | re.MULTILINE)
HARNESS_ELSE = re.compile(r"^#if defined\(SIMT_HARNESS\)\n.*?\n#else\n(.*?)^#endif$", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
UNSEEN = (
    re.compile(r"\bstatic_assert\(.*?\);", re.DOTALL),
    re.compile(r"__launch_bounds__\([^)]*\)"),
    re.compile(r"^\s*(?:template <.*>|using .*;|namespace .*|inline namespace .*)$", re.MULTILINE),
    re.compile(r"\bLAYERWISE_SHARED\([^\n]*\);"),
    re.compile(r"\balignas\([^)]*\)+"),
)


def blank(text, pattern):
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def visible(text):
    """The text with everything but code blanked; the same length, the same lines."""
    for pattern in (NO_CODE, DEVICE_ONLY, HARNESS_ELSE, DIRECTIVE, *UNSEEN):
        text = blank(text, pattern)
    return text


def closing(code, opening):
    """The index of the bracket that closes the one at `opening`."""
    pairs = {"(": ")", "[": "]", "{": "}"}
    depth, own = 0, code[opening]
    for i in range(opening, len(code)):
        depth += (code[i] == own) - (code[i] == pairs[own])
        if depth == 0:
            return i
    raise ValueError("unbalanced brackets")


def arguments(code, opening):
    """The spans of the arguments of the call whose '(' is at `opening`."""
    spans, depth, begin, end = [], 0, opening + 1, closing(code, opening)
    for i in range(opening + 1, end):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if code[i] == "," and depth == 0:
            spans.append((begin, i))
            begin = i + 1
    spans.append((begin, end))
    return [(b + len(code[b:e]) - len(code[b:e].lstrip()), e) for b, e in spans]


# ---- The rules: each yields (start, end, replacement) ----------------------------------------------------------------

def replaces(pattern, replacements):
    """A rule that replaces what the pattern's first group holds, by each of the replacements listed for it."""
    pattern = re.compile(pattern)

    def rule(code):
        for match in pattern.finditer(code):
            for replacement in replacements.get(match[1], ()):
                yield match.start(1), match.end(1), replacement
    return rule


def numbers(code):
    for match in re.finditer(r"(?<![\w.])(\d+)([uUlL]*)(?![\w.])", code):
        if re.search(r"int\d*_t\{?$|<[^<>();]*$", code[max(0, match.start() - 12):match.start()]) and match[1] == "":
            continue
        yield match.start(), match.end(), f"{int(match[1]) + 1}{match[2]}"
        if int(match[1]) > 0:
            yield match.start(), match.end(), f"{int(match[1]) - 1}{match[2]}"
    for match in re.finditer(r"\b0x([0-9a-f]+)(u?)\b(?![.p])", code):
        yield match.start(), match.end(), f"0x{int(match[1], 16) + 1:x}{match[2]}"
        yield match.start(), match.end(), f"0x{int(match[1], 16) - 1:x}{match[2]}"


def scales(code):
    for match in re.finditer(r"\b0x[0-9a-f.]+p(-?)(\d+)f?\b", code):
        for shift in (1, -1):
            yield match.start(2), match.end(2), str(int(match[2]) + shift)
    for match in re.finditer(r"\b(\d+\.\d+)(f?)\b(?!p)", code):
        yield match.start(), match.end(), f"{float(match[1]) + 1}{match[2]}"


DECLARATION = re.compile(r"\s*(?:typename )?[\w:]+(?:<[^=;()]*>)? \w+(?:\[\w+\], \w+)?$")


def index(code):
    for match in re.finditer(r"[\w)\]]\[", code):
        opening = match.end() - 1
        inside = code[opening + 1:closing(code, opening)]
        line = code[code.rfind("\n", 0, opening) + 1:opening]
        if inside and ("return" in line or not DECLARATION.match(line)):
            yield opening + 1, opening + 1 + len(inside), f"({inside}) + 1"


def negate(code):
    for match in re.finditer(r"\b(?:if|while) \(", code):
        begin, end = match.end(), closing(code, match.end() - 1)
        yield begin, end, f"!({code[begin:end]})"


EXPRESSION_STARTS = re.compile(r"(?:[({\[;,}]| =\s| :\s| \?\s|return\s)$")


def choice(code):
    """a ? b : c takes the other branch."""
    for match in re.finditer(r" \? ", code):
        begin = match.start()
        depth = 0
        while begin > 0 and not (depth == 0 and EXPRESSION_STARTS.search(code[max(0, begin - 8):begin])):
            begin -= 1
            depth += (code[begin] in ")]") - (code[begin] in "([")
        condition = code[begin:match.start()].strip()
        begin = match.start() - len(code[begin:match.start()].lstrip())
        if condition:
            yield begin, match.start(), f"!({condition})"


def drop_guard(code):
    for match in re.finditer(r"^ *(?:else )?if \(", code, re.MULTILINE):
        end = closing(code, match.end() - 1)
        body = re.match(r"\s+(?:return\b[^;]*|continue|break);", code[end + 1:])
        if body:
            yield match.start(), end + 1 + body.end(), ";"


TARGET = r"(?:\*|\+\+\*?)?[\w.]+(?:->|[\w.]|::|\[[^\n;=]*?\]|\([^;=]*?\)(?=[.-]))*"


STATEMENT = re.compile(
    rf"{TARGET} (?:[-+*/%|&]|<<|>>)?=\s[^;]*;"  # a store
    r"|\+\+[^;]+;"
    rf"|(?!return\b|if\b|for\b|while\b|else\b)(?:[\w:]+|{TARGET}\.\w+)(?:<[\w, :]+>)?\([^;]*\);")  # a call
# Begins a line, after an else or an if on it; may go on in the next, unless the first is complete.
SIMPLE_STATEMENT = re.compile(
    r"^( *(?:else +|if \([^\n]*\) )?)([^\n;]*(?:(?<![{}:)])\n[^\n;]*?)?;)", re.MULTILINE)


def drop_statement(code):
    for match in SIMPLE_STATEMENT.finditer(code):
        text = match[2]
        if STATEMENT.fullmatch(text) and "__sync" not in text and text.count("(") == text.count(")"):
            yield match.start(2), match.end(2), ";"


def swap_arguments(code):
    for match in re.finditer(r"\b(fma|div|sub|larger|smaller)\(", code):
        if DEFINED.search(code[:match.start()]):
            continue
        spans = arguments(code, match.end() - 1)
        for a, b in ((1, 2),) if match[1] == "fma" else ((0, 1),):
            (b1, e1), (b2, e2) = spans[a], spans[b]
            yield b1, e2, code[b2:e2] + code[e1:b2] + code[b1:e1]


RULES = {
    "compare": replaces(r"(?<= )(<=|>=|<|>|==|!=)(?= )", {
        "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)}),
    "barrier": replaces(r"(?<!\w)(__sync(?:threads|warp)\(\);)", {"__syncthreads();": (";",), "__syncwarp();": (";",)}),
    "order": replaces(r"\b(memory_order_\w+)", {
        "memory_order_acq_rel": ("memory_order_relaxed", "memory_order_acquire", "memory_order_release"),
        "memory_order_acquire": ("memory_order_relaxed",), "memory_order_release": ("memory_order_relaxed",)}),
    "number": numbers,
    "scale": scales,
    "index": index,
    "arithmetic": replaces(r"(?<=[\w)\]] )(\+|-|\*|/|%|\+=|-=|\*=|/=|>>|<<|>>=)(?= [\w(*~-])", {
        "+": ("-",), "-": ("+",), "*": ("/", "+"), "/": ("*",), "%": ("/",), "+=": ("-=",), "-=": ("+=",),
        "*=": ("+=",), "/=": ("-=",), ">>": ("<<",), "<<": (">>",)}),
    "operation": replaces(r"(?<![\w.])(add|sub|mul|div|larger|smaller)\(", {
        "add": ("sub",), "sub": ("add",), "mul": ("div",), "div": ("mul",),
        "larger": ("smaller",), "smaller": ("larger",)}),
    "sign": replaces(r"(?<=[=(,?:] )(-)(?=[a-z(])", {"-": ("",)}),
    "bits": replaces(r"(?<=[\w)\]] )(\||&|\^)(?= [\w(])", {"|": ("&",), "&": ("|",)}),
    "logic": replaces(r"(?<= )(&&|\|\|)(?= )", {"&&": ("||",), "||": ("&&",)}),
    "truth": replaces(r"\b(true|false)\b", {"true": ("false",), "false": ("true",)}),
    "negate": negate,
    "choice": choice,
    "guard": drop_guard,
    "statement": drop_statement,
    "arguments": swap_arguments,
}


# ---- Generation and choice -------------------------------------------------------------------------------------------

DEFINED = re.compile(r"\b(?:float|double|uint32_t) $")  # before a name: its definition, which would only not compile


def generate(file, text):
    """All mutants of a file."""
    code, result, seen = visible(text), [], {}
    for rule, find in RULES.items():
        for start, end, replacement in find(code):
            if text[start:end] == replacement or rule == "operation" and DEFINED.search(code[:start]):
                continue
            begin = text.rfind("\n", 0, start) + 1
            stop = text.find("\n", end)
            before = " ".join(text[begin:stop].split())
            after = " ".join((text[begin:start] + replacement + text[end:stop]).split())
            seen[rule, before, after] = seen.get((rule, before, after), -1) + 1
            line = text.count("\n", 0, start) + 1
            result.append(Mutant(file, line, rule, start, end, replacement, before, after, seen[rule, before, after]))
    return result


def sample(mutants, count, seed):
    """`count` of them in a fixed order, spread evenly over files and rules: one of each file, one of each file and rule,
    then a second of each, ..."""
    draw = random.Random(seed)
    groups = {}
    for mutant in mutants:
        groups.setdefault((mutant.file, mutant.rule), []).append(mutant)
    for group in groups.values():
        draw.shuffle(group)
    order = sorted(groups)
    draw.shuffle(order)
    first = {file: rule for file, rule in reversed(order)}
    order.sort(key=lambda group: group[1] != first[group[0]])
    result = []
    while len(result) < count and any(groups.values()):
        result += [groups[key].pop() for key in order if groups[key]]
    return result[:count]
