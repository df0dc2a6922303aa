"""snippets.py LANGUAGE PROGRAM PAGE...

Every block of this language on these pages is the program, word for word: what the pages show is what the tests run.
"""
import re
import sys

language, program, *pages = sys.argv[1:]
with open(program) as file:
    expected = file.read()
count, wrong = 0, []
for page in pages:
    with open(page) as file:
        blocks = re.findall(rf"^```{language}\n(.*?)^```$", file.read(), flags=re.S | re.M)
    count += len(blocks)
    wrong += [f"{page}: this is not {program}:\n{block}" for block in blocks if block != expected]
print("\n".join([f"{count} blocks", *wrong]))
sys.exit(bool(wrong) or not count)
