"""Flips a byte at a random place of checkpoints and weight files, and looks whether that is found.

    python benchmarks/flipped_bytes.py [--count 200]

Of each kind of file that many copies with one other byte are read: each must be refused in one line, or hold what the
whole file does, as where the byte is of a zip's time stamp.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

import qcodec
from qcodec.atomic_write import atomic_write
from qcodec.codecs.model_file import ModelFile, read_model, write_model
from qcodec.runs.checkpoint import read_checkpoint, write_torch


def state_of(path):
    """Return all tensors of a checkpoint or a model's file."""
    if path.suffix == ".ckpt":
        content = read_checkpoint(path)
        return {**content["state_dict"], "step": torch.tensor(content["global_step"])}
    return read_model(path).codec.state_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    count, draw = parser.parse_args().count, random.Random(0)
    torch.manual_seed(0)
    quantizer = qcodec.residual_vq(16, 2, 8, 2)
    codec = qcodec.DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    wrong = 0
    print("| file | flipped | refused | read as the whole one | wrong |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("last.ckpt", "model.pth", "model.safetensors"):
            path = Path(folder, name)
            if name == "last.ckpt":
                write_torch({"state_dict": codec.state_dict(), "global_step": 7}, path)
            else:
                with atomic_write(path) as file:
                    write_model(file, name, ModelFile(codec))
            good, whole, seen = path.read_bytes(), state_of(path), Counter()
            for _ in range(count):
                changed = bytearray(good)
                changed[draw.randrange(len(good))] ^= draw.randrange(1, 256)
                path.write_bytes(changed)
                try:
                    found = state_of(path)
                except ValueError:
                    seen["refused"] += 1
                    continue
                except Exception as error:
                    print(f"{name}: {type(error).__name__}: {error}"[:200])
                    seen["wrong"] += 1
                    continue
                same = found.keys() == whole.keys() and all(torch.equal(found[key], whole[key]) for key in whole)
                seen["same" if same else "wrong"] += 1
            print(f"| `{name}` | {count} | {seen['refused']} | {seen['same']} | {seen['wrong']} |")
            wrong += seen["wrong"]
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
