import hashlib
import http.server
import tarfile
import threading

import pytest

from qcodec.cli import main

COMMAND = ["data", "libritts", "--subset", "dev-clean", "--root", "data"]


class Archive(http.server.BaseHTTPRequestHandler):
    """Serves one archive, with ranges; the first answers may end too soon."""

    def do_GET(self):
        first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.server.asked.append((self.path, first))
        content = self.server.content[first:]
        self.send_response(206 if content else 416)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cuts.pop(0) if self.server.cuts else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Serve the archive; `asked` holds paths and first bytes, `cuts` how much the next answers give."""
    from qcodec.data import download

    speech = tmp_path / "speech.wav"
    speech.write_bytes(bytes(range(256)) * 40)
    with tarfile.open(tmp_path / "made.tar.gz", "w:gz") as archive:
        archive.add(speech, "LibriTTS/dev-clean/84/speech.wav")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        server.asked, server.cuts, server.content = [], [], (tmp_path / "made.tar.gz").read_bytes()
        url = f"http://127.0.0.1:{server.server_port}/60/"
        monkeypatch.setattr(download, "_SERVER", url)
        monkeypatch.setitem(download.SHA256, "dev-clean", hashlib.sha256(server.content).hexdigest())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_subset_is_fetched_and_unpacked_once(server, tmp_path, capsys):
    assert main(COMMAND) == 0
    assert "data/LibriTTS/dev-clean" in capsys.readouterr().out
    assert server.asked == [("/60/dev-clean.tar.gz", 0)]
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == ["84", "LibriTTS", "dev-clean", "speech.wav"]
    assert main(COMMAND) == 0
    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path, capsys):
    server.cuts = [100]
    assert main(COMMAND) == 1
    assert "the connection ended after 100 of" in capsys.readouterr().err
    assert not (tmp_path / "data" / "LibriTTS").exists()
    assert main(COMMAND) == 0
    assert [first for _, first in server.asked] == [0, 100]
    sound = (tmp_path / "data" / "LibriTTS" / "dev-clean" / "84" / "speech.wav").read_bytes()
    assert sound == (tmp_path / "speech.wav").read_bytes()


def test_a_download_that_was_complete_but_not_checked_is_not_made_again(server, tmp_path):
    part = tmp_path / "data" / ".libritts-dev-clean.part"
    part.mkdir(parents=True)
    (part / "dev-clean.partial").write_bytes(server.content)
    assert main(COMMAND) == 0
    assert (tmp_path / "data" / "LibriTTS" / "dev-clean" / "84" / "speech.wav").is_file()


def test_an_interrupted_unpacking_starts_again_from_the_archive(server, monkeypatch, tmp_path):
    extract = tarfile.TarFile.extractall

    def interrupt(*arguments, **settings):
        (tmp_path / "data" / ".libritts-dev-clean.part" / "LibriTTS" / "dev-clean").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "extractall", interrupt)
    assert main(COMMAND) == 130
    assert not (tmp_path / "data" / "LibriTTS").exists()
    monkeypatch.setattr(tarfile.TarFile, "extractall", extract)
    assert main(COMMAND) == 0
    assert len(server.asked) == 1


def test_an_archive_with_another_checksum_is_told_and_thrown_away(server, tmp_path, capsys):
    server.content = server.content[:-1] + b"?"
    assert main(COMMAND) == 1
    assert "came damaged (SHA-256" in capsys.readouterr().err.splitlines()[0]
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_an_archive_that_lay_there_is_checked_before_it_is_unpacked(server, tmp_path, capsys):
    part = tmp_path / "data" / ".libritts-dev-clean.part"
    part.mkdir(parents=True)
    (part / "dev-clean.tar.gz").write_bytes(b"?" + server.content[1:])
    assert main(COMMAND) == 1
    assert "came damaged (SHA-256" in capsys.readouterr().err.splitlines()[0]
    assert not (tmp_path / "data" / "LibriTTS").exists()
    assert main(COMMAND) == 0


def test_a_file_that_would_land_elsewhere_is_not_unpacked(server, monkeypatch, tmp_path, capsys):
    from qcodec.data import download

    with tarfile.open(tmp_path / "made.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "speech.wav", "../../elsewhere.wav")
    server.content = (tmp_path / "made.tar.gz").read_bytes()
    monkeypatch.setitem(download.SHA256, "dev-clean", hashlib.sha256(server.content).hexdigest())
    assert main(COMMAND) == 1
    assert "cannot be unpacked safely" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere.wav").exists()


def test_without_a_network_the_way_round_is_told(monkeypatch, tmp_path, capsys):
    from qcodec.data import download

    monkeypatch.setattr(download, "_SERVER", "http://127.0.0.1:1/")
    assert main(COMMAND) == 1
    assert "is there a network?" in capsys.readouterr().err.splitlines()[0]
    assert not (tmp_path / "data" / "LibriTTS").exists()


def test_an_unknown_subset_is_an_error_that_names_the_known_ones(capsys):
    assert main(["data", "libritts", "--subset", "clean", "--root", "data"]) == 1
    assert "dev-clean, dev-other" in capsys.readouterr().err
