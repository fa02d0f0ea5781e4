"""Files of codes of the published program `dac`, read as data: nothing in them is run."""

import io
import math
import pickle
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from qcodec.bitstream.codes import Codes
from qcodec.bitstream.header import MAX_CHANNELS

_VERSION = "1.0.0"
_KINDS = ("u1", "u2", "u4", "i2", "i4", "i8", "f4", "f8", "O8")
_MOST = {"chunk_length": 2**40, "original_length": 2**40, "channels": MAX_CHANNELS, "sample_rate": 2**24}


@final
@dataclass(frozen=True)
class DacFile:
    """What a ``.dac`` file holds.

    Attributes:
        codes: ``(C, n, T)``, channels as clips.
        chunk_length: Frames that are decoded at once.
        original_length: Samples per channel of the recording.
        input_db: Loudness of the recording in LUFS, one number or one for each channel.
        channels: Number of channels, C.
        sample_rate: Rate of the recording in Hz.
        padding: Whether chunks are decoded with zeros around them, or give fewer samples than their frames have.
    """

    codes: Codes
    chunk_length: int
    original_length: int
    input_db: NDArray[np.float32]
    channels: int
    sample_rate: int
    padding: bool


def write_dac(file: BinaryIO, content: DacFile) -> None:
    """Write codes as ``dac.DACFile.save`` does."""
    metadata = {
        "input_db": content.input_db.astype(np.float32),
        "original_length": content.original_length,
        "sample_rate": content.sample_rate,
        "chunk_length": content.chunk_length,
        "channels": content.channels,
        "padding": content.padding,
        "dac_version": _VERSION,
    }
    np.save(file, np.array({"codes": content.codes.astype(np.uint16), "metadata": metadata}, dtype=object))


def read_dac(file: BinaryIO) -> DacFile:
    """Read codes that ``dac`` or ``write_dac`` wrote.

    The file is a pickle. Of all that a pickle can call only stand-ins for numpy's arrays are known, which do nothing
    but copy their bytes, so that a file can neither run code nor ask for more memory than it has bytes.

    Raises:
        ValueError: For a file that is no such file, is damaged, or asks for anything else to be run.
    """
    _skip_npy_header(file)
    try:
        content = _Unpickler(io.BytesIO(file.read())).load().value
    except _RefusedError:
        raise
    except Exception as error:  # a pickle can fail in any way
        raise ValueError(f"is no .dac file, or damaged ({type(error).__name__})") from None
    try:
        metadata = content["metadata"]
        return _checked(content["codes"].value, metadata["input_db"].value, metadata)
    except (KeyError, TypeError, AttributeError, IndexError):
        raise ValueError("is no .dac file: it holds something else") from None


def _skip_npy_header(file: BinaryIO) -> None:
    try:
        known = np.lib.format.read_magic(file) == (1, 0)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception:  # numpy lets errors of Python's own tokenizer through
        raise ValueError("is no .dac file") from None
    if not known or shape != () or dtype.kind != "O":
        raise ValueError("is no .dac file: it holds an array of numbers")


def _checked(codes: Any, loudness: Any, metadata: Any) -> DacFile:
    if metadata["dac_version"] != _VERSION:
        raise ValueError(f"is of version {metadata['dac_version']!r:.20} of .dac files, and only {_VERSION} is known")
    numbers = {name: metadata[name] for name in _MOST}
    if any(type(value) is not int or not 1 <= value <= _MOST[name] for name, value in numbers.items()):
        raise ValueError("is a damaged .dac file: a length, rate or channel count is no positive number, or too large")
    loudness = np.atleast_1d(loudness).astype(np.float32)
    fits = codes.ndim == 3 and codes.size and len(codes) == numbers["channels"]
    if not fits or codes.dtype.kind not in "iu" or codes.min() < 0 or type(metadata["padding"]) is not bool:
        raise ValueError("is a damaged .dac file: its codes are none of its channels")
    if loudness.shape not in ((1,), (len(codes),)) or not np.isfinite(loudness).all() or abs(loudness).max() > 200:
        raise ValueError("is a damaged .dac file: its loudness is no number")
    return DacFile(codes.astype(np.int64), input_db=loudness, padding=metadata["padding"], **numbers)


class _RefusedError(ValueError):
    """A refusal by this module, as against the other errors that a pickle can raise."""


class _Kind:
    """Stands for ``numpy.dtype``."""

    def __init__(self, name: str, *flags: bool) -> None:
        if name not in _KINDS:
            raise _RefusedError(f"is a damaged .dac file: it holds numbers of kind {name!r:.20}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise _RefusedError("is a damaged .dac file: its numbers have no known byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray``: of numbers, or of one other object."""

    def __init__(self, *start: object) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if kind.dtype.kind == "O" and shape == () and type(data) is list:
            (self.value,) = data
        elif type(data) is bytes and math.prod(shape) * kind.dtype.itemsize == len(data) and kind.dtype.kind != "O":
            self.value = np.frombuffer(data, kind.dtype).reshape(shape, order="F" if fortran else "C")
        else:
            raise _RefusedError("is a damaged .dac file: an array has another size than it claims")


_STAND_INS: dict[tuple[str, str], type] = {
    (place, "_reconstruct"): _Array for place in ("numpy.core.multiarray", "numpy._core.multiarray")
}
_STAND_INS |= {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Kind}


@final
class _Unpickler(pickle._Unpickler):  # that in C takes memory for as many objects as a file claims
    dispatch: ClassVar[Any] = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for one of the few names that are known."""
        if (module, name) not in _STAND_INS:
            raise _RefusedError(f"wants {f'{module}.{name}'!r:.60} to be run, which no .dac file needs: it is refused")
        return _STAND_INS[module, name]
