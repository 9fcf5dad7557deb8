"""What a file is, by its first bytes."""

from __future__ import annotations

MAGIC_NUMBERS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
}
RIFF, WEBP = b"RIFF", b"WEBP"

# What people send that is not read: told by name, because "not a JPEG" sends them looking.
REFUSED_MAGIC_NUMBERS = {
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",  # BigTIFF
    b"MM\x00+": "TIFF",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",  # without the container
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"%PDF-": "PDF",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM video",
    b"FLV\x01": "FLV video",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "Windows Media video",
    b"OggS": "an Ogg file",
    b"\x00\x00\x01\xba": "MPEG video",
    b"\x00\x00\x01\xb3": "MPEG video",
}
# Brands of an ISO base media file (ISO 14496-12, 4.3; of HEIF, ISO 23008-12, B.4; of AVIF, 4 to 6).
HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
AVIF_BRANDS = frozenset({b"avif", b"avis"})
QUICKTIME_BRAND = b"qt  "
# Of compatible brands that are looked at; files have a handful.
BRANDS_BYTES = 128
TRANSPORT_PACKET_BYTES, TRANSPORT_SYNC = 188, b"G"
# NAL units that an Annex B stream begins with: the delimiter and the parameter sets.
H264_TYPES, H265_TYPES = frozenset({7, 8, 9}), frozenset({32, 33, 34, 35})


def format_of(data: bytes) -> str | None:
    """Return the format that a file begins like, as Pillow calls it; None if it is not read."""
    if data[:4] == RIFF and data[8:12] == WEBP:
        return "WEBP"
    return next((name for magic, name in MAGIC_NUMBERS.items() if data.startswith(magic)), None)


def refused_format(data: bytes) -> str | None:
    """Return the name of a format that is known and not read; None for what nobody knows."""
    if data[4:8] == b"ftyp":
        return _media_file(data)
    if data[:4] == RIFF and data[8:12] == b"AVI ":
        return "AVI video"
    if data[:1] == data[TRANSPORT_PACKET_BYTES : TRANSPORT_PACKET_BYTES + 1] == TRANSPORT_SYNC:
        return "an MPEG transport stream"
    for magic, name in REFUSED_MAGIC_NUMBERS.items():
        if data.startswith(magic):
            return name
    return _video_stream(data)


def _media_file(data: bytes) -> str:
    size = min(int.from_bytes(data[:4], "big"), BRANDS_BYTES)
    brand = data[8:12]
    # Behind the major brand comes its version, and then those that it is compatible with.
    brands = {brand, *(data[at : at + 4] for at in range(16, size, 4))}
    if AVIF_BRANDS & brands:
        return "AVIF"
    if HEIC_BRANDS & brands:
        return "HEIC"
    return "QuickTime video" if brand == QUICKTIME_BRAND else "MP4 video"


def _video_stream(data: bytes) -> str | None:
    """Return whether it is a stream of H.264 or H.265 as it comes from a camera (Annex B)."""
    start = data[:5].find(b"\x00\x00\x01")
    if start < 0 or len(data) < start + 5:
        return None
    header, behind = data[start + 3], data[start + 4]
    if header & 0x1F in H264_TYPES and header < 0x80:
        return "H.264 video"
    return "H.265 video" if header >> 1 in H265_TYPES and behind == 1 else None
