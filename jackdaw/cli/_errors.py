"""Errors that are the user's to mend: a sentence, never a traceback."""

__all__ = ["UserError"]


class UserError(Exception):
    """Something a user can put right.

    Parameters
    ----------
    text
        Names the thing, what is wrong with it and what to do.
    code
        Exit code: 2 for wrong usage, 1 for a failure.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code
