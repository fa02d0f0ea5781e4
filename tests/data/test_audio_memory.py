import multiprocessing
import pickle

import numpy as np
import pytest
import soundfile
import torch
from audio_files import write_noise

from qcodec.data.audio import AudioFolder
from qcodec.data.audio_crops import CropSource, Floor
from qcodec.data.audio_index import index_audio
from qcodec.data.audio_memory import AudioMemory
from qcodec.data.audio_settings import Crops, Subsets

SECOND = 2 * 16000  # bytes


@pytest.fixture
def folder(tmp_path):
    """Files of every kind, one of them quiet in its first half."""
    for name in ("a.wav", "b.flac", "quiet.flac"):
        write_noise(tmp_path / name)
    samples, _ = soundfile.read(tmp_path / "quiet.flac")
    samples[:8000] *= 0.001
    soundfile.write(tmp_path / "quiet.flac", samples, 16000)
    write_noise(tmp_path / "stereo.wav", channels=2)
    for name, rate in (("low.flac", 11025), ("high.wav", 44100), ("c.ogg", 16000), ("d.mp3", 16000)):
        write_noise(tmp_path / name, sample_rate=rate)
    soundfile.write(tmp_path / "fine.wav", soundfile.read(tmp_path / "a.wav")[0] * 0.77, 16000, subtype="PCM_24")
    return tmp_path


def memory_of(folder, budget):
    return AudioMemory(index_audio(folder).files, budget)


@pytest.mark.parametrize("seconds_kept", [3, 1000])
def test_crops_are_the_same_bit_for_bit_from_files_and_from_memory(folder, seconds_kept):
    files, numbers = index_audio(folder).files, list(range(40))
    plain = CropSource(files, 16000, 0.2).__getitems__(numbers).audio
    kept = CropSource(files, 16000, 0.2, memory=memory_of(folder, seconds_kept * SECOND))
    for _ in range(2):
        assert torch.equal(plain, kept.__getitems__(numbers).audio)
    assert torch.equal(plain[[7, 3]], kept.__getitems__([7, 3]).audio)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_memory_budget_does_not_change_what_is_served(folder, workers):
    def batches(memory_gib, workers):
        crops = Crops(duration=0.2, updates_per_epoch=6, memory_gib=memory_gib)
        data = AudioFolder(
            str(folder), batch_size=4, subsets=Subsets((".",), (), held_out=0.0), crops=crops, workers=workers
        )
        loader = data.train_dataloader()
        return torch.cat([*loader, *loader])

    assert torch.equal(batches(0.0, 0), batches(1.0, workers))


def test_wav_and_flac_of_16_bits_are_kept_and_nothing_else(folder):
    memory = memory_of(folder, 1000 * SECOND)
    kept = {file.path.rsplit("/", 1)[1] for file in index_audio(folder).files if memory.samples(file) is not None}
    assert kept == {"a.wav", "b.flac", "quiet.flac", "stereo.wav", "low.flac", "high.wav"}


def test_what_is_kept_stays_within_the_budget(tmp_path):
    for number in range(10):
        write_noise(tmp_path / f"{number}.wav")
    memory = memory_of(tmp_path, int(3.5 * SECOND))
    kept = [memory.samples(file) for file in index_audio(tmp_path).files]
    assert sum(samples.nbytes for samples in kept if samples is not None) == 3 * SECOND


def test_a_file_that_is_kept_is_not_opened_again(tmp_path):
    write_noise(tmp_path / "a.wav")
    (file,), memory = index_audio(tmp_path).files, memory_of(tmp_path, SECOND)
    expected = soundfile.read(file.path, dtype="int16", always_2d=True)[0]
    memory.samples(file)
    (tmp_path / "a.wav").unlink()
    np.testing.assert_array_equal(memory.samples(file), expected)


def test_a_file_that_changed_since_the_index_is_not_kept(tmp_path):
    write_noise(tmp_path / "a.wav")
    (file,), memory = index_audio(tmp_path).files, memory_of(tmp_path, SECOND)
    write_noise(tmp_path / "a.wav", sample_rate=8000)
    assert memory.samples(file) is None


def test_the_whole_part_of_a_damaged_file_is_served_with_and_without_memory(tmp_path):
    samples = write_noise(tmp_path / "a.wav")
    files, memory = index_audio(tmp_path).files, memory_of(tmp_path, SECOND)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[: -len(samples) // 4])

    def crops_or_error(**settings):
        try:
            return CropSource(files, 16000, 0.2, Floor(tries=1), **settings).__getitems__([2]).audio.tolist()
        except OSError as error:
            return str(error)

    assert crops_or_error() == crops_or_error(memory=memory)


def test_forked_processes_fill_one_memory_and_others_begin_anew(tmp_path):
    write_noise(tmp_path / "a.wav")
    (file,), memory = index_audio(tmp_path).files, memory_of(tmp_path, SECOND)
    worker = multiprocessing.get_context("fork").Process(target=memory.samples, args=(file,))
    worker.start()
    worker.join()
    again = pickle.loads(pickle.dumps(memory))
    (tmp_path / "a.wav").unlink()
    assert memory.samples(file) is not None
    assert again.samples(file) is None


def test_a_negative_budget_is_an_error():
    with pytest.raises(ValueError, match=r"memory_gib is -1\.0: give 0 or more"):
        Crops(memory_gib=-1.0)
