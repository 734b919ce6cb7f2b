import torch

from antivenom.screen.toxicr.networks import NETWORKS, pooled_length

torch.set_num_threads(1)


def test_dpcnn_lengths_and_parameters():
    net = NETWORKS["cnn"](torch.zeros(10, 300), 503, n_counts=0).eval()
    x, lengths = net.embedding(torch.zeros(1, 503, dtype=torch.long)).transpose(1, 2), [503]
    for i in range(6):
        x = net.block(x, i)
        lengths.append(x.shape[2])
    assert lengths == [503, 251, 125, 62, 30, 14, 6]
    assert pooled_length(2) == 2
    f, d = 64, 300
    conv = (3 * d * f + f) + 13 * (3 * f * f + f) + (d * f + f)
    want = conv + 14 * 2 * f + 15 * f + (f * 256 + 256) + 2 * 256 + 256 + 257
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == want
