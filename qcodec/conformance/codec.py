"""Questions on an audio codec around any quantizer."""

import torch
from torch import Tensor

from qcodec.codecs.base import AudioCodec
from qcodec.conformance.question import BrokenError, NotAskedError, unlike
from qcodec.quantizers.rebuild import build, settings_of


def _audio(codec: AudioCodec, frames: float = 6.5) -> Tensor:
    samples = int(frames * codec.hop_length)
    return 0.1 * torch.randn(2, 1, samples, generator=torch.Generator().manual_seed(0))


def audio_and_frames(codec: AudioCodec) -> str:
    """Audio keeps its length, and has one frame for each hop that it begins."""
    audio = _audio(codec)
    output = codec.eval()(audio)
    if output.audio.shape != audio.shape:
        raise BrokenError(f"{tuple(audio.shape)} became {tuple(output.audio.shape)}", "pad to whole hops in `embed`")
    if output.z.shape[1:] != (codec.channels, 7):
        said = f"({codec.channels}, 7) by `channels` and `hop_length`"
        raise BrokenError(f"6.5 hops are embedded as {tuple(output.z.shape[1:])}, not {said}", "mend one of the three")
    return ""


def coding(codec: AudioCodec) -> str:
    """In evaluation, decoding the codes gives what the codec itself decodes."""
    audio = _audio(codec)
    with torch.no_grad():
        expected = codec.eval()(audio).audio
    found = codec.decode(codec.encode(audio))[..., : audio.shape[-1]]
    if not torch.allclose(found, expected, atol=1e-5):
        raise BrokenError(unlike(found, expected), "let `synthesize` depend on z_hat alone")
    return ""


def one_by_one(codec: AudioCodec) -> str:
    """In evaluation the same audio gives the same codes, and a clip the same embedding alone and in a batch."""
    audio = _audio(codec)
    codec.eval()
    if not torch.equal(codec.encode(audio), codec.encode(audio)):
        raise BrokenError("two calls give other codes", "draw and learn where `self.training` holds, nowhere else")
    with torch.no_grad():
        whole, alone = codec.embed(audio).z, torch.cat([codec.embed(audio[:1]).z, codec.embed(audio[1:]).z])
    if not torch.allclose(whole, alone, rtol=1e-4, atol=1e-4 * whole.abs().max().item()):
        raise BrokenError(f"a clip depends on the others: {unlike(whole, alone)}", "compute no statistic over dim 0")
    return ""


def fields(codec: AudioCodec) -> str:
    """Audio beyond the receptive fields that it states does not matter."""
    field = codec.encoder_field
    if field is None:
        raise NotAskedError("`encoder_field` is None: recordings are encoded whole")
    hop, frame = codec.hop_length, field.left + 2
    audio = 0.1 * torch.randn(1, 1, (frame + field.right + 3) * hop, generator=torch.Generator().manual_seed(0))
    other = audio.clone()
    other[..., : (frame - field.left) * hop] = 0
    other[..., (frame + field.right + 1) * hop :] = 0
    with torch.no_grad():
        first, second = (codec.eval().embed(each).z[..., frame] for each in (audio, other))
    if not torch.allclose(first, second, atol=1e-5):
        raise BrokenError(f"a frame depends on more: {unlike(first, second)}", "state a wider field, or return None")
    return ""


def training(codec: AudioCodec) -> str:
    """Every weight of encoder and decoder gets a finite gradient."""
    codec.train().zero_grad()
    output = codec(_audio(codec))
    (output.audio.square().mean() + sum(loss.mean() for loss in output.quantized.losses.values())).backward()
    for name, weight in codec.named_parameters():
        if name.startswith("quantizer."):
            continue
        if weight.requires_grad and (weight.grad is None or not weight.grad.isfinite().all()):
            raise BrokenError(f"{name} gets none, or one that is not finite", "attach it to the decoded audio")
    codec.zero_grad()
    return ""


def rebuilding(codec: AudioCodec) -> str:
    """Its settings and its `state_dict` make the same codec anew."""
    audio = _audio(codec)
    try:
        twin = build(settings_of(codec), [type(module).__module__ for module in codec.modules()])
    except ValueError as error:
        raise BrokenError(str(error), "take plain data and parts in the constructor, no *args") from error
    twin.load_state_dict(codec.state_dict())
    if found := unlike(twin.encode(audio), codec.encode(audio)):
        raise BrokenError(f"codes differ: {found}", "keep what is drawn or learned as parameters and buffers")
    return ""


QUESTIONS = (audio_and_frames, coding, one_by_one, fields, training, rebuilding)
