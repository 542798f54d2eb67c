"""Read the text out of the packages: SWORD modules, an R data base, npm tarballs. Each yields one string a document."""

import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

BREAKS = re.compile(
    r"(<lb[^>]*>|<br ?/?>|</p>|<p/?>|</div>|<div[^>]*>|<milestone[^>]*>|<chapter[^>]*>|<title[^>]*>|</title>)"
)
INLINE = re.compile(r"</?(q|w|transChange|hi|divineName|seg|scripRef|foreign|i|b|verse)\b[^>]*>")
NOTE = re.compile(r"<note.*?</note>", re.S)
TAG = re.compile(r"<[^>]+>")


def sword(module: Path, pattern: str) -> Iterator[str]:
    """A compressed SWORD module: an index file (..s) of 12-byte entries (offset, packed size, unpacked size) into zlib blocks."""
    for packed in sorted(module.glob(pattern), reverse=True):
        data = packed.read_bytes()
        index = packed.with_name(packed.name[:-1] + "s").read_bytes()
        for offset, size, _ in struct.iter_unpack("<III", index[: len(index) // 12 * 12]):
            try:
                text = zlib.decompress(data[offset : offset + size]).decode("utf8", "replace")
            except zlib.error:
                continue
            text = BREAKS.sub("\n\n", NOTE.sub("", text))
            yield TAG.sub(" ", INLINE.sub("", text))


def zlib_streams(data: bytes) -> Iterator[bytes]:
    """The zlib streams in an R lazy-load data base, each after a header of 4 or 5 bytes."""
    at = 0
    while at < len(data) - 6:
        for header in (4, 5):
            if data[at + header] != 0x78:
                continue
            stream = zlib.decompressobj()
            try:
                unpacked = stream.decompress(data[at + header :])
            except zlib.error:
                continue
            at = len(data) - len(stream.unused_data)
            yield unpacked
            break
        else:
            at += 1


def r_strings(serialised: bytes) -> list[str]:
    """Character strings in R's XDR serialisation: bytes 00 09 end the header, then a big-endian length."""
    out, at = [], 0
    while True:
        found = serialised.find(b"\x00\x09", at)
        if found < 0 or found + 6 > len(serialised):
            return out
        (length,) = struct.unpack_from(">i", serialised, found + 2)
        end = found + 6 + length
        if 0 <= length < 400 and end <= len(serialised):
            out.append(serialised[found + 6 : end].decode("latin1"))
            at = end
        else:
            at = found + 1


def r_database(path: Path) -> Iterator[str]:
    """One document for each large character vector (a novel, one line a string), in file order."""
    for stream in zlib_streams(path.read_bytes()):
        lines = r_strings(stream)
        if len(lines) > 500:
            yield "\n".join(lines)


def tarball(path: Path, member: str) -> Iterator[str]:
    """Members whose name matches the expression, sorted by name."""
    with tarfile.open(path) as tar:
        for info in sorted(tar.getmembers(), key=lambda m: m.name):
            if re.search(member, info.name):
                yield tar.extractfile(info).read().decode("utf8", "replace")
