"""Which model a file was written for."""

import hashlib
import json

from qcodec.codecs.dac.codec import DacCodec


def fingerprint(codec: DacCodec) -> str:
    """Name what turns codes into audio: settings and weights of codebooks, their output projections and the decoder.

    The encoder, the input projections and the allocator have no part in it: files stay good when those are trained on.
    """
    settings = [codec.sample_rate, codec.decoder_rates, codec.latent_dim, codec.decoder_dim]
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
    for name, value in sorted(codec.state_dict().items()):
        if name.startswith(("encoder.", "quantizer.allocator.")) or ".in_proj." in name:
            continue
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()
