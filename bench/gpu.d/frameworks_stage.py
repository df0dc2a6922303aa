"""The stages that run the Python packages and what other frameworks offer."""

from part import NotRun


def python_stage(part):
    raise NotRun("this tree has no programs for the Python packages")


def rivals_stage(part):
    raise NotRun("this tree has no programs for what other frameworks offer")
