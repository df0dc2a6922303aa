"""bindings CHECKOUT [--check]

Writes everything that repeats include/layerwise.h: the table of src/abi.cpp, bindings/abi.json, and the constants,
structs and signatures of the bindings. With --check nothing is written, and what differs is printed. Needs pycparser.
"""
from __future__ import annotations

import difflib
import sys
from pathlib import Path


def generated(checkout: Path) -> dict[str, str]:
    """The text of every file, by its path in the checkout."""
    import description
    import header
    import julia
    import python
    import rust
    import table

    read = header.read((checkout / "include" / "layerwise.h").read_text())
    return {path: text for writer in (table, description, python, rust, julia)
            for path, text in writer.files(read).items()}


def differences(checkout: Path) -> list[str]:
    found: list[str] = []
    for path, text in generated(checkout).items():
        kept = (checkout / path).read_text() if (checkout / path).is_file() else ""
        found += difflib.unified_diff(kept.splitlines(), text.splitlines(), path, "from the header", lineterm="")
    return found


def main() -> int:
    checkout, *check = sys.argv[1:]
    try:
        import pycparser  # noqa: F401
    except ImportError:
        print("SKIPPED: no Python with pycparser" if check else "this Python has no pycparser: pip install pycparser")
        return 0 if check else 1
    if check:
        found = differences(Path(checkout))
        print("\n".join([*found, "cmake --build BUILD --target bindings writes them anew"] if found else []))
        return int(bool(found))
    for path, text in generated(Path(checkout)).items():
        (Path(checkout) / path).write_text(text)
    return 0


sys.exit(main())
