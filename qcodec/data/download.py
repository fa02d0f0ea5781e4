"""Fetches LibriTTS."""

import http.client
import os
import shutil
import urllib.error
from pathlib import Path

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
    """Download and unpack a subset of LibriTTS by torchaudio, which checks the archive's SHA-256, and give its folder.

    Archive and files lie in a folder of their own until they are complete: a subset under its final name is whole, and
    what was interrupted while unpacking goes on from the archive. An interrupted download begins anew.

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
    for rest in part.iterdir():  # what an interruption may have cut off
        if rest.is_dir():
            shutil.rmtree(rest)
        elif rest.suffix == ".partial":
            rest.unlink()
    _fetch(subset, part)
    final.parent.mkdir(exist_ok=True)
    os.replace(part / "LibriTTS" / subset, final)
    shutil.rmtree(part)
    return final


def _fetch(subset: str, part: Path) -> None:
    from torchaudio.datasets import LIBRITTS

    try:
        LIBRITTS(part, url=subset, download=True)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(
            f"LibriTTS {subset} could not be downloaded ({reason}): is there a network? Or fetch {subset}.tar.gz from "
            f"https://www.openslr.org/60 by other means and unpack it in {part.parent}"
        ) from error
    except (RuntimeError, EOFError) as error:  # another checksum, or an archive that ends too soon
        shutil.rmtree(part)
        raise OSError(f"the archive of LibriTTS {subset} came damaged ({error}): run the command again") from error
