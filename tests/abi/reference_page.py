"""reference_page.py CHECKOUT: the page of C that bindings/reference makes has all that the header declares, and its
words."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

checkout = Path(sys.argv[1])
header = checkout / "include" / "layerwise.h"
with tempfile.TemporaryDirectory() as folder:
    page = Path(folder) / "c.rst"
    subprocess.run([sys.executable, "-B", checkout / "src/package/reference/c_page.py", header, page], check=True)
    text = page.read_text()

abi = json.loads((checkout / "bindings" / "abi.json").read_text())
missing = [name for name in abi["functions"] if not re.search(rf"^\.\. c:function:: .*\b{name}\(", text, re.M)]
missing += [name for name in abi["structs"] if f".. c:struct:: {name}\n" not in text]
missing += [name for name in abi["constants"] if f"#define {name} " not in text and "_VERSION" not in name]
words = set(re.findall(r"[a-z]{4,}", text))
for comment in re.findall(r"/\*(.*?)\*/", header.read_text(), re.S):
    missing += [word for word in re.findall(r"[a-z]{4,}", comment) if word not in words]
print("\n".join(f"not on the page: {name}" for name in missing))
sys.exit(bool(missing))
