"""The neural learners of ToxiCR in PyTorch: DPCNN, LSTM, BiLSTM, GRU and attention (spec 11, 2.2, from the official code).

Every network maps word numbers (n, L) and counts (n, c) to a logit (n,), and names its L2 terms in `penalty`. Weights begin
as in Keras: Glorot-uniform kernels, orthogonal recurrent kernels, zero biases, forget-gate bias 1.

Where they leave Keras: (a) recurrent dropout multiplies h_{t-1} by a mask that is constant over the steps, as in Keras, but
one mask is drawn per batch and not per row: it is then a mask on the columns of the recurrent kernel, and the fast kernels
of torch can be used; (b) torch's LSTM has two bias vectors that are added; the second is held at 0, so that the parameter
count is Keras'; (c) PReLU slopes are shared over positions (one per channel), so that the parameter count does not depend on
the length of the text; (d) batch normalisation keeps Keras' epsilon 1e-3 and takes its momentum as an option: .99 of the
running mean stays in `strict_paper`, .9 by default, because fixed-mode runs may have few steps.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "DPCNN",
    "NETWORKS",
    "AttentionNet",
    "BiLSTMNet",
    "GRUNet",
    "LSTMNet",
    "Network",
    "Recurrent",
    "pooled_length",
]


def pooled_length(length: int, pool: int = 3, stride: int = 2) -> int:
    """Length after valid max pooling, floor((L - 3) / 2) + 1; a sequence shorter than the window stays as it is.

    >>> [n := 503] + [n := pooled_length(n) for _ in range(6)]
    [503, 251, 125, 62, 30, 14, 6]
    """
    return (length - pool) // stride + 1 if length >= pool else length


def spatial_dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Drop whole channels of (n, L, d): one mask per row, constant over positions (Keras' SpatialDropout1D)."""
    if not training or p == 0:
        return x
    return x * F.dropout(torch.ones(len(x), 1, x.shape[2], device=x.device, dtype=x.dtype), p)


def dense(n_in: int, n_out: int) -> nn.Linear:
    """A fully connected layer with Keras' initial values."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def squares(weight: float, *tensors: Tensor) -> Tensor:
    """Keras' `l2(weight)`: weight * sum of squares."""
    return weight * torch.stack([t.square().sum() for t in tensors]).sum()


class Network(nn.Module):
    """What all share: the embedding (frozen or trained; row 0 is the padding) and the counts as a dense input.

    Args:
        vectors: float32 (size, d), one row per word number.
        length: L.
        n_counts: columns of the dense input; 0 in `strict_paper`.
        momentum: of torch's batch normalisation (1 - Keras').
    """

    trains_embedding = False

    def __init__(self, vectors: Tensor, length: int, n_counts: int = 3, momentum: float = 0.1):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(vectors.clone(), freeze=not self.trains_embedding)
        self.width, self.length, self.n_counts, self.momentum = vectors.shape[1], length, n_counts, momentum

    def join(self, x: Tensor, counts: Tensor) -> Tensor:
        """x (n, k) and log(1 + counts), side by side."""
        return torch.cat([x, torch.log1p(counts)], dim=1) if self.n_counts else x

    def penalty(self) -> Tensor:
        """The L2 terms of the loss."""
        return torch.zeros(())


class Recurrent(nn.Module):
    """LSTM or GRU over (n, L, d) -> (n, L, h or 2h), with Keras' input and recurrent dropout and initial values.

    The GRU is Keras' default (`reset_after=True`, two biases), which is torch's.

    Args:
        kind: `lstm` or `gru`.
        dropout: of the inputs, one mask per row, constant over the steps.
        recurrent: dropout of h_{t-1} inside the recurrent product.
    """

    def __init__(self, kind: str, n_in: int, n_out: int, *, both: bool, dropout: float = 0, recurrent: float = 0):
        super().__init__()
        self.kind, self.n_out, self.both, self.dropout, self.recurrent = kind, n_out, both, dropout, recurrent
        gates = 4 if kind == "lstm" else 3
        self.kernels, self.recurrents = nn.ParameterList(), nn.ParameterList()
        self.biases, self.recurrent_biases = nn.ParameterList(), nn.ParameterList()
        for _ in range(2 if both else 1):
            kernel, square = torch.empty(n_in, gates * n_out), torch.empty(n_out, gates * n_out)
            nn.init.xavier_uniform_(kernel)
            nn.init.orthogonal_(square)
            self.kernels.append(nn.Parameter(kernel.T.contiguous()))
            self.recurrents.append(nn.Parameter(square.T.contiguous()))
            bias = torch.zeros(gates * n_out)
            if kind == "lstm":
                bias[n_out : 2 * n_out] = 1  # gates in torch's order: input, forget, cell, output
            self.biases.append(nn.Parameter(bias))
            if kind == "gru":
                self.recurrent_biases.append(nn.Parameter(torch.zeros(gates * n_out)))

    def forward(self, x: Tensor) -> Tensor:
        """The states of every step, (n, L, h), or (n, L, 2h) in both directions."""
        x = spatial_dropout(x, self.dropout, self.training)
        weights: list[Tensor] = []
        for i, (kernel, square) in enumerate(zip(self.kernels, self.recurrents, strict=True)):
            if self.training and self.recurrent:
                square = square * F.dropout(torch.ones(self.n_out, device=x.device, dtype=x.dtype), self.recurrent)
            second = self.recurrent_biases[i] if self.kind == "gru" else torch.zeros_like(self.biases[i])
            weights += [kernel, square, self.biases[i], second]
        start = x.new_zeros(2 if self.both else 1, len(x), self.n_out)
        flags = (True, 1, 0.0, self.training, self.both, True)  # biases, layers, dropout between them, ..., batch first
        if self.kind == "lstm":
            return torch.lstm(x, (start, start), weights, *flags)[0]
        return torch.gru(x, start, weights, *flags)[0]


class DPCNN(Network):
    """Deep pyramid CNN: seven blocks, each halving the text but the last; frozen embedding.

    Block: [conv 64, k 3 -> BN -> PReLU] x 2, plus a shortcut (block 1: 1x1 conv -> PReLU of the embedding, others: identity),
    then max pooling 3, stride 2. Then global max, Dense 256 -> BN -> PReLU -> Dropout .5 -> Dense 1. L2 1e-5 on the
    convolutions. A text too short to be pooled once more stays as it is (`pooled_length`).
    """

    filters, blocks, hidden, l2 = 64, 7, 256, 1e-5

    def __init__(self, vectors: Tensor, length: int, n_counts: int = 3, momentum: float = 0.1):
        super().__init__(vectors, length, n_counts, momentum)
        f = self.filters
        self.shortcut, self.shortcut_slope = self._conv(self.width, 1), nn.PReLU(f, init=0.0)
        self.convs = nn.ModuleList(self._conv(self.width if i == 0 else f, 3) for i in range(2 * self.blocks))
        self.norms = nn.ModuleList(nn.BatchNorm1d(f, eps=1e-3, momentum=momentum) for _ in self.convs)
        self.slopes = nn.ModuleList(nn.PReLU(f, init=0.0) for _ in self.convs)
        self.hidden_layer = dense(f + n_counts, self.hidden)
        self.hidden_norm = nn.BatchNorm1d(self.hidden, eps=1e-3, momentum=momentum)
        self.hidden_slope = nn.PReLU(self.hidden, init=0.0)
        self.out = dense(self.hidden, 1)

    def _conv(self, n_in: int, size: int) -> nn.Conv1d:
        layer = nn.Conv1d(n_in, self.filters, size, padding="same")
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        return layer

    def block(self, x: Tensor, number: int) -> Tensor:
        """One block, 0-based, of (n, channels, L)."""
        y = x
        for i in (2 * number, 2 * number + 1):
            y = self.slopes[i](self.norms[i](self.convs[i](y)))
        y = y + (self.shortcut_slope(self.shortcut(x)) if number == 0 else x)
        return F.max_pool1d(y, 3, 2) if number < self.blocks - 1 and y.shape[2] >= 3 else y

    def forward(self, ids: Tensor, counts: Tensor) -> Tensor:
        """The logits of a batch, (n,)."""
        x = spatial_dropout(self.embedding(ids), 0.2, self.training).transpose(1, 2)
        for number in range(self.blocks):
            x = self.block(x, number)
        x = self.hidden_layer(self.join(x.amax(dim=2), counts))
        x = F.dropout(self.hidden_slope(self.hidden_norm(x)), 0.5, self.training)
        return self.out(x).squeeze(1)

    def penalty(self) -> Tensor:
        """Penalty of the network."""
        convs = [self.shortcut, *self.convs]
        return squares(self.l2, *(t for conv in convs for t in conv.parameters()))


class LSTMNet(Network):
    """Dropout .4 -> LSTM 300 (dropouts .2) -> flatten -> Dense 512 relu -> .4 -> Dense 8 relu -> .4 -> Dense 1; frozen embedding.

    L2 .005 on the LSTM's kernel and bias, .001 on the two dense kernels.
    """

    def __init__(self, vectors: Tensor, length: int, n_counts: int = 3, momentum: float = 0.1):
        super().__init__(vectors, length, n_counts, momentum)
        self.recurrent = Recurrent("lstm", self.width, 300, both=False, dropout=0.2, recurrent=0.2)
        self.first, self.second = dense(300 * length + n_counts, 512), dense(512, 8)
        self.out = dense(8, 1)

    def forward(self, ids: Tensor, counts: Tensor) -> Tensor:
        """The logits of a batch, (n,)."""
        x = self.recurrent(F.dropout(self.embedding(ids), 0.4, self.training))
        x = torch.relu(self.first(self.join(x.flatten(1), counts)))
        x = torch.relu(self.second(F.dropout(x, 0.4, self.training)))
        return self.out(F.dropout(x, 0.4, self.training)).squeeze(1)

    def penalty(self) -> Tensor:
        """Penalty of the network."""
        recurrent = squares(0.005, self.recurrent.kernels[0], self.recurrent.biases[0])
        return recurrent + squares(0.001, self.first.weight, self.second.weight)


class BiLSTMNet(Network):
    """BiLSTM 50 (dropouts .1) -> global max -> Dense 50 relu -> Dropout .1 -> Dense 1; the embedding is trained."""

    trains_embedding = True

    def __init__(self, vectors: Tensor, length: int, n_counts: int = 3, momentum: float = 0.1):
        super().__init__(vectors, length, n_counts, momentum)
        self.recurrent = Recurrent("lstm", self.width, 50, both=True, dropout=0.1, recurrent=0.1)
        self.first, self.out = dense(100 + n_counts, 50), dense(50, 1)

    def pool(self, states: Tensor) -> Tensor:
        """(n, L, 100) -> (n, 100)."""
        return states.amax(dim=1)

    def forward(self, ids: Tensor, counts: Tensor) -> Tensor:
        """The logits of a batch, (n,)."""
        x = self.pool(self.recurrent(self.embedding(ids)))
        x = torch.relu(self.first(self.join(x, counts)))
        return self.out(F.dropout(x, 0.1, self.training)).squeeze(1)


class AttentionNet(BiLSTMNet):
    """The BiLSTM with additive attention in place of the maximum: a = softmax(v' tanh(W h_t + b)), sum_t a_t h_t.

    The official code holds such a network and cannot reach it; hidden size of the attention: ours, 50.
    """

    def __init__(self, vectors: Tensor, length: int, n_counts: int = 3, momentum: float = 0.1):
        super().__init__(vectors, length, n_counts, momentum)
        self.attend, self.score = dense(100, 50), nn.Linear(50, 1, bias=False)
        nn.init.xavier_uniform_(self.score.weight)

    def pool(self, states: Tensor) -> Tensor:
        """(n, L, 100) -> (n, 100), the mean of the states weighted by attention."""
        return (torch.softmax(self.score(torch.tanh(self.attend(states))), dim=1) * states).sum(dim=1)


class GRUNet(Network):
    """SpatialDropout .2 -> BiGRU 80 (recurrent dropout .1) -> [global average, global max] -> Dense 1; embedding trained."""

    trains_embedding = True

    def __init__(self, vectors: Tensor, length: int, n_counts: int = 3, momentum: float = 0.1):
        super().__init__(vectors, length, n_counts, momentum)
        self.recurrent = Recurrent("gru", self.width, 80, both=True, recurrent=0.1)
        self.out = dense(320 + n_counts, 1)

    def forward(self, ids: Tensor, counts: Tensor) -> Tensor:
        """The logits of a batch, (n,)."""
        states = self.recurrent(spatial_dropout(self.embedding(ids), 0.2, self.training))
        x = torch.cat([states.mean(dim=1), states.amax(dim=1)], dim=1)
        return self.out(self.join(x, counts)).squeeze(1)


NETWORKS: dict[str, type[Network]] = {
    "cnn": DPCNN,
    "lstm": LSTMNet,
    "bilstm": BiLSTMNet,
    "gru": GRUNet,
    "attn": AttentionNet,
}
"""Algorithm -> network."""
