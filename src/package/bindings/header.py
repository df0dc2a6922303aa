"""Reads include/layerwise.h: its constants, structs and functions, and the comment that each of them has.

The C is pycparser's to read. #defines and comments have a form of their own here; what does not keep it is an error:

    #define NAME -1 or (-1)   an integer, with a comment behind it; or, for several, one on a line of its own above them
    a member of a struct      on one line, with a comment behind it, which may go on below
    a struct, a function      with a comment right above it

A comment says, too, what kind of option an int32_t member is, "CPU: " and "CUDA: " aside: "1: ..." or "0: ..." is a
flag, "LAYERWISE_NORM_, ..." one of those constants, "the number ...", "number of ..." or a constant's name a number.
"""
from __future__ import annotations

import re
from dataclasses import dataclass

from model import Constant, Family, Function, Header, HeaderError, Member, Struct, Type
from pycparser import CParser, c_ast
from pycparser.c_parser import ParseError


@dataclass
class Comment:
    first: int  # line
    last: int
    behind: bool  # code stands before it on its line
    lines: list[str]
    used: bool = False

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.lines).split())


# The conditions of the header's #if lines, as a C99 compiler of this platform sees them.
CONDITIONS = {"#ifndef LAYERWISE_H": True, "#if defined(_WIN32)": False, "#ifdef __cplusplus": False}
PASSED_OVER = ("#define LAYERWISE_H", "#define LAYERWISE_API", "#include <stdint.h>")
INTEGER = r"-?(?:0|[1-9]\d*)"  # decimal: a leading zero would be octal in C
NUMBERS = {"double": "number", "int64_t": "integer"}  # the members of other types than int32_t
SCALARS = ("char", "uint8_t", "int32_t", "int64_t", "float", "double")


def read(text: str) -> Header:
    comments, code = _without_comments(text)
    lines, defines = _without_directives(code)
    header = Header()
    _read_constants(header, defines, comments, code)
    prelude = " ".join(f"typedef int {name};" for name in SCALARS if name.endswith("_t"))
    try:
        tree = CParser().parse(f'{prelude}\n#line 1 "header"\n' + "\n".join(lines), "prelude")
    except ParseError as problem:
        raise HeaderError(f"this is no C: {problem}") from None
    for declaration in tree.ext:
        if declaration.coord.file == "header":
            _read_declaration(header, declaration, comments, code)
    for comment in comments:
        if comment.behind and not comment.used and code[comment.first - 1] != "#endif":
            raise HeaderError(f"line {comment.first}: the comment belongs to no constant and no member: {comment.text}")
    return header


def _without_comments(text: str) -> tuple[list[Comment], list[str]]:
    """The comments, and the lines of code without them."""
    comments = []

    def taken(found: re.Match[str]) -> str:
        first = text.count("\n", 0, found.start()) + 1
        last = first + found[0].count("\n")
        before = text[text.rfind("\n", 0, found.start()) + 1:found.start()]
        after = text[found.end():].split("\n", 1)[0]
        if after.strip():
            raise HeaderError(f"line {last}: something follows a comment: {after.strip()}")
        body = [re.sub(r"^\s*\*? ?", "", line) if number else line.lstrip() for number, line in
                enumerate(found[0][2:-2].rstrip().split("\n"))]
        if before.strip():  # its lines are indented as its first one is
            body = [line.strip() for line in body]
        comments.append(Comment(first, last, bool(before.strip()), body))
        return "\n" * found[0].count("\n")

    code = re.sub(r"/\*.*?\*/", taken, text, flags=re.S).split("\n")
    for number, line in enumerate(code, 1):
        if "//" in line or "/*" in line:
            raise HeaderError(f"line {number}: a comment of another form: {line.strip()}")
    return comments, [line.rstrip() for line in code]


def _without_directives(code: list[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """The lines of C, and the numbered #defines of constants."""
    lines, defines, open_conditions = [], [], []
    for number, line in enumerate(code, 1):
        lines.append("" if line.startswith("#") or not all(open_conditions) else
                     re.sub(r"^LAYERWISE_API ", "", line))
        if not line.startswith("#"):
            continue
        if line in CONDITIONS:
            open_conditions.append(CONDITIONS[line])
        elif line == "#else":
            open_conditions[-1] = not open_conditions[-1]
        elif line == "#endif":
            open_conditions.pop()
        elif re.match(r"#define LAYERWISE_[A-Z0-9_]+ ", line) and not line.startswith(PASSED_OVER):
            defines.append((number, line))
        elif not line.startswith(PASSED_OVER):
            raise HeaderError(f"line {number}: not understood: {line}")
    return lines, defines


def _read_constants(header: Header, defines: list[tuple[int, str]], comments: list[Comment], code: list[str]) -> None:
    ends = {comment.last: comment for comment in comments if not comment.behind}
    above: list[Comment | None] = []  # what stands right above each group
    nearest: Comment | None = None
    last = 0
    for number, line in defines:
        found = re.fullmatch(rf"#define (LAYERWISE_[A-Z0-9_]+) (?:({INTEGER})|\(({INTEGER})\))", line)
        if not found or not -2**31 <= int(found[2] or found[3]) < 2**31:
            raise HeaderError(f"line {number}: the constant is no integer of 32 bits: {line}")
        if not header.groups or any(_is_empty(between, code, comments) for between in range(last + 1, number)):
            header.groups.append([])
            above.append(ends.get(number - 1))
            nearest = None
        nearest = ends.get(number - 1, nearest)
        comment = next((comment for comment in comments if comment.first == number and comment.behind), nearest)
        if comment is None:
            raise HeaderError(f"line {number}: {found[1]} has no comment")
        comment.used = True
        header.groups[-1].append(Constant(found[1], int(found[2] or found[3]), comment.text))
        last = max(number, comment.last) if comment.behind else number
    for group, comment in zip(header.groups, above):
        prefix = _common_prefix([constant.name for constant in group])
        if len(group) > 1 and prefix.count("_") > 1:
            header.families.append(Family(prefix, comment.lines if comment else [], group))


def _is_empty(number: int, code: list[str], comments: list[Comment]) -> bool:
    return not code[number - 1] and not any(comment.first <= number <= comment.last for comment in comments)


def _common_prefix(names: list[str]) -> str:
    words = [name.split("_") for name in names]
    count = next((i for i, column in enumerate(zip(*words)) if len(set(column)) > 1), 0)
    return "".join(word + "_" for word in words[0][:count])


def _read_declaration(header: Header, node: c_ast.Node, comments: list[Comment], code: list[str]) -> None:
    where = f"line {node.coord.line}: {getattr(node, 'name', node)}"
    if isinstance(node, c_ast.Typedef) and isinstance(node.type, c_ast.TypeDecl) and isinstance(
            node.type.type, c_ast.Struct):
        struct = node.type.type
        if struct.name != node.name:
            raise HeaderError(f"{where} is a name for struct {struct.name}: both must be the same")
        comment = _comment_above(struct.coord.line, where, comments)
        if struct.decls is None:
            header.opaque[node.name] = comment
        else:
            header.structs.append(Struct(node.name, comment, [
                _member(member, header, comments, code) for member in struct.decls]))
    elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl):
        function = node.type
        arguments = [(argument.name, _type(argument.type, header, where)) for argument in function.args.params
                     if not (isinstance(argument, c_ast.Typename) and _is_void(argument.type))]
        if any(name is None for name, _ in arguments):
            raise HeaderError(f"{where} has an argument without a name")
        header.functions.append(Function(node.name, _comment_above(node.coord.line, where, comments),
                                         _type(function.type, header, where), arguments))
    else:
        raise HeaderError(f"{where}: neither a struct, typedef'd by its own name, nor a function")


def _comment_above(line: int, where: str, comments: list[Comment]) -> list[str]:
    for comment in comments:
        if comment.last == line - 1 and not comment.behind:
            return comment.lines
    raise HeaderError(f"{where} has no comment above it")


def _is_void(node: c_ast.Node) -> bool:
    return isinstance(node, c_ast.TypeDecl) and getattr(node.type, "names", None) == ["void"]


def _type(node: c_ast.Node, header: Header, where: str) -> Type:
    pointers = 0
    while isinstance(node, c_ast.PtrDecl):
        if node.quals:
            raise HeaderError(f"{where} has a pointer that is itself const")
        node, pointers = node.type, pointers + 1
    known = (*SCALARS, "void", *header.opaque, *(struct.name for struct in header.structs))
    names = getattr(getattr(node, "type", None), "names", [])
    if not isinstance(node, c_ast.TypeDecl) or len(names) != 1 or names[0] not in known:
        raise HeaderError(f"{where} has a type that is not understood: {' '.join(names) or type(node).__name__}")
    return Type(names[0], pointers, "const" in node.quals)


def _member(node: c_ast.Decl, header: Header, comments: list[Comment], code: list[str]) -> Member:
    line = node.coord.line
    where = f"line {line}: {node.name}"
    comment = next((comment for comment in comments if comment.first == line and comment.behind), None)
    if comment is None or comment.used or not code[line - 1].rstrip().endswith(";"):
        raise HeaderError(f"{where}: a member needs a line of its own, and a comment behind it")
    comment.used = True
    declared, count = node.type, None
    if isinstance(declared, c_ast.ArrayDecl):
        if not isinstance(declared.dim, c_ast.Constant) or not declared.dim.value.isdecimal():
            raise HeaderError(f"{where} is an array of a size that is no number")
        declared, count = declared.type, int(declared.dim.value)
    kind, family = _kind(node.name, _type(declared, header, where), comment.text, header, where)
    return Member(node.name, _type(declared, header, where), count, comment.text, kind, family)


def _kind(name: str, type_: Type, comment: str, header: Header, where: str) -> tuple[str, str | None]:
    said = re.sub(r"^(CPU|CUDA): ", "", comment)
    if name == "struct_size":
        return "size", None
    if name.startswith("reserved"):
        if comment != "0":
            raise HeaderError(f"{where}: the comment of what is reserved is \"0\"")
        return "reserved", None
    if type_.pointers:
        return "pointer", None
    if type_.name != "int32_t":
        if type_.name not in NUMBERS:
            raise HeaderError(f"{where}: no member may be a {type_.name}")
        return NUMBERS[type_.name], None
    if re.match(r"1: |1 \(default\): |0: ", said):
        return "flag", None
    chosen = re.match(r"(LAYERWISE_[A-Z0-9_]+_)(?![A-Z0-9])", said)
    if chosen:
        families = [family.name for family in header.families if family.prefix == chosen[1]]
        if not families:
            raise HeaderError(f"{where}: there are no constants {chosen[1]}")
        return "selector", families[0]
    if re.match(r"(the )?number |LAYERWISE_[A-Z0-9_]*[A-Z0-9] ", said):
        return "integer", None
    raise HeaderError(f"{where}: its comment does not say whether it is a flag, a choice or a number: {comment}")
