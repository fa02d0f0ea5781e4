import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audio_files import write_noise
from lightning import Trainer

from qcodec.audio.reading import stream_length
from qcodec.data.audio import AudioFolder, LibriTTS
from qcodec.data.audio_crops import CropSource
from qcodec.data.audio_index import index_audio
from qcodec.data.audio_settings import Crops, Subsets

CROPS = Crops(duration=0.2, val_duration=0.5, val_crops=4, updates_per_epoch=4)


@pytest.fixture
def folder(tmp_path):
    for number in range(30):
        write_noise(tmp_path / "audio" / f"{number:02d}.wav")
    return tmp_path / "audio"


def served(folder, crops=CROPS, **subsets):
    chosen = Subsets(**{"train": (".",), "val": (), "held_out": 0.3, **subsets})
    return AudioFolder(str(folder), batch_size=5, subsets=chosen, crops=crops, workers=0)


def files(loader):
    return {file.path for file in loader.source.files}


def test_a_plain_folder_is_split_by_its_files_names(folder):
    data = served(folder)
    train, val = files(data.train_dataloader()), files(data.val_dataloader())
    assert len(train) + len(val) == 30
    assert not train & val
    assert 3 <= len(val) <= 15
    moved = folder.rename(folder.with_name("elsewhere"))
    write_noise(moved / "new.wav")
    again = files(served(moved).val_dataloader())
    assert {Path(path).name for path in again} - {"new.wav"} == {Path(path).name for path in val}


def test_testing_uses_the_files_of_validation_in_other_crops(folder):
    data = served(folder)
    val, test = data.val_dataloader(), data.test_dataloader()
    assert files(val) == files(test)
    assert not torch.equal(next(iter(val)), next(iter(test)))


def test_bad_files_are_told_once_by_name_with_the_reason_and_listed_in_the_run_folder(folder, tmp_path, caplog):
    (folder / "broken.wav").write_bytes(b"no sound")
    (folder / "empty.flac").touch()
    write_noise(folder / "short.wav", seconds=0.1)
    write_noise(folder / "stereo.wav", channels=2)
    write_noise(folder / "rate.wav", sample_rate=22050)
    data = served(folder, held_out=0.0)
    data.trainer = Trainer(
        accelerator="cpu", logger=False, default_root_dir=tmp_path / "run", enable_checkpointing=False
    )
    for _ in range(2):
        batches = list(data.train_dataloader())
    assert len(batches) == 4
    for name, text in {
        "broken.wav": "cannot be read", "empty.flac": "is empty", "short.wav": "lasts 0.10 s, less than a crop",
        "stereo.wav": "has 2 channels", "rate.wav": "is at 22050 Hz",
    }.items():  # fmt: skip
        assert caplog.text.count(f"{name} {text}") == 1
    assert "train: 3 of 35 audio files left out" in caplog.text
    with (tmp_path / "run" / "audio_train.csv").open(encoding="utf-8") as table:
        assert len(list(csv.DictReader(table))) == 5


def test_too_many_bad_files_are_an_error(folder):
    for number in range(4):
        (folder / f"broken{number}.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"4 of 34 audio files for train are bad, more than max_bad_share 0\.1 allows"):
        served(folder, held_out=0.0).train_dataloader()
    assert len(list(served(folder, held_out=0.0, max_bad_share=0.2).train_dataloader())) == 4


def test_files_that_turn_bad_in_training_are_told_once_and_training_goes_on(folder, caplog):
    loader = served(folder, held_out=0.0).train_dataloader()
    (folder / "00.wav").unlink()
    for _ in range(3):
        audio = torch.cat(list(loader))
    assert audio.abs().amax(-1).min() > 0.01
    assert caplog.text.count("00.wav cannot be read: No such file or directory") == 1


def test_training_ends_when_too_many_files_turn_bad(folder):
    loader = served(folder, held_out=0.0).train_dataloader()
    for number in range(20):
        (folder / f"{number:02d}.wav").unlink()
    with pytest.raises(ValueError, match="of 30 audio files for train are bad"):
        list(loader)


def test_an_error_in_a_worker_process_is_told_in_one_line(folder):
    data = served(folder, held_out=0.0, max_bad_share=1.0)
    data.workers = 1
    loader = data.train_dataloader()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(OSError, match=r"^16 files in a row gave no audio; [^\n]*$"):
        list(loader)


def test_files_too_short_for_validation_are_set_aside_without_being_bad(folder, caplog):
    for number in range(10):
        write_noise(folder / f"short{number}.wav", seconds=0.3)
    data = served(folder, held_out=0.5)
    assert not any(Path(path).name.startswith("short") for path in files(data.val_dataloader()))
    assert "too short for crops of 0.5 s, left out" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subsets": Subsets(train=("nowhere",))}, "has no subset 'nowhere'; it has no folders"),
        ({"subsets": Subsets(train=(".",), val=(".",))}, "30 files serve for train and val"),
        ({"crops": Crops(val_duration=9.0), "subsets": Subsets(train=(".",), val=())}, "none of 4 files for val"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"sample_rate": 8}, "sample_rate is 8"),
    ],
)
def test_settings_that_cannot_be_used_are_errors_with_a_remedy(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        AudioFolder(str(folder), **{"workers": 0, **settings}).setup("fit")


@pytest.mark.parametrize(
    ("settings", "setting"), [(Subsets, "held_out"), (Subsets, "max_bad_share"), (Crops, "duration"), (Crops, "tries")]
)
def test_a_value_out_of_range_is_an_error_that_names_it(settings, setting):
    with pytest.raises(ValueError, match=setting):
        settings(**{setting: -1})


def test_a_folder_without_audio_is_an_error(tmp_path):
    (tmp_path / "audio").mkdir()
    with pytest.raises(ValueError, match=r"no \.wav, \.flac, .*, \.rf64 files"):
        served(tmp_path / "audio").train_dataloader()


def test_crops_come_from_what_a_file_holds_where_its_header_says_more(tmp_path):
    """Also where that is every file: the fit goes on, and crops are the same in each pass."""
    tone = (0.3 * np.sin(np.arange(64000) / 5)).astype(np.float32)
    for name in ("a.mp3", "b.mp3"):
        soundfile.write(tmp_path / name, tone, 16000)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 3])
    index = index_audio(tmp_path)
    held = stream_length(tmp_path / "a.mp3")
    assert held < index.files[0].frames / 2
    source = CropSource(index.files, 16000, 0.5)
    batch, apart = source.__getitems__(list(range(40))), [source.__getitems__([number]) for number in range(40)]
    assert not batch.faults
    assert torch.equal(batch.audio, torch.cat([one.audio for one in apart]))
    assert batch.audio.abs().amax(-1).min() > 0.02


def test_a_plain_folder_is_served_where_a_recipe_names_the_subsets_of_a_corpus(folder, caplog):
    data = LibriTTS(str(folder), subsets=Subsets(("train-clean-100",), ("test-other",)), crops=CROPS, workers=0)
    data.prepare_data()
    data.setup("fit")
    train, held_out = files(data.train_dataloader()), files(data.val_dataloader())
    assert train
    assert held_out
    assert len(train | held_out) == 30
    assert not train & held_out
    message = (
        "has none of the subsets train-clean-100, test-other: all audio in it is served, 0.05 of the files held out"
    )
    assert caplog.text.count(message) == 1


@pytest.mark.parametrize("subset", ["train-claen-100", "train-clean-100"])
def test_a_subset_that_is_misspelt_or_missing_beside_others_is_an_error(folder, subset):
    if subset == "train-clean-100":
        (folder / "LibriSpeech" / "dev-clean").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"has no subset '{subset}'"):
        LibriTTS(str(folder), subsets=Subsets((subset,), ("test-other",)), workers=0).setup("fit")


@pytest.mark.parametrize(("count", "share"), [(2, 0.05), (3, 0.001), (3, 0.999)])
def test_a_small_folder_holds_out_one_file_at_least_and_trains_on_another(tmp_path, count, share):
    for number in range(count):
        write_noise(tmp_path / f"{number}.wav")
    data = served(tmp_path, held_out=share)
    train, held_out = files(data.train_dataloader()), files(data.val_dataloader())
    assert train
    assert held_out
    assert len(train) + len(held_out) == count


def test_the_one_file_that_is_held_out_is_long_enough(tmp_path):
    for number in range(6):
        write_noise(tmp_path / f"{number}.wav", seconds=0.3 if number != 4 else 1.0)
    assert {Path(path).name for path in files(served(tmp_path, held_out=0.001).val_dataloader())} == {"4.wav"}


@pytest.mark.parametrize(
    ("seconds", "settings", "message"),
    [
        (1.0, {"held_out": 0.0}, r"there are 0 files for val, with subsets.held_out 0: add files to"),
        (0.1, {"max_bad_share": 1.0}, r"none of 2 files for train .* crop of 0.2 s: .* or set crops.duration to less"),
        (0.3, {}, r"none of 1 files for val .* crop of 0.5 s: give longer ones, or set crops.val_duration to less"),
    ],
)
def test_an_empty_split_is_named_with_its_count_and_the_setting(tmp_path, seconds, settings, message):
    for number in range(2):
        write_noise(tmp_path / f"{number}.wav", seconds=seconds)
    settings = {"held_out": 0.5, **settings}
    if seconds == 0.1:
        settings["held_out"] = 0.0
    with pytest.raises(ValueError, match=message):
        served(tmp_path, **settings).setup("fit")
