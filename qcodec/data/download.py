"""Fetches LibriTTS."""

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

_SERVER = "http://www.openslr.org/resources/60/"
_BLOCK, _PATIENCE = 1 << 20, 60.0  # bytes at a time; seconds to wait for the server
SUBSETS = (
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
)


def download_libritts(subset: str, root: Path) -> Path:
    """Download a subset of LibriTTS, check the archive's SHA-256, unpack it by torchaudio, and give its folder.

    Archive and files lie in a folder of their own until they are complete: a subset under its final name is whole. An
    interrupted download goes on where it stopped, an interrupted unpacking from the archive.

    Raises:
        ValueError: For an unknown subset.
        OSError: If there is no network or no space, or if the archive is damaged.
    """
    if subset not in SUBSETS:
        raise ValueError(f"LibriTTS has no subset {subset!r}: choose one of {', '.join(SUBSETS)}")
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
    from torchaudio.datasets import LIBRITTS, libritts

    archive = part / f"{subset}.tar.gz"
    url = _SERVER + archive.name
    try:
        if not archive.exists():
            partial = download(url, part / f"{subset}.partial")
            _check(partial, libritts._CHECKSUMS[url])
            os.replace(partial, archive)
        LIBRITTS(part, url=subset, download=True)  # unpacks the archive that is there
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(
            f"LibriTTS {subset} could not be downloaded ({reason}): is there a network? Run the command again to go "
            f"on, or fetch {archive.name} from https://www.openslr.org/60 by other means and unpack it in {part.parent}"
        ) from error
    except EOFError as error:  # an archive that ends too soon
        shutil.rmtree(part)
        raise OSError(f"the archive of LibriTTS {subset} came damaged ({error}): run the command again") from error


def download(url: str, partial: Path) -> Path:
    """Download to a file, from where it ends on if the server can, with a progress bar; give the file when complete.

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


def _check(partial: Path, checksum: str) -> None:
    with open(partial, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != checksum:
        partial.unlink()
        raise OSError(
            f"{partial.stem} came damaged (SHA-256 {found[:8]}..., not {checksum[:8]}...): run the command again"
        )
