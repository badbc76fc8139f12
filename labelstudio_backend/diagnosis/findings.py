"""What a check found out, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    HINT = "hint"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    level : Level
    text : str
        What is the case, on one line.
    advice : str
        What to do; empty if nothing.
    """

    level: Level
    text: str
    advice: str = ""


def ok(text: str) -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, text)


def hint(text: str, advice: str) -> Finding:
    """It works, but a person may want it otherwise."""
    return Finding(Level.HINT, text, advice)


def problem(text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(Level.PROBLEM, text, advice)
