"""A changed byte in a checkpoint or a model's file is found before anything is loaded from it."""

import os
import zipfile

import pytest
import torch

from qcodec import DacCodec, residual_vq
from qcodec.atomic_write import atomic_write
from qcodec.codecs.model_file import ModelFile, read_model, write_model
from qcodec.runs.checkpoint import read_checkpoint


def flipped(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


def places_of_weights(path):
    """Yield the first and the last byte of each tensor in a zip file."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if "/data/" in info.filename:
                with archive.open(info):
                    start = info.header_offset + 30 + len(info.filename)
                    start += int.from_bytes(
                        path.read_bytes()[info.header_offset + 28 : info.header_offset + 30], "little"
                    )
                yield start
                yield start + info.file_size - 1


def codec():
    torch.manual_seed(0)
    return DacCodec(residual_vq(16, 2, 8, 2), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)


def test_every_flipped_byte_of_a_checkpoints_weights_is_found(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {f"weight{n}": torch.randn(50 + n) for n in range(4)}, "global_step": 3}, path)
    good = path.read_bytes()
    assert read_checkpoint(path)["global_step"] == 3
    places = list(places_of_weights(path))
    assert len(places) == 8
    for place in places:
        flipped(path, place)
        assert torch.load(path, weights_only=True)["global_step"] == 3  # PyTorch itself does not see it
        with pytest.raises(ValueError, match=r"last.ckpt is damaged: the checksum of .*data/\d+ is wrong: give an"):
            read_checkpoint(path)
        path.write_bytes(good)


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_a_flipped_byte_of_a_models_file_is_found(tmp_path, name):
    path = tmp_path / name
    with atomic_write(path) as file:
        write_model(file, name, ModelFile(codec()))
    assert torch.equal(read_model(path).codec.encoder.block[0].weight_v, codec().encoder.block[0].weight_v)
    content = path.read_bytes()
    place = next(places_of_weights(path)) + 1 if name.endswith(".pth") else len(content) - 5
    flipped(path, place)
    with pytest.raises(ValueError, match=rf"{name} is damaged: the checksum of .* is wrong: give a"):
        read_model(path)


def test_a_weight_file_of_pytorchs_former_format_still_loads(tmp_path):
    with atomic_write(tmp_path / "model.pth") as file:
        write_model(file, "model.pth", ModelFile(codec()))
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(tmp_path / "old.pth")
    read_model(tmp_path / "old.pth")


def test_in_place_of_a_damaged_checkpoint_the_newest_whole_one_beside_it_is_offered(tmp_path):
    for number, name in enumerate(("old", "newer", "spoilt", "last")):
        path = tmp_path / f"{name}.ckpt"
        torch.save({"state_dict": {"w": torch.randn(60)}, "global_step": number}, path)
        os.utime(path, (1000 + number, 1000 + number))
        if name in ("spoilt", "last"):
            flipped(path, next(places_of_weights(path)))
            os.utime(path, (1000 + number, 1000 + number))
    with pytest.raises(ValueError, match=r"is wrong: give \S+/newer\.ckpt, which is whole, or a copy$"):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("name", ["last.ckpt", "model.pth"])
def test_a_byte_of_the_archives_own_table_is_found_where_it_changes_what_is_read(tmp_path, name):
    """Such as a mark that an entry is a folder, of which PyTorch reads nothing, into memory as it is."""
    path = tmp_path / name
    if name == "model.pth":
        with atomic_write(path) as file:
            write_model(file, name, ModelFile(codec()))
    else:
        torch.save({"state_dict": codec().state_dict(), "global_step": 3}, path)
    read = read_model if name == "model.pth" else read_checkpoint
    good, refused = path.read_bytes(), 0
    table = good.index(b"PK\x01\x02")
    whole = {key: value.clone() for key, value in codec().state_dict().items()}
    for place in range(table, table + 46 * 4):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x11]) + good[place + 1 :])
        try:
            found = read(path)
        except ValueError:
            refused += 1
        else:
            state = found.codec.state_dict() if name == "model.pth" else found["state_dict"]
            assert all(torch.equal(state[key], whole[key]) for key in whole), place
    assert refused > 40
