"""Errors that name the input and the mend."""

__all__ = ["AntivenomError", "MissingExtra"]


class AntivenomError(Exception):
    """Something a user can put right.

    Args:
        what: what is wrong, naming the input (file, line, option, value).
        mend: what to do about it, as an instruction.
    """

    def __init__(self, what: str, mend: str = ""):
        super().__init__(what, mend)
        self.what = what
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.what}\n  -> {self.mend}" if self.mend else self.what


class MissingExtra(AntivenomError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs the package '{package}'", f"pip install 'antivenom[{extra}]'")
        self.package = package
        self.extra = extra

    def __reduce__(self):
        return (AntivenomError, (self.what, self.mend))
