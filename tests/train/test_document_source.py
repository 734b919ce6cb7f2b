"""Documents as rows: what is predicted, what is padding, and that neither touches the other."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel  # noqa: E402
from antivenom.train.documents import DocumentSource  # noqa: E402

DOCUMENTS = [np.array([3, 4, 5]), np.array([6]), np.array([7, 8, 9, 10, 11])]


def test_a_row_is_end_document_end_and_padding_outside_the_mask():
    got = DocumentSource(DOCUMENTS, eos=0, context=7).batch(np.array([1, 0]), np.random.default_rng(0))
    assert got["tokens"].tolist() == [[0, 6, 0, 0, 0], [0, 3, 4, 5, 0]]
    assert got["mask"].tolist() == [[True, True, True, False, False], [True] * 5]
    targets, _ = CausalLanguageModel(small_decoder(DecoderConfig(12, 7))).targets(got)
    assert targets.tolist() == [[6, 0, -100, -100, -100], [3, 4, 5, 0, -100]]


def test_the_loss_of_a_padded_batch_is_that_of_its_rows_by_tokens():
    source = DocumentSource(DOCUMENTS, eos=0, context=7)
    model = small_decoder(DecoderConfig(12, 7, width=16), seed=1).double()
    goal, draw = CausalLanguageModel(model), np.random.default_rng(0)
    whole = float(goal.loss(source.batch(np.arange(3), draw))[0].detach())
    parts = [(float(goal.loss(source.batch(np.array([i]), draw))[0].detach()), len(DOCUMENTS[i]) + 1) for i in range(3)]
    assert whole == pytest.approx(sum(loss * n for loss, n in parts) / sum(n for _, n in parts), abs=1e-12)


def test_documents_that_do_not_fit_are_refused_and_the_fingerprint_follows_content_and_order():
    for bad in (np.array([], np.int64), np.arange(6)):
        with pytest.raises(AntivenomError, match="document 1"):
            DocumentSource([np.array([1]), bad], eos=0, context=7)
    prints = [
        DocumentSource(documents, eos=eos, context=9).fingerprint
        for documents, eos in (
            (DOCUMENTS, 0),
            (DOCUMENTS[::-1], 0),
            (DOCUMENTS, 1),
            ([np.concatenate(DOCUMENTS[:2]), DOCUMENTS[2]], 0),
        )
    ]
    assert len(set(prints)) == 4
    assert DocumentSource(list(DOCUMENTS), eos=0, context=7).fingerprint == prints[0]
