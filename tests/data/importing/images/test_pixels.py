"""What every kind of image file decodes to: one file for each row of the tables in docs/what-is-read.md.

The files are written byte by byte, since Pillow writes only some of them, after their formats' documents: PNG (W3C
recommendation, third edition), TIFF 6.0 (Adobe, 1992), BMP (Microsoft, BITMAPINFOHEADER and BITMAPV4HEADER).
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cabench.data.importing.images.pixels import RULES, UnusableImageError, read_header, read_pixels

PAGE = Path(__file__).parents[4] / "docs" / "what-is-read.md"
SHAPE = (8, 11)
ORIENTATION = 274
Made = tuple[bytes, np.ndarray | None]  # a file; (channels, height, width) as wanted, or None if it is refused
Key = tuple[str, str, int]


# Writers


def packed(samples: np.ndarray, bits: int, order: str = ">") -> bytes:
    """Rows of unsigned (height, width, samples) values of `bits` bits, each row filled up to whole bytes."""
    flat = samples.reshape(len(samples), -1)
    if bits in (8, 16, 32):
        return flat.astype(f"{order}u{bits // 8}").tobytes()
    planes = (flat[..., None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(planes.reshape(len(flat), -1).astype(np.uint8), axis=1).tobytes()


def exif_of(orientation: int) -> bytes:
    """An EXIF block of nothing but the orientation."""
    return b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, ORIENTATION, 3, 1, orientation, 0, 0)


def png(
    samples: np.ndarray,
    bits: int,
    colour_type: int,
    *,
    palette: bytes = b"",
    transparent: bytes = b"",
    orientation: int = 0,
    chunks: bytes = b"",
) -> bytes:
    """A PNG file of (height, width, samples) values.

    Args:
        samples: unsigned, below 2**bits.
        bits: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 colour, 3 palette, 4 grey with alpha, 6 colour with alpha.
        palette: of PLTE.
        transparent: of tRNS.
        orientation: of eXIf; 0 = none.
        chunks: others, as `chunk` makes them.
    """
    height, width, _ = samples.shape
    packed_rows = packed(samples, bits)
    length = len(packed_rows) // height
    rows = b"".join(b"\0" + packed_rows[start : start + length] for start in range(0, len(packed_rows), length))
    optional = [(b"PLTE", palette), (b"tRNS", transparent), (b"eXIf", exif_of(orientation) if orientation else b"")]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
        + chunks
        + b"".join(chunk(kind, content) for kind, content in optional if content)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(
    samples: np.ndarray,
    bits: int,
    photometric: int,
    *,
    extra: int | None = None,
    palette: np.ndarray | None = None,
    orientation: int = 0,
    sample_format: int = 1,
    order: str = "<",
) -> bytes:
    """An uncompressed TIFF file of one strip.

    Args:
        samples: unsigned (height, width, samples), below 2**bits; the last is alpha where `extra` is given.
        bits: of each sample.
        photometric: tag 262: 0 white is zero, 1 black is zero, 2 colour, 3 palette, 5 CMYK, 6 YCbCr, 8 Lab.
        extra: tag 338: 0 unspecified, 1 premultiplied alpha, 2 alpha.
        palette: uint16 (3, 2**bits).
        orientation: tag 274; 0 = none.
        sample_format: tag 339: 1 unsigned, 2 signed, 3 floats.
        order: "<" or ">", of bytes.
    """
    height, width, count = samples.shape
    content = packed(samples, bits, order)
    tags: dict[int, tuple[str, list[int]]] = {
        **{256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * count), 259: ("H", [1])},
        **{262: ("H", [photometric]), 277: ("H", [count]), 278: ("I", [height]), 279: ("I", [len(content)])},
        339: ("H", [sample_format] * count),
    }
    if orientation:
        tags[ORIENTATION] = ("H", [orientation])
    if extra is not None:
        tags[338] = ("H", [extra])
    if palette is not None:
        tags[320] = ("H", palette.ravel().tolist())
    if photometric == 6:
        tags[530] = ("H", [1, 1])  # no subsampling
    tags[273] = ("I", [8])  # the strip comes first
    entries, values, start = b"", b"", 8 + len(content) + len(content) % 2
    after = start + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, numbers = tags[tag]
        encoded = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        place = encoded.ljust(4, b"\0")
        if len(encoded) > 4:
            place = struct.pack(f"{order}I", after + len(values))
            values += encoded
        entries += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[kind], len(numbers)) + place
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    return header + content + b"\0" * (len(content) % 2) + directory + values


def bmp(values: np.ndarray, bits: int, *, palette: np.ndarray | None = None, masks: tuple[int, ...] = ()) -> bytes:
    """An uncompressed BMP file.

    Args:
        values: unsigned (height, width), each below 2**bits: a pixel, such as 0x00RRGGBB, or an index.
        bits: of a pixel: 1, 4, 8, 16, 24 or 32.
        palette: uint8 (entries, 3) red, green, blue.
        masks: of red, green, blue and alpha, for 16 and 32 bits.
    """
    height, width = values.shape
    if bits < 8:
        rows = packed(values[..., None], bits)
    else:
        rows = values.astype("<u4").view(np.uint8).reshape(height, width, 4)[..., : bits // 8].tobytes()
    length = len(rows) // height
    lines = [rows[start : start + length] for start in range(0, len(rows), length)]
    content = b"".join(line.ljust(-(-length // 4) * 4, b"\0") for line in reversed(lines))
    table = b"" if palette is None else b"".join(bytes([blue, green, red, 0]) for red, green, blue in palette)
    extra = b"" if not masks else struct.pack("<4I", *masks) + b"\0" * 52
    info_size, used = 40 + len(extra), 0 if palette is None else len(palette)
    start = 14 + info_size + len(table)
    info = struct.pack(
        "<IiiHHIIiiII", info_size, width, height, 1, bits, 3 if masks else 0, len(content), 2835, 2835, used, 0
    )
    return struct.pack("<2sIHHI", b"BM", start + len(content), 0, 0, start) + info + extra + table + content


# Rows of the page, and a file for each


def table(header: str) -> list[list[str]]:
    """The rows of one table of the page."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(header) + 2
    rows = []
    while lines[start].startswith("|"):
        rows.append([cell.strip() for cell in lines[start].strip("|").split("|")])
        start += 1
    return rows


KINDS: dict[Key, str] = {
    (file_format, kind, int(bits)): become
    for file_format, kind, every, become in table("| format | pixels | bits | become |")
    for bits in every.split(",")
}
TAGS = {
    (file_format, tag): meaning
    for formats, tags, meaning in table("| format | tag | the stored image is |")
    for file_format in formats.split(", ")
    for tag in tags.split(", ")
}


def values(bits: int, samples: int = 1, seed: int = 0) -> np.ndarray:
    """Every one of the first values at least once, where there is room."""
    drawn = np.random.default_rng([seed, bits, samples]).integers(0, 2**bits, (*SHAPE, samples))
    drawn[0, : min(2, SHAPE[1])] = [[0] * samples, [2**bits - 1] * samples]
    return drawn


def spread(grey: np.ndarray, bits: int) -> np.ndarray:
    """(1, height, width) of values whose largest becomes 255."""
    return (grey * (255 // (2**bits - 1))).transpose(2, 0, 1)


def planes(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(2, 0, 1)


def opaque(samples: np.ndarray, bits: int) -> np.ndarray:
    """The samples with an alpha of all ones."""
    return np.dstack([samples, np.full(SHAPE, 2**bits - 1)])


def palette_of(bits: int) -> np.ndarray:
    """uint8 (2**bits, 3) colours."""
    return np.random.default_rng(bits).integers(0, 256, (2**bits, 3)).astype(np.uint8)


def inked(cmyk: np.ndarray) -> np.ndarray:
    """(3, height, width) colours of (height, width, 4) inks: what they leave of white."""
    left = 255 - cmyk.astype(float)
    return planes(np.round(left[..., :3] * left[..., 3:] / 255))


def of_png(kind: str, bits: int, tag: int = 0) -> Made:
    samples = {"grey": 1, "palette": 1, "colour": 3}[kind.split()[0].rstrip(",")]
    code = {"grey": 0, "grey with alpha": 4, "palette": 3, "colour": 2, "colour with alpha": 6}[kind.split(",")[0]]
    drawn = values(bits, samples)
    wanted: np.ndarray | None = spread(drawn, bits) if bits < 8 else planes(drawn)
    options: dict[str, bytes] = {}
    if kind == "palette":
        colours = palette_of(bits)
        options["palette"], wanted = colours.tobytes(), planes(colours[drawn[..., 0]])
    if "transparent" in kind:
        drawn[drawn == 1] = 2 if bits > 1 else 0
        options["transparent"] = struct.pack(f">{samples}H", *[1] * samples)
        wanted = planes(drawn)
    if "alpha" in kind:
        drawn = opaque(drawn, bits)
    return png(drawn, bits, code, orientation=tag, **options), wanted


def of_tiff(kind: str, bits: int, tag: int = 0, order: str = "<") -> Made:
    bases = {"black": (1, 1), "white": (0, 1), "palette": (3, 1), "colour": (2, 3), "CMYK": (5, 4), "YCbCr": (6, 3)}
    photometric, samples = (bases | {"Lab": (8, 3)})[kind.split()[0]]
    drawn = values(bits, samples)
    options: dict[str, object] = {"order": order, "orientation": tag}
    wanted: np.ndarray | None = spread(drawn, bits) if bits < 8 else planes(drawn)
    if photometric == 0 and wanted is not None:
        wanted = (65_535 if bits == 16 else 255) - wanted
    if photometric == 3:
        colours = palette_of(bits)
        options["palette"] = colours.T.astype(np.uint16) * 257
        wanted = planes(colours[drawn[..., 0]])
    if photometric == 5:
        wanted = inked(drawn)
    if "alpha" in kind or "unknown" in kind:
        drawn, options["extra"] = opaque(drawn, bits), 2 if "alpha" in kind else 0
    options["sample_format"] = 2 if "signed" in kind else 3 if "floats" in kind else 1
    if kind == "YCbCr in JPEG":
        image = Image.fromarray(values(8, 3).astype(np.uint8)).convert("YCbCr")
        written, exif = io.BytesIO(), Image.Exif()
        exif[ORIENTATION] = tag or 1
        image.save(written, "TIFF", compression="jpeg", quality=95, exif=exif)
        plain = io.BytesIO()
        image.save(plain, "TIFF", compression="jpeg", quality=95)
        return written.getvalue(), planes(np.asarray(Image.open(plain).convert("RGB")))
    return tiff(drawn, bits, photometric, **options), wanted


def of_bmp(kind: str, bits: int, tag: int = 0) -> Made:
    if kind == "palette":
        drawn, colours = values(bits), palette_of(bits)
        return bmp(drawn[..., 0], bits, palette=colours), planes(colours[drawn[..., 0]])
    if bits == 16:  # five bits a channel
        five = values(5, 3)
        pixels = five @ np.array([1 << 10, 1 << 5, 1])
        return bmp(pixels, 16), planes(five * 255 // 31)
    colours = values(8, 3)
    pixels = colours @ np.array([1 << 16, 1 << 8, 1])
    if kind == "colour with alpha":
        masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        return bmp(pixels + (255 << 24), 32, masks=masks), planes(colours)
    return bmp(pixels + (77 << 24) * (bits == 32), bits), planes(colours)


def of_jpeg(kind: str, bits: int, tag: int = 0) -> Made:
    samples = {"grey": 1, "colour": 3, "CMYK": 4}[kind]
    # Blocks of one value each, and no loss beyond rounding.
    drawn = np.kron(values(bits, samples)[:1, :2], np.ones((8, 8, 1), int)).astype(np.uint8)
    image = Image.fromarray(drawn[..., 0] if samples == 1 else drawn, "CMYK" if samples == 4 else None)
    exif, written = Image.Exif(), io.BytesIO()
    if tag:
        exif[ORIENTATION] = tag
    image.save(written, "JPEG", quality=100, subsampling=0, exif=exif)
    return written.getvalue(), inked(drawn) if samples == 4 else planes(drawn)


MAKERS: dict[str, Callable[..., Made]] = {"PNG": of_png, "TIFF": of_tiff, "BMP": of_bmp, "JPEG": of_jpeg}


def read(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    header, pixels = read_header(path), read_pixels(path)
    assert pixels.shape == (1 if header.channels == "grey" else 3, header.height, header.width)
    assert pixels.dtype == (np.uint8 if header.bits == 8 else np.uint16)
    return pixels


def test_the_page_lists_what_the_rules_read_and_no_more() -> None:
    rules = {(f, kind, bits) for f, kinds in RULES.items() for kind, by_bits in kinds.items() for bits in by_bits}
    assert rules == {key for key, become in KINDS.items() if become != "refused"}
    assert all(not become.startswith("refused") or become == "refused" for become in KINDS.values())


@pytest.mark.parametrize("key", KINDS, ids=str)
def test_pixels_become_what_the_page_says(tmp_path: Path, key: Key) -> None:
    file_format, kind, bits = key
    content, wanted = MAKERS[file_format](kind, bits)
    if KINDS[key] == "refused":
        for use in (read_header, read_pixels):
            (tmp_path / "one").write_bytes(content)
            with pytest.raises(UnusableImageError) as caught:
                use(tmp_path / "one")
            assert "kind that is not read" in caught.value.reason or f"{kind}, {bits} bits" in caught.value.reason
            assert "save it as grey or RGB with 8 bits" in caught.value.advice
        return
    pixels = read(tmp_path / "one", content)
    assert len(pixels) == (1 if KINDS[key].startswith("grey") else 3)
    np.testing.assert_allclose(pixels, wanted, atol=2 if file_format == "JPEG" else 1 if "CMYK" in kind else 0)
    assert read_header(tmp_path / "one").kind == f"{kind}, {bits} bits"
    assert ("--range" in KINDS[key]) == (pixels.dtype == np.uint16)


@pytest.mark.parametrize("file_format", MAKERS)
def test_every_kind_is_turned_once_by_every_tag(tmp_path: Path, file_format: str) -> None:
    """By Pillow's own function for turning, applied to what the file without a tag decodes to."""
    tags = [0 if tag == "none" else int(tag) for other, tag in TAGS if other == file_format]
    assert tags == ([0] if file_format == "BMP" else list(range(9)))
    for kind, every in RULES[file_format].items():
        for bits in every:
            plain = read(tmp_path / "plain", MAKERS[file_format](kind, bits)[0])
            for tag in tags:
                turned = read(tmp_path / "turned", MAKERS[file_format](kind, bits, tag)[0])
                np.testing.assert_array_equal(turned, upright(plain, tag), err_msg=f"{kind}, {bits} bits, tag {tag}")
                assert read_header(tmp_path / "turned").turned == (tag > 1)


def upright(stored: np.ndarray, tag: int) -> np.ndarray:
    """What Pillow makes of each plane, as 32-bit numbers, if a file says this tag."""
    made = []
    for plane in stored:
        image = Image.fromarray(plane.astype(np.int32))
        image.getexif()[ORIENTATION] = tag
        made.append(np.asarray(ImageOps.exif_transpose(image)))
    return np.stack(made)


MEANINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda image: image,
    "mirrored": np.fliplr,
    "turned by half": lambda image: np.rot90(image, 2),
    "flipped upside down": np.flipud,
    "mirrored, then turned left by a quarter": lambda image: np.rot90(np.fliplr(image), 1),
    "turned right by a quarter": lambda image: np.rot90(image, -1),
    "mirrored, then turned right by a quarter": lambda image: np.rot90(np.fliplr(image), -1),
    "turned left by a quarter": lambda image: np.rot90(image, 1),
}


@pytest.mark.parametrize("key", TAGS, ids=str)
def test_tags_mean_what_the_page_says(tmp_path: Path, key: tuple[str, str]) -> None:
    file_format, tag = key
    kind = {"PNG": ("grey", 8), "JPEG": ("grey", 8), "TIFF": ("black is zero", 8), "BMP": ("colour", 24)}[file_format]
    content, wanted = MAKERS[file_format](*kind, 0 if tag == "none" else int(tag))
    assert wanted is not None
    expected = np.stack([MEANINGS[TAGS[key]](plane) for plane in wanted])
    np.testing.assert_allclose(read(tmp_path / "one", content), expected, atol=1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_files_of_either_byte_order_are_the_same(tmp_path: Path, bits: int, order: str) -> None:
    content, wanted = of_tiff("black is zero", bits, order=order)
    np.testing.assert_array_equal(read(tmp_path / "one", content), wanted)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_greys_are_grey(tmp_path: Path, bits: int) -> None:
    drawn, levels = values(bits), np.random.default_rng(bits).permutation(256)[: 2**bits].astype(np.uint8)
    colours, wanted = np.repeat(levels[:, None], 3, axis=1), planes(levels[drawn])
    files = [
        png(drawn, bits, 3, palette=colours.tobytes()),
        tiff(drawn, bits, 3, palette=colours.T.astype(np.uint16) * 257),
        *([] if bits == 2 else [bmp(drawn[..., 0], bits, palette=colours)]),
    ]
    for content in files:
        np.testing.assert_array_equal(read(tmp_path / "one", content), wanted)
    rising = np.repeat((np.arange(2**bits) * (255 // (2**bits - 1)))[:, None], 3, axis=1)
    if bits != 2:
        content = bmp(drawn[..., 0], bits, palette=rising.astype(np.uint8))
        np.testing.assert_array_equal(read(tmp_path / "one", content), spread(drawn, bits))


def transparent() -> dict[str, bytes]:
    """Files of every kind that can be transparent, with one pixel that is."""
    grey, colour = values(8), values(8, 3)
    holed = opaque(grey, 8)
    holed[3, 4, 1] = 254
    colour_holed = opaque(colour, 8)
    colour_holed[3, 4, 3] = 0
    key = struct.pack(">3H", *colour[2, 2])
    colours = palette_of(8)
    inside = bmp(colour @ np.array([1 << 16, 1 << 8, 1]), 32, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    return {
        "PNG, grey with alpha": png(holed, 8, 4),
        "PNG, colour with alpha": png(colour_holed, 8, 6),
        "PNG, grey, one value transparent": png(grey, 8, 0, transparent=struct.pack(">H", grey[2, 2, 0])),
        "PNG, colour, one value transparent": png(colour, 8, 2, transparent=key),
        "PNG, palette": png(grey, 8, 3, palette=colours.tobytes(), transparent=b"\xff" * int(grey[1, 1, 0]) + b"\x80"),
        "PNG, palette, 1 bit": png(values(1), 1, 3, palette=palette_of(1).tobytes(), transparent=b"\0"),
        "TIFF, grey with alpha": tiff(holed, 8, 1, extra=2),
        "TIFF, colour with alpha": tiff(colour_holed, 8, 2, extra=2),
        "TIFF, colour with premultiplied alpha": tiff(colour_holed, 8, 2, extra=1),
        "TIFF, palette with alpha": tiff(holed, 8, 3, extra=2, palette=colours.T.astype(np.uint16) * 257),
        "BMP, colour with alpha": inside,
    }


@pytest.mark.parametrize("name", transparent())
def test_what_is_transparent_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "one").write_bytes(transparent()[name])
    with pytest.raises(UnusableImageError, match="parts of it are transparent"):
        read_pixels(tmp_path / "one")


def test_profiles_and_gamma_are_counted_where_they_are_not_those_of_srgb(tmp_path: Path) -> None:
    for gamma, counted in ((45_455, False), (100_000, True)):
        (tmp_path / "one").write_bytes(png(values(8), 8, 0, chunks=chunk(b"gAMA", struct.pack(">I", gamma))))
        assert read_header(tmp_path / "one").profiled == counted
    for profile, counted in (
        (b"a profile of sRGB", False),
        ("sRGB".encode("utf-16-be"), False),
        (b"Adobe RGB (1998)", True),
    ):
        Image.fromarray(values(8, 3).astype(np.uint8)).save(tmp_path / "one.jpg", icc_profile=profile)
        assert read_header(tmp_path / "one.jpg").profiled == counted


def test_headers_tell_what_a_file_looks_like_from_outside(tmp_path: Path) -> None:
    content, _ = of_png("colour", 8, 6)
    (tmp_path / "one").write_bytes(content)
    header = read_header(tmp_path / "one")
    assert (header.width, header.height) == SHAPE  # turned by a quarter
    assert (header.format, header.kind, header.size) == ("PNG", "colour, 8 bits", len(content))


@pytest.mark.parametrize(("side", "bits", "most"), [(7000, 8, "33,554,432"), (5000, 16, "16,777,216")])
@pytest.mark.parametrize("read", [read_header, read_pixels])
def test_an_image_of_too_many_pixels_is_refused_by_its_header(
    tmp_path: Path, read: Callable[[Path], object], side: int, bits: int, most: str
) -> None:
    header = struct.pack(">IIBBBBB", side, side, bits, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))
    (tmp_path / "x.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(UnusableImageError, match=f"it has {side:,} x {side:,} pixels, and at most {most} in all"):
        read(tmp_path / "x.png")


def test_a_palette_that_is_missing_is_said(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 4, 4, 1, 3, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
    (tmp_path / "x.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(UnusableImageError):
        read_pixels(tmp_path / "x.png")


def test_a_file_as_long_as_a_disk_is_refused_unread(tmp_path: Path) -> None:
    for name in ("x.png", "x.tif"):
        with (tmp_path / name).open("wb") as file:
            file.write(b"II*\0")
            file.truncate(40 << 30)
        with pytest.raises(UnusableImageError, match="it has 42,949,672,960 bytes, and of its kind"):
            read_header(tmp_path / name)


@pytest.mark.parametrize(
    "more",
    [
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2 << 20))),
        b"".join(chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 20))) for _ in range(70)),
    ],
    ids=["a profile", "texts"],
)
def test_what_stands_beside_the_pixels_is_not_unpacked_without_end(tmp_path: Path, more: bytes) -> None:
    (tmp_path / "x.png").write_bytes(png(values(8), 8, 0, chunks=more))
    with pytest.raises(UnusableImageError, match=r"too large|Too much memory"):
        read_header(tmp_path / "x.png")


def test_tags_that_declare_more_than_the_file_holds_are_left_out(tmp_path: Path) -> None:
    tags = b"".join(struct.pack(">HHII", tag, 3, 0xFFFFFFFF, 8) for tag in (274, 37500))
    exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08" + struct.pack(">H", 2) + tags + bytes(4))
    (tmp_path / "x.png").write_bytes(png(values(8), 8, 0, chunks=exif))
    assert not read_header(tmp_path / "x.png").turned


def test_rows_are_packed_as_the_formats_say() -> None:
    """The writer of the files above: 11 values of 1, 2 and 4 bits, each row filled up to whole bytes."""
    ones = np.ones((1, 11, 1), int)
    assert packed(ones, 1) == b"\xff\xe0"
    assert packed(ones, 2) == b"\x55\x55\x54"
    assert packed(ones, 4) == b"\x11" * 5 + b"\x10"
    assert packed(ones[:, :1], 16, "<") == b"\x01\x00"
    assert re.fullmatch(rb"(\x01)+", packed(ones, 8))
