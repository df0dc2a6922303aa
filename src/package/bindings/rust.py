"""The crate layerwise-sys: constants.rs, structs.rs, functions.rs, and builders.rs, from which the crate layerwise
makes its option builders."""
from __future__ import annotations

import re

from model import Header, Member, Type
from text import GENERATED, camel, commented, flag_words, summary

FOLDER = "bindings/rust/layerwise-sys/src"
SCALARS = {"char": "c_char", "void": "c_void", "uint8_t": "u8", "int32_t": "i32", "int64_t": "i64", "float": "f32",
           "double": "f64"}


def files(header: Header) -> dict[str, str]:
    texts = {"constants": _constants(header), "structs": _structs(header), "functions": _functions(header),
             "builders": _builders(header)}
    return {f"{FOLDER}/{name}.rs": "\n".join([f"// {GENERATED}", *lines, ""]) for name, lines in texts.items()}


def _constants(header: Header) -> list[str]:
    lines = ["//! Every constant of layerwise.h.", "", "constants! {"]
    for number, group in enumerate(header.groups):
        lines += [""] * (number > 0)
        for constant in group:
            lines += [*_doc(constant.comment), f"    {constant.name} = {constant.value};"]
    return [*lines, "}"]


def _structs(header: Header) -> list[str]:
    lines = ["//! The structs of layerwise.h.", "", "use core::ffi::c_void;", "", "structs! {"]
    for number, struct in enumerate(header.structs):
        lines += [""] * (number > 0)
        lines += [*_doc(" ".join(struct.comment)), f"    struct {struct.name} {{"]
        for member in struct.members:
            kind = f"[{_type(member.type)}; {member.count}]" if member.count else _type(member.type)
            lines += [*_doc(member.comment, "        "), f"        {member.name}: {kind},"]
        lines.append("    }")
    return [*lines, "}"]


def _functions(header: Header) -> list[str]:
    lines = ["//! The functions of layerwise.h, which says more of what all of them have in common.", "",
             "use core::ffi::{c_char, c_void};", "", "use crate::structs::*;"]
    for name, comment in header.opaque.items():
        lines += ["", *_paragraphs(comment, ""), "#[repr(C)]", f"pub struct {name} {{", "    private: [u8; 0],",
                  "    not_send_sync_or_unpin: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,", "}"]
    lines += ["", "functions! {"]
    for number, function in enumerate(header.functions):
        lines += [""] * (number > 0) + _paragraphs(function.comment, "    ")
        arguments = [f"{name}: {_type(type_)}" for name, type_ in function.arguments]
        line = f"    fn {function.name}({', '.join(arguments)}) -> {_type(function.result)};"
        if len(line) <= 120:
            lines.append(line)
        else:
            lines += [f"    fn {function.name}(", *(f"        {argument}," for argument in arguments),
                      f"    ) -> {_type(function.result)};"]
    return [*lines, "}"]


def _builders(header: Header) -> list[str]:
    lines = ["//! The options of the steps, pointers left out, for a macro that makes something of each:",
             "//! `layerwise_sgd_options! { build!(given) }` is `build! { given { momentum: f64, ... } }`. A choice has",
             "//! a type of its constants' name, `ZeroNorm` for `LAYERWISE_ZERO_NORM_`."]
    for struct in header.step_structs:
        lines += ["", "#[doc(hidden)]", "#[macro_export]", f"macro_rules! {struct.name} {{",
                  "    ($build:ident!($($given:tt)*)) => {", "        $build! {", "            $($given)* {"]
        for member in struct.options:
            if member.kind != "pointer":
                indent = " " * 16
                lines += [*_doc(_option_words(member, header), indent), f"{indent}{member.name}: {_option(member)},"]
        lines += ["            }", "        }", "    };", "}"]
    return lines


def _option(member: Member) -> str:
    if member.kind == "selector":
        return camel(member.family or "")
    return {"number": "f64", "integer": "i64", "flag": "bool"}[member.kind]


def _option_words(member: Member, header: Header) -> str:
    """The comment, with `Norm::L2` for L2 and true for 1."""
    if member.kind == "flag":
        return flag_words(member.comment, "true", "false")
    if member.kind != "selector":
        return member.comment
    family, name = header.family(member.family or ""), camel(member.family or "")
    text = member.comment.replace(family.prefix, f"[`{name}`]")
    for constant in family.constants:
        short = constant.name.removeprefix(family.prefix)
        text = re.sub(rf"\b{short}\b", f"`{camel(short)}`", text)
    return text


def _type(type_: Type) -> str:
    text = SCALARS.get(type_.name, type_.name)
    for level in range(type_.pointers):
        text = ("*const " if type_.const and level == 0 else "*mut ") + text
    return text


def _paragraphs(comment: list[str], indent: str) -> list[str]:
    """The first paragraph, and the rest as it stands in the header."""
    first, rest = summary(comment)
    lines = _doc(first, indent)
    if rest:
        lines += [f"{indent}///", f"{indent}/// ```text", *(f"{indent}/// {line}".rstrip() for line in rest),
                  f"{indent}/// ```"]
    return lines


def _doc(text: str, indent: str = "    ") -> list[str]:
    """Plain text as a comment in Markdown."""
    return commented(re.sub(r"^>|\[(?!`)", r"\\\g<0>", text), "///", indent)
