"""Model files: arrays and a JSON header in one .npz - the same bytes for the same model, and nothing in it is executed."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.report.run_directory import atomic_file

__all__ = ["content_hash", "read_model", "write_model"]

HEADER_BYTES = 2**24


def write_model(path: str | Path, kind: str, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a model of one kind; the file appears whole or not at all.

    Args:
        path: `.npz`.
        kind: what it is ("n-gram language model"); `read_model` wants the same word.
        header: plain data.
        arrays: numbers only.
    """
    head = json.dumps({"kind": kind, **header}, sort_keys=True).encode()
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in {"header": np.frombuffer(head, np.uint8), **arrays}.items():
            raw = io.BytesIO()
            np.save(raw, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: no clock in the bytes
            archive.writestr(info, raw.getvalue(), zipfile.ZIP_DEFLATED, 6)


def read_model(path: str | Path, kind: str, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the named arrays of a file that `write_model` wrote.

    Raises:
        AntivenomError: when it is missing, broken, or a model of another kind.
    """
    mend = f"give a file with a {kind} that antivenom wrote (an .npz without pickled objects)"
    try:
        with np.load(path, allow_pickle=False) as archive:
            raw = archive["header"]
            if raw.dtype != np.uint8 or raw.size > HEADER_BYTES:
                raise ValueError("no header")
            header = json.loads(raw.tobytes())
            if not isinstance(header, dict) or header.get("kind") != kind:
                raise ValueError(f"it holds {(header or {}).get('kind', 'something else')}")
            return header, {name: archive[name] for name in names}
    except FileNotFoundError:
        raise AntivenomError(f"there is no model file '{path}'", "train one, or name another file") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise AntivenomError(f"'{path}' is no {kind} ({error})", mend) from None


def content_hash(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Hash (32 hex digits) of what determines a score."""
    digest = hashlib.blake2b(json.dumps(dict(header), sort_keys=True).encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
