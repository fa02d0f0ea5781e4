"""A codec can be copied at any time."""

import copy

import torch
from audio_runs import make_codec


def test_a_codec_is_copied_after_a_forward_and_apart_from_the_first():
    codec, audio = make_codec(), 0.1 * torch.randn(2, 1, 2000)
    codec(audio).audio.sum().backward()
    copied = copy.deepcopy(codec)
    with torch.no_grad():
        expected = codec.eval()(audio).audio
        torch.testing.assert_close(copied.eval()(audio).audio, expected, rtol=0, atol=0)
        for parameter in copied.parameters():
            parameter.add_(1.0)
        torch.testing.assert_close(codec(audio).audio, expected, rtol=0, atol=0)
    copied.train()(audio).audio.sum().backward()
    assert all(parameter.grad is not None for parameter in copied.encoder.parameters())


def test_layers_that_share_a_weight_share_it_in_the_copy():
    codec = make_codec()
    codec.decoder.shared = codec.encoder.block[0]
    copied = copy.deepcopy(codec)
    assert copied.decoder.shared is copied.encoder.block[0]
    assert copied.decoder.shared is not codec.encoder.block[0]
