"""Token streams: what is written is read, in the type that the vocabulary needs, whole or not at all."""

import numpy as np
import pytest

from antivenom.data import token_writing
from antivenom.data.token_stream import TokenStream, token_type
from antivenom.errors import AntivenomError

DRAW = np.random.default_rng(0)


def test_documents_with_end_tokens_between_them_are_cut_into_rows(tmp_path):
    documents = [[5, 6, 7], [], [8, 0], [9]]
    stream = TokenStream.build(tmp_path / "s", documents, length=3, vocab_size=10, eos=0)
    assert stream.rows(np.arange(len(stream))).tolist() == [[5, 6, 7], [0, 8, 0]]
    assert (stream.about["documents"], stream.about["empty_documents"], stream.about["left_out"]) == (3, 1, 2)
    assert stream.rows(np.array([1, 1])).dtype == np.int64
    with pytest.raises(AntivenomError, match="rows 0 to 2"):
        stream.rows(np.array([0, 2]))


@pytest.mark.parametrize(("vocabulary", "token", "kind"), [(65_536, 65_535, "u2"), (100_000, 70_000, "u4")])
def test_no_id_ever_wraps(tmp_path, vocabulary, token, kind):  # spec 10, trap 18
    stream = TokenStream.build(tmp_path / "s", [[1, token, 2]], length=4, vocab_size=vocabulary, eos=0)
    assert stream.dtype == np.dtype(f"<{kind}")
    assert TokenStream.open(tmp_path / "s").rows(np.array([0])).tolist() == [[1, token, 2, 0]]
    assert token_type(vocabulary) == stream.dtype


def test_bounded_buffer_gives_the_same_stream(tmp_path, monkeypatch):
    documents = [DRAW.integers(1, 50, DRAW.integers(1, 40)) for _ in range(300)]
    one = TokenStream.build(tmp_path / "a", iter(documents), length=7, vocab_size=50, eos=0)
    monkeypatch.setattr(token_writing, "BUFFER", 20)
    two = TokenStream.build(tmp_path / "b", iter(documents), length=7, vocab_size=50, eos=0)
    joined = np.concatenate([np.append(d, 0) for d in documents])
    assert one.fingerprint == two.fingerprint
    assert np.array_equal(np.concatenate(list(two.blocks(5))).reshape(-1), joined[: len(joined) // 7 * 7])
    same = TokenStream.of(joined, length=7, vocab_size=50)
    assert same.fingerprint == one.fingerprint
    assert same.about["left_out"] == len(joined) % 7


def test_texts_need_an_encoder_and_the_tokenizer_is_remembered(tmp_path):
    with pytest.raises(AntivenomError, match="document 1 is a text"):
        TokenStream.build(tmp_path / "a", ["ab"], length=3, vocab_size=256, eos=0)
    stream = TokenStream.build(
        tmp_path / "b", ["ab", "c"], length=4, vocab_size=256, eos=0, encode=lambda t: list(t.encode()), tokenizer="t1"
    )
    assert stream.rows(np.array([0])).tolist() == [[97, 98, 0, 99]]
    assert TokenStream.open(tmp_path / "b", tokenizer="t1").tokenizer == "t1"
    with pytest.raises(AntivenomError, match="made with t1, not with the tokenizer t2"):
        TokenStream.open(tmp_path / "b", tokenizer="t2")


def test_a_token_that_is_not_in_the_vocabulary_is_named_with_its_place(tmp_path):
    with pytest.raises(AntivenomError, match="document 2, token 1: the id 70,000 is not in a vocabulary of 65,536"):
        TokenStream.build(tmp_path / "s", [[1], [2, 70_000]], length=2, vocab_size=65_536, eos=0)
    with pytest.raises(AntivenomError, match="the id -1"):
        TokenStream.build(tmp_path / "s", [[-1]], length=2, vocab_size=9, eos=0)
    with pytest.raises(AntivenomError, match="the id 9"):
        TokenStream.of(np.array([1, 9]), length=2, vocab_size=9)
    assert not (tmp_path / "s" / "stream.json").exists()
    assert [path.name for path in (tmp_path / "s").iterdir()] == [".lock"]


@pytest.mark.parametrize(("documents", "what"), [([], "no document"), ([[]], "no document"), ([[1]], "fill no row")])
def test_nothing_is_no_stream(tmp_path, documents, what):
    with pytest.raises(AntivenomError, match=what):
        TokenStream.build(tmp_path / "s", documents, length=5, vocab_size=9, eos=0)


def test_a_stream_appears_whole_or_not_at_all_and_is_not_made_twice(tmp_path):
    def broken():
        yield [1] * 10
        raise KeyboardInterrupt

    settings = {"length": 5, "vocab_size": 9, "eos": 0, "source": "corpus-1"}
    with pytest.raises(KeyboardInterrupt):
        TokenStream.build(tmp_path / "s", broken(), **settings)
    with pytest.raises(AntivenomError, match="holds no token stream"):
        TokenStream.open(tmp_path / "s")
    made = TokenStream.build(tmp_path / "s", [[1] * 10], **settings)
    again = TokenStream.build(tmp_path / "s", broken(), **settings)  # not read: it is there
    assert again.fingerprint == made.fingerprint
    with pytest.raises(AntivenomError, match="holds a token stream already"):
        TokenStream.build(tmp_path / "s", [[1] * 10], **(settings | {"source": "corpus-2"}))
    (tmp_path / "s" / "tokens.bin").write_bytes(b"12")
    with pytest.raises(AntivenomError, match="has 2 bytes"):
        TokenStream.open(tmp_path / "s")


def test_what_a_killed_build_left_is_removed_and_two_builds_do_not_meet(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".antivenom-tmp-x").write_bytes(b"half")

    def documents():
        with pytest.raises(AntivenomError, match="another process works"):
            TokenStream.build(tmp_path / "s", [[1] * 10], length=5, vocab_size=9, eos=0)
        yield [1] * 10

    TokenStream.build(tmp_path / "s", documents(), length=5, vocab_size=9, eos=0)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [".lock", "stream.json", "tokens.bin"]


def test_ids_on_disk_of_either_kind(tmp_path):
    ids = DRAW.integers(0, 300, 50).astype(np.uint16)
    np.save(tmp_path / "a.npy", ids)
    ids.tofile(tmp_path / "raw.npy")  # OLMo's files are called so
    for name in ("a.npy", "raw.npy"):
        stream = TokenStream.of(tmp_path / name, length=8, vocab_size=300)
        assert np.array_equal(stream.rows(np.arange(6)).reshape(-1), ids[:48])
    with pytest.raises(AntivenomError, match="holds no token ids"):
        TokenStream.of(tmp_path / "none.bin", length=8, vocab_size=300)


def test_rows_that_olmo_takes_out_of_the_loss(tmp_path):
    rows = np.stack([np.arange(64), np.full(64, 7)])
    assert TokenStream.of(rows, length=64, vocab_size=64).repeated().tolist() == [False, True]
