"""Reading the header of a GGUF file: metadata and tensor table, never the weights.

A GGUF file is untrusted input, and llama.cpp ends its process on several kinds of
damage. So every count, length and offset is checked here, against the format's
limits and the file's real length, before anything native sees the file. What is
read is bounded by HEADER_BYTES. The reader works on ordinary reads, not on a
mapping: a file that is cut short meanwhile is an error, not a SIGBUS.
"""

from __future__ import annotations

import stat
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rlm_local.errors import ModelFileError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
HEADER_BYTES = 256 << 20
_ENTRIES = 1 << 16  # metadata keys, or tensors
_ITEMS = 1 << 23  # items of all arrays together
_STRING_BYTES = 16 << 20
_DIMENSIONS = 4
_NAME_BYTES = 63  # llama.cpp's longest tensor name
_READ_BYTES = 4 << 20

Scalar = int | float | bool | str
Value = Scalar | list[int] | list[float] | list[bool] | list[str]


class TensorType(NamedTuple):
    """How numbers are stored: blocks of `block` numbers in `size` bytes each."""

    name: str
    block: int
    size: int


TENSOR_TYPES = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 36),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    15: TensorType("Q8_K", 256, 292),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    24: TensorType("I8", 1, 1),
    25: TensorType("I16", 1, 2),
    26: TensorType("I32", 1, 4),
    27: TensorType("I64", 1, 8),
    28: TensorType("F64", 1, 8),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
    42: TensorType("Q2_0", 64, 18),
}

_STRING, _ARRAY = 8, 9
# GGUF's value types that have a fixed size, as struct formats.
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Tensor(NamedTuple):
    """An entry of the tensor table. `offset` counts from the start of the tensor data."""

    name: str
    shape: tuple[int, ...]  # as stored: the row length first
    type: TensorType
    offset: int
    size: int

    @property
    def elements(self) -> int:
        return self.size // self.type.size * self.type.block


class Gguf(NamedTuple):
    """The header of one file. `data_offset`: where the tensor data starts.

    `array_types` holds the item type of each array in `metadata`, as a struct
    format letter, "s" for strings: llama.cpp reads some arrays by pointer.
    `number_types` holds that of each number: it ends its process on some others.
    """

    path: Path
    version: int
    metadata: dict[str, Value]
    array_types: dict[str, str]
    number_types: dict[str, str]
    tensors: dict[str, Tensor]
    alignment: int
    data_offset: int
    file_bytes: int

    @property
    def tensor_bytes(self) -> int:
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors.values())


def read(path: Path) -> Gguf:
    """Read and check the header of `path`. Raises ModelFileError."""
    try:
        with _open(path) as file:
            return _Reader(path, file).gguf()
    except FileNotFoundError:
        raise ModelFileError(
            f"there is no model file {path}", hint="see `rlm-local models list`"
        ) from None
    except OSError as error:
        raise ModelFileError(f"cannot read the model file {path}: {error.strerror}") from error


def _open(path: Path) -> BinaryIO:
    # Looked at before it is opened: opening a FIFO would wait for a writer.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ModelFileError(f"{path} is not a regular file", hint="name a .gguf file")
    return path.open("rb")


class _Reader:
    """A cursor over the header. Every method raises ModelFileError at damage."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._file_bytes = file.seek(0, 2)
        file.seek(0)
        self._buffer = b""
        self._at = 0  # in the buffer
        self._base = 0  # of the buffer in the file
        self._items = 0  # of all arrays so far
        self._array_types: dict[str, str] = {}
        self._number_types: dict[str, str] = {}

    def gguf(self) -> Gguf:
        version, tensor_count, entry_count = self._preamble()
        metadata = self._metadata(entry_count)
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 16 or alignment & alignment - 1:
            raise self._damage(f"its alignment is {alignment!r}, not a power of two up to 65,536")
        tensors = self._tensors(tensor_count, alignment)
        data_offset = _padded(self._base + self._at, alignment)
        end = data_offset + max((t.offset + t.size for t in tensors.values()), default=0)
        if end > self._file_bytes:
            raise ModelFileError(
                f"{self._path} is cut short: it has {self._file_bytes:,} bytes, and its tensors "
                f"need {end:,}",
                hint="fetch the file again",
            )
        return Gguf(
            self._path,
            version,
            metadata,
            self._array_types,
            self._number_types,
            tensors,
            alignment,
            data_offset,
            self._file_bytes,
        )

    def _preamble(self) -> tuple[int, int, int]:
        if not self._file_bytes:
            raise ModelFileError(f"{self._path} is empty", hint="fetch the file again")
        if self._file_bytes < 24 or self._take(4) != MAGIC:
            raise ModelFileError(
                f"{self._path} is not a GGUF file: it does not begin with 'GGUF'",
                hint="convert the model with llama.cpp's convert_hf_to_gguf.py",
            )
        version: int
        tensor_count: int
        entry_count: int
        version, tensor_count, entry_count = struct.unpack("<IQQ", self._take(20))
        if version not in VERSIONS:
            raise ModelFileError(
                f"{self._path} has GGUF version {version}, and versions 2 and 3 are read",
                hint="a big-endian file must be converted"
                if version & 0xFFFF == 0
                else "convert the model with a current llama.cpp",
            )
        for count, what in ((tensor_count, "tensors"), (entry_count, "metadata keys")):
            if count > _ENTRIES:
                raise self._damage(f"it claims {count:,} {what}, and {_ENTRIES:,} are allowed")
        return version, tensor_count, entry_count

    def _metadata(self, count: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        for _ in range(count):
            key = self._string()
            if key in metadata:
                raise self._damage(f"its metadata key {key!r} occurs twice")
            metadata[key] = self._value(key)
        return metadata

    def _value(self, key: str) -> Value:
        kind = self._u32()
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            self._number_types[key] = _FIXED.get(kind, "")
            return self._numbers(key, kind, 1)[0]
        item_kind = self._u32()
        count = self._u64()
        self._items += count
        if self._items > _ITEMS:
            raise self._damage(f"{key!r} claims {count:,} items, and {_ITEMS:,} are allowed in all")
        self._array_types[key] = "s" if item_kind == _STRING else _FIXED.get(item_kind, "")
        if item_kind == _STRING:
            return [self._string() for _ in range(count)]
        return self._numbers(key, item_kind, count)

    def _numbers(self, key: str, kind: int, count: int) -> list[int]:
        letter = _FIXED.get(kind)
        if letter is None:
            raise self._damage(f"{key!r} has the unknown value type {kind}")
        form = f"<{count}{letter}"
        return list(struct.unpack(form, self._take(struct.calcsize(form))))

    def _tensors(self, count: int, alignment: int) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        expected = 0
        for _ in range(count):
            tensor = self._tensor()
            if tensor.name in tensors:
                raise self._damage(f"the tensor {tensor.name!r} occurs twice")
            # llama.cpp's own rule: in the table's order, padded, without gaps.
            if tensor.offset != expected:
                raise self._damage(
                    f"the tensor {tensor.name!r} is at offset {tensor.offset:,} instead of "
                    f"{expected:,}"
                )
            expected = _padded(tensor.offset + tensor.size, alignment)
            tensors[tensor.name] = tensor
        return tensors

    def _tensor(self) -> Tensor:
        name = self._string()
        if not name or len(name.encode()) > _NAME_BYTES:
            raise self._damage(f"a tensor's name has {len(name):,} characters, not 1 to 63")
        dimensions = self._u32()
        if not 1 <= dimensions <= _DIMENSIONS:
            raise self._damage(f"the tensor {name!r} has {dimensions:,} dimensions, not 1 to 4")
        shape = tuple(self._u64() for _ in range(dimensions))
        type_number, offset = struct.unpack("<IQ", self._take(12))
        kind = TENSOR_TYPES.get(type_number)
        if kind is None:
            raise self._damage(f"the tensor {name!r} has the unknown type {type_number}")
        elements = 1
        for extent in shape:
            elements *= extent
        if not 0 < elements < 1 << 50:
            raise self._damage(f"the tensor {name!r} has the shape {shape}")
        if shape[0] % kind.block:
            raise self._damage(
                f"the rows of {name!r} have {shape[0]:,} numbers, not a multiple of "
                f"{kind.name}'s {kind.block}"
            )
        return Tensor(name, shape, kind, offset, elements // kind.block * kind.size)

    def _string(self) -> str:
        length = self._u64()
        if length > _STRING_BYTES:
            raise self._damage(f"a string claims {length:,} bytes, and 16 MiB are allowed")
        raw = self._take(length)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self._damage(f"the string {raw[:20]!r} is not UTF-8") from None

    def _u32(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _u64(self) -> int:
        return int.from_bytes(self._take(8), "little")

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._buffer):
            self._fill(count)
            end = count
        taken = self._buffer[self._at : end]
        self._at = end
        return taken

    def _fill(self, count: int) -> None:
        """Move the buffer on, so that it begins at the cursor and holds `count` bytes."""
        self._base += self._at
        rest = self._buffer[self._at :]
        if self._base + count > self._file_bytes:
            raise ModelFileError(
                f"{self._path} is cut short: its header goes on after its {self._file_bytes:,} "
                "bytes",
                hint="fetch the file again",
            )
        if self._base + count > HEADER_BYTES:
            raise self._damage(f"its header is longer than {HEADER_BYTES:,} bytes")
        self._buffer = rest + self._file.read(max(count - len(rest), _READ_BYTES))
        self._at = 0
        if len(self._buffer) < count:
            raise ModelFileError(f"{self._path} was cut short while it was read", hint="try again")

    def _damage(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self._path} is damaged: {what}", hint="fetch the file again")


def _padded(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
