"""What a host says no with."""

__all__ = ["HostError"]


class HostError(RuntimeError):
    """A host or session cannot do what was asked; the text says why and what to do.

    Parameters
    ----------
    text
        For users.
    code
        One of the protocol's error codes: ``no session``, ``in use``, ``full``, ``loading`` or ``failed``.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code
