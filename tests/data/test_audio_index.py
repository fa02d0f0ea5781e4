import json
import os
import shutil

import pytest
import soundfile
from audio_files import write_noise

from qcodec.audio.folder import AUDIO_SUFFIXES
from qcodec.data.audio_index import AudioFile, index_audio


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("QCODEC_CACHE", str(tmp_path / "cache"))
    for name in ("a.wav", "b/c.flac", "b/d.ogg", "e.mp3", "f.WAV"):
        write_noise(tmp_path / "audio" / name)
    (tmp_path / "audio" / "notes.txt").write_text("no audio")
    return tmp_path / "audio"


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are opened."""
    names = []
    info = soundfile.info
    monkeypatch.setattr(soundfile, "info", lambda path: names.append(os.path.basename(path)) or info(path))
    return names


def cache_of(tmp_path):
    return next((tmp_path / "cache").iterdir())


def test_the_index_holds_every_audio_file_below_the_folder(folder):
    files = index_audio(folder).files
    assert [os.path.relpath(file.path, folder) for file in files] == ["a.wav", "b/c.flac", "b/d.ogg", "e.mp3", "f.WAV"]
    assert files[0] == AudioFile(str(folder / "a.wav"), 16000, 16000, 1)
    assert files[0].seconds == 1.0


def test_what_has_not_changed_is_not_opened_again(folder, opened):
    first = index_audio(folder)
    assert len(opened) == 5
    write_noise(folder / "b" / "c.flac", seconds=2.0)
    (folder / "a.wav").unlink()
    write_noise(folder / "new.wav")
    opened.clear()
    second = index_audio(folder)
    assert sorted(opened) == ["c.flac", "new.wav"]
    assert second.files[0].seconds == 2.0
    assert len(second.files) == len(first.files) == 5


def test_a_file_with_another_time_of_change_is_opened_again(folder, opened):
    index_audio(folder)
    opened.clear()
    os.utime(folder / "a.wav", (1, 1))
    index_audio(folder)
    assert opened == ["a.wav"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}', "changed", "other version"])
def test_a_damaged_cache_is_not_trusted(folder, opened, tmp_path, damage):
    first = index_audio(folder)
    cache = cache_of(tmp_path)
    content = json.loads(cache.read_text())
    if damage == "changed":
        content["files"]["a.wav"][2] = 10**6
        damage = json.dumps(content)
    elif damage == "other version":
        damage = json.dumps(content | {"version": 0})
    cache.write_text(damage)
    opened.clear()
    assert index_audio(folder) == first
    assert len(opened) == 5


def test_a_cache_that_cannot_be_written_is_told_and_done_without(folder, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(index_audio(folder).files) == 5
    assert "QCODEC_CACHE" in caplog.text
    assert caplog.text.count("\n") == 1


def test_files_that_cannot_be_used_are_named_with_the_reason_each_time(folder):
    (folder / "broken.wav").write_bytes(b"no sound")
    (folder / "empty.flac").touch()
    soundfile.write(folder / "silent.wav", [], 16000)
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    for _ in range(2):
        reasons = {os.path.basename(fault.path): fault.reason for fault in index_audio(folder).faults}
        assert sorted(reasons) == ["broken.wav", "empty.flac", "gone.wav", "silent.wav"]
        assert reasons["empty.flac"] == "is empty"
        assert reasons["silent.wav"] == "holds no samples"
        assert "No such file" in reasons["gone.wav"]
        assert "cannot be read" in reasons["broken.wav"]


def test_linked_folders_are_followed_once(folder, tmp_path):
    shutil.move(folder / "b", tmp_path / "elsewhere")
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(folder)
    assert len(index_audio(folder).files) == 5


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        index_audio(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_a_file_whose_name_is_no_text_is_a_fault_and_not_the_end(folder):
    os.rename(folder / "a.wav", os.fsencode(folder) + b"/\xff.wav")
    index = index_audio(folder)
    assert len(index.files) == 4
    assert [fault.reason for fault in index.faults] == ["has a name that is no text: rename it"]


def test_every_kind_of_audio_file_is_found_by_its_ending(tmp_path):
    for suffix in AUDIO_SUFFIXES:
        (tmp_path / f"empty{suffix}").touch()
    assert len(index_audio(tmp_path).faults) == len(AUDIO_SUFFIXES)
