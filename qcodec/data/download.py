"""Download of LibriTTS."""

import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

_SERVER = "http://www.openslr.org/resources/60/"
_BLOCK, _PATIENCE = 1 << 20, 60.0  # bytes at a time; seconds to wait for the server
SHA256 = {  # of the archives, as torchaudio 2.11 lists them
    "dev-clean": "da0864e1bd26debed35da8a869dd5c04dfc27682921936de7cff9c8a254dbe1a",
    "dev-other": "d413eda26f3a152ac7c9cf3658ef85504dfb1b625296e5fa83727f5186cca79c",
    "test-clean": "234ea5b25859102a87024a4b9b86641f5b5aaaf1197335c95090cde04fe9a4f5",
    "test-other": "33a5342094f3bba7ccc2e0500b9e72d558f72eb99328ac8debe1d9080402f10d",
    "train-clean-100": "c5608bf1ef74bb621935382b8399c5cdd51cd3ee47cec51f00f885a64c6c7f6b",
    "train-clean-360": "ce7cff44dcac46009d18379f37ef36551123a1dc4e5c8e4eb73ae57260de4886",
    "train-other-500": "e35f7e34deeb2e2bdfe4403d88c8fdd5fbf64865cae41f027a185a6965f0a5df",
}


def download_libritts(subset: str, root: Path) -> Path:
    """Download a subset of LibriTTS, check the archive's SHA-256, unpack it, and return its folder.

    Archive and files lie in a folder of their own until they are complete: a subset under its final name is whole. An
    interrupted download goes on where it stopped, an interrupted unpacking starts again from the archive. The checksum
    is checked before every unpacking, and nothing is unpacked outside of that folder (``tarfile``'s filter ``data``).

    Raises:
        ValueError: For an unknown subset.
        OSError: If there is no network or no space, or if the archive is damaged.
    """
    if subset not in SHA256:
        raise ValueError(f"LibriTTS has no subset {subset!r}: choose one of {', '.join(SHA256)}")
    final = root / "LibriTTS" / subset
    if final.is_dir():
        return final
    part = root / f".libritts-{subset}.part"
    part.mkdir(parents=True, exist_ok=True)
    for rest in part.iterdir():  # what an interruption left half unpacked
        if rest.is_dir():
            shutil.rmtree(rest)
    _fetch(subset, part)
    final.parent.mkdir(exist_ok=True)
    os.replace(part / "LibriTTS" / subset, final)
    shutil.rmtree(part)
    return final


def _fetch(subset: str, part: Path) -> None:
    archive = part / f"{subset}.tar.gz"
    try:
        if not archive.exists():
            os.replace(download(_SERVER + archive.name, part / f"{subset}.partial"), archive)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(
            f"LibriTTS {subset} could not be downloaded ({reason}): is there a network? Run the command again to go "
            f"on, or fetch {archive.name} from https://www.openslr.org/60 by other means and unpack it in {part.parent}"
        ) from error
    _check(archive, SHA256[subset])
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(part, filter="data")
    except tarfile.TarError as error:
        raise OSError(f"{archive.name} cannot be unpacked safely ({error}): unpack it by other means") from error


def download(url: str, partial: Path) -> Path:
    """Download to a file, from where it ends on if the server can, with a progress bar; return the file when complete.

    Raises:
        ConnectionError: Where the connection ends too soon; what came stays.
        OSError: Where there is no network or no space.
    """
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"})
    try:
        answer = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return partial  # it was all there
        raise
    goes_on = answer.status == http.HTTPStatus.PARTIAL_CONTENT
    have = have if goes_on else 0
    total = have + int(answer.headers["Content-Length"])
    bar = tqdm(desc=partial.stem, total=total, initial=have, unit="B", unit_scale=True, disable=None)
    with answer, bar, open(partial, "ab" if goes_on else "wb") as file:
        while block := answer.read(_BLOCK):
            file.write(block)
            bar.update(len(block))
    if (size := partial.stat().st_size) < total:
        raise ConnectionError(f"the connection ended after {size} of {total} bytes")
    return partial


def _check(archive: Path, checksum: str) -> None:
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != checksum:
        archive.unlink()
        raise OSError(
            f"{archive.name} came damaged (SHA-256 {found[:8]}..., not {checksum[:8]}...): run the command again"
        )
