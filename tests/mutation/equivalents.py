"""The mutants that README.md lists as changing nothing: a key at the start of a line of a list, with its reason."""

import pathlib
import re

README = pathlib.Path(__file__).resolve().parent / "README.md"


def read(text=None):
    """Reasons by key."""
    if text is None:
        text = README.read_text() if README.is_file() else ""
    reasons = {}
    for item in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
        keys = re.match(r"(?:`[0-9a-f]{10}`[ ,]*(?:\n *)?)+", item)
        for key in re.findall(r"[0-9a-f]{10}", keys[0]) if keys else ():
            reasons[key] = " ".join(item[keys.end():].split("\n\n")[0].split())
    return reasons
