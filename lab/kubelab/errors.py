"""The one exception a user is meant to read."""

from __future__ import annotations


class LabError(Exception):
    """One sentence that says what failed and what was seen, with the way out in `advice`."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice
