import gzip

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.toxicr.embeddings import read_vectors, train_vectors


@pytest.mark.parametrize("name", ["v.txt", "v.vec", "v.bin", "v.txt.gz", "v.bin.gz"])
def test_vector_files(tmp_path, name):
    words, table = ["kill", ". . .", "dump"], np.arange(9, dtype="<f4").reshape(3, 3)
    if ".bin" in name:
        words[1] = "dots"
        data = b"3 3\n" + b"".join(w.encode() + b" " + v.tobytes() + b"\n" for w, v in zip(words, table))
    else:
        lines = [f"{w} {' '.join(map(str, v))}" for w, v in zip(words, table)]
        data = ("\n".join((["3 3"] if ".vec" in name else []) + lines) + "\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    got = read_vectors(tmp_path / name, ["dump", "absent", words[1]])
    assert got.tolist() == [[6, 7, 8], [0, 0, 0], [3, 4, 5]]


def test_cut_binary_refused(tmp_path):
    (tmp_path / "v.bin").write_bytes(b"2 3\na " + bytes(12))
    with pytest.raises(AntivenomError):
        read_vectors(tmp_path / "v.bin", ["b"])


@pytest.mark.parametrize("kind", ["word2vec", "fasttext"])
def test_trained_vectors_deterministic(kind):
    texts = ["kill the process now", "dump the process"] * 20
    a, b = (train_vectors(texts, ["the", "process"], width=8, kind=kind, seed=3) for _ in range(2))
    assert np.array_equal(a, b)
    assert np.abs(a).sum() > 0
