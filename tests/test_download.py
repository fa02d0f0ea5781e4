import tarfile
import urllib.error

import pytest

from qcodec.cli import main

COMMAND = ["data", "libritts", "--subset", "dev-clean", "--root", "data"]


@pytest.fixture
def network(monkeypatch, tmp_path):
    """Stand in for the server; what is asked of it, with the checksum, is kept."""
    import torchaudio.datasets.libritts as libritts

    asked = []

    def download(url, path, hash_prefix=None):
        asked.append((url, hash_prefix))
        if isinstance(network.answer, Exception):
            raise network.answer
        with tarfile.open(path, "w:gz") as archive:
            speech = tmp_path / "speech.wav"
            speech.write_bytes(b"sound")
            archive.add(speech, "LibriTTS/dev-clean/84/speech.wav")

    def network():
        return asked

    network.answer = None
    monkeypatch.setattr(libritts, "download_url_to_file", download)
    return network


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
def test_a_subset_is_fetched_with_its_checksum_and_unpacked_once(network, tmp_path, capsys):
    assert main(COMMAND) == 0
    assert "data/LibriTTS/dev-clean" in capsys.readouterr().out
    ((url, checksum),) = network()
    assert url.endswith("/60/dev-clean.tar.gz")
    assert len(checksum) == 64
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == ["84", "LibriTTS", "dev-clean", "speech.wav"]
    assert main(COMMAND) == 0
    assert len(network()) == 1


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
def test_an_interrupted_unpacking_starts_again_from_the_archive(network, monkeypatch, tmp_path):
    extract = tarfile.TarFile.extract

    def interrupt(*arguments, **settings):
        (tmp_path / "data" / ".libritts-dev-clean.part" / "LibriTTS" / "dev-clean").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "extract", interrupt)
    assert main(COMMAND) == 130
    assert not (tmp_path / "data" / "LibriTTS").exists()
    monkeypatch.setattr(tarfile.TarFile, "extract", extract)
    assert main(COMMAND) == 0
    assert len(network()) == 1
    assert (tmp_path / "data" / "LibriTTS" / "dev-clean" / "84" / "speech.wav").read_bytes() == b"sound"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (urllib.error.URLError("Name or service not known"), "is there a network?"),
        (TimeoutError("timed out"), "is there a network?"),
        (RuntimeError("invalid hash value"), "came damaged (invalid hash value): run the command again"),
    ],
)
def test_what_goes_wrong_is_told_in_one_line_and_leaves_no_subset(network, tmp_path, capsys, answer, message):
    network.answer = answer
    assert main(COMMAND) == 1
    assert message in capsys.readouterr().err.splitlines()[0]
    assert not (tmp_path / "data" / "LibriTTS").exists()


def test_an_unknown_subset_is_an_error_that_names_the_known_ones(capsys):
    assert main(["data", "libritts", "--subset", "clean", "--root", "data"]) == 1
    assert "dev-clean, dev-other" in capsys.readouterr().err
