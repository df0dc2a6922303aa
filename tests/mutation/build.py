"""Builds what a mutant is tested with: everything once, then for each mutant only the objects that include its file."""

import shlex
import shutil
import subprocess

PROJECT = "tests/mutation/project"


class BuildError(Exception):
    pass


def run(command, cwd):
    result = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
    return result.stdout


class Build:
    def __init__(self, tree, folder, options=()):
        self.tree, self.folder = tree, folder
        self.mutant_folder = folder / "mutant"
        self.options = list(options)
        self.compiles, self.links, self.includes = {}, {}, {}

    def pristine(self, targets):
        """Builds the unmutated copy and learns its commands."""
        run(["cmake", "-S", str(self.tree / PROJECT), "-B", str(self.folder), "-G", "Ninja", *self.options], self.tree)
        run(["ninja", "-j1", *targets], self.folder)
        for target in targets:
            *_, link = run(["ninja", "-t", "commands", target], self.folder).strip().splitlines()
            self.links[target] = [word for word in shlex.split(link) if word not in (":", "&&")]
        for line in run(["ninja", "-t", "commands", *targets], self.folder).splitlines():
            words = shlex.split(line)
            if "-c" in words and "-o" in words:
                self.compiles[words[words.index("-o") + 1]] = words
        self.learn_includes()
        self.forget_mutant()

    def learn_includes(self):
        current = None
        for line in run(["ninja", "-t", "deps"], self.folder).splitlines():
            if line and not line.startswith(" "):
                current = self.includes.setdefault(line.split(": #deps")[0], set())
            elif line.strip():
                current.add((self.folder / line.strip()).resolve())

    def forget_mutant(self):
        shutil.rmtree(self.mutant_folder, ignore_errors=True)
        self.mutant_folder.mkdir(parents=True)

    def mutant(self, target, file):
        """The test `target` with the file as it is now in the tree; None where that does not compile."""
        changed, link = (self.tree / file).resolve(), list(self.links[target])
        for i, name in enumerate(link):
            if name not in self.compiles or changed not in self.includes.get(name, ()):
                continue
            link[i] = self.object(name)
            if link[i] is None:
                return None
        executable = str(self.mutant_folder / target)
        link[link.index("-o") + 1] = executable
        run(link, self.folder)
        return executable

    def object(self, name):
        output = self.mutant_folder / name.replace("/", "_")
        if not output.is_file():
            words = iter(self.compiles[name])
            command = []
            for word in words:
                if word in ("-MF", "-MT"):
                    next(words)
                elif word not in ("-MD", "-g"):
                    command.append("-O1" if word == "-O2" else word)  # a mutant is built for one run
            command[command.index("-o") + 1] = str(output)
            if subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode != 0:
                return None
        return str(output)


def tool_missing():
    missing = [tool for tool in ("cmake", "ninja", "g++") if not shutil.which(tool)]
    return f"missing: {', '.join(missing)}" if missing else None


