"""What include/layerwise.h declares: the model that its reader fills and the writers read."""
from __future__ import annotations

from dataclasses import dataclass, field


class HeaderError(Exception):
    """Something in the header that is not understood, and where."""


@dataclass(frozen=True)
class Type:
    """`layerwise_plan **` is ("layerwise_plan", 2, False), `const float *` ("float", 1, True)."""

    name: str
    pointers: int = 0
    const: bool = False

    def __str__(self) -> str:
        return ("const " if self.const else "") + self.name + (" " + "*" * self.pointers if self.pointers else "")


@dataclass(frozen=True)
class Constant:
    name: str
    value: int
    comment: str


@dataclass(frozen=True)
class Family:
    """Constants without an empty line between them whose names begin alike: the choices of a selector."""

    prefix: str  # "LAYERWISE_ZERO_NORM_"
    comment: list[str]  # above them; may be empty
    constants: list[Constant]

    @property
    def name(self) -> str:
        """ZERO_NORM"""
        return self.prefix.removeprefix("LAYERWISE_").rstrip("_")

    def short(self, constant: Constant) -> str:
        """keep"""
        return constant.name.removeprefix(self.prefix).lower()


@dataclass(frozen=True)
class Member:
    name: str
    type: Type
    count: int | None  # of an array
    comment: str
    kind: str  # size, reserved, pointer, number, integer, flag, selector
    family: str | None = None  # of a selector: "ZERO_NORM"

    @property
    def needed(self) -> bool:
        return "no default" in self.comment


@dataclass(frozen=True)
class Struct:
    name: str
    comment: list[str]
    members: list[Member]

    def member(self, name: str) -> Member | None:
        return next((member for member in self.members if member.name == name), None)

    @property
    def options(self) -> list[Member]:
        """What a caller chooses: without the size, what is reserved, and the pointers that stand for a number."""
        return [member for member in self.members if member.kind not in ("size", "reserved")
                and not (member.name.endswith("_ptr") and self.member(member.name.removesuffix("_ptr")))]


@dataclass(frozen=True)
class Function:
    name: str
    comment: list[str]
    result: Type
    arguments: list[tuple[str, Type]]


@dataclass
class Header:
    groups: list[list[Constant]] = field(default_factory=list)  # as empty lines part them
    families: list[Family] = field(default_factory=list)
    opaque: dict[str, list[str]] = field(default_factory=dict)  # comments of the types without members
    structs: list[Struct] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)

    @property
    def constants(self) -> list[Constant]:
        return [constant for group in self.groups for constant in group]

    @property
    def step_structs(self) -> list[Struct]:
        """The structs of options that steps take: what has a stream runs one."""
        taken = {type_.name for function in self.functions for _, type_ in function.arguments
                 if any(name == "stream" for name, _ in function.arguments)}
        return [struct for struct in self.structs if struct.name in taken]

    def family(self, name: str) -> Family:
        return next(family for family in self.families if family.name == name)
