"""Which model a file was written for."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from qcodec.codecs.base import AudioCodec


def fingerprint(codec: AudioCodec) -> str:
    """Compute a name for what turns codes into audio: all that codec and quantizer say their decoding depends on."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (codec.decoder_identity(), codec.quantizer.deployed().decoder_identity()):
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: "hashlib.blake2b", part: Mapping[str, Any]) -> None:
    for name, value in sorted(part.items()):
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{name} {json.dumps(value, sort_keys=True)}".encode())
