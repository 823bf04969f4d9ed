from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench.data.importing.images.fitting import Size
from cabench.data.importing.images.pixels import UnusableImageError, read_pixels
from cabench.data.importing.images.reading import ImageForm, _tried, open_folder, read_folders

STEPS = np.arange(0, 65_536, 456).astype(np.uint16)[:144].reshape(12, 12)


def read(folder: Path, *, size: int | None = None, **form: object) -> np.ndarray:
    form["size"] = Size(size, size) if size else None
    return read_folders({"only": open_folder(folder)}, ImageForm(**form))["only"].images


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def test_why_an_image_cannot_be_used_keeps_nothing_of_it_in_memory(tmp_path: Path) -> None:
    save(tmp_path / "one.png", np.zeros((9, 9, 4), np.uint8))
    found = _tried(read_pixels, tmp_path / "one.png")
    assert isinstance(found, UnusableImageError)
    assert (found.reason, found.__traceback__) == ("parts of it are transparent", None)


@pytest.mark.parametrize("suffix", ["png", "PNG", "tif", "tiff", "bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossless_formats_come_back_to_the_pixel(tmp_path: Path, suffix: str, mode: str) -> None:
    shape = (10, 12, 3) if mode == "RGB" else (10, 12)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    save(tmp_path / f"one.{suffix}", pixels)
    expected = pixels.transpose(2, 0, 1) if mode == "RGB" else pixels[None]
    np.testing.assert_array_equal(read(tmp_path), expected[None])


def test_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    save(tmp_path / "one.jpg", pixels)
    with Image.open(tmp_path / "one.jpg") as image:
        np.testing.assert_array_equal(read(tmp_path)[0], np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_become_8_over_the_whole_range(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"one.{suffix}", STEPS)
    np.testing.assert_array_equal(read(tmp_path)[0, 0], np.round(STEPS / 257))


def png_of_16_bit_colour(values: np.ndarray) -> bytes:
    """A PNG file of (height, width, 3) values, which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bits_in_colour_keep_their_range(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (12, 12, 3)).astype(np.uint16)
    (tmp_path / "one.png").write_bytes(png_of_16_bit_colour(values))
    expected = np.round(values.transpose(2, 0, 1) * (255 / 4095))
    np.testing.assert_array_equal(read(tmp_path, value_range=(0, 4095))[0], expected)
    grey = read(tmp_path, value_range=(0, 4095), channels="grey")[0, 0].astype(float)
    assert (
        np.abs(grey - np.asarray(Image.fromarray(expected.transpose(1, 2, 0).astype(np.uint8)).convert("L"))).max() <= 1
    )


def test_a_range_says_what_becomes_black_and_white(tmp_path: Path) -> None:
    save(tmp_path / "one.png", STEPS)
    expected = np.round((STEPS.astype(float) - 1000).clip(0, 3000) * 255 / 3000)
    np.testing.assert_array_equal(read(tmp_path, value_range=(1000, 4000))[0, 0], expected)


def test_the_middle_square_is_scaled(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, 8:24] = 200
    save(tmp_path / "wide.png", pixels)
    save(tmp_path / "tall.png", pixels.T)
    np.testing.assert_array_equal(read(tmp_path, size=8), np.full((2, 1, 8, 8), 200))


def test_an_image_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    save(tmp_path / "one.png", pixels, exif=exif)
    np.testing.assert_array_equal(read(tmp_path)[0, 0], np.rot90(pixels, -1))


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "LA", "RGBA"])
def test_other_modes_become_grey_or_colour(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 10, 3), np.uint8)).convert(mode)
    image.save(tmp_path / ("one.tif" if mode == "CMYK" else "one.png"))
    wanted = "L" if mode in ("1", "LA") else "RGB"
    expected = np.atleast_3d(np.asarray(image.convert(wanted))).transpose(2, 0, 1)
    np.testing.assert_array_equal(read(tmp_path)[0], expected)


def test_channels_can_be_made_alike(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (10, 10), np.uint8)
    save(tmp_path / "a.png", grey)
    save(tmp_path / "b.png", np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(read(tmp_path, channels="grey"), np.stack([grey, grey])[:, None])
    np.testing.assert_array_equal(read(tmp_path, channels="colour"), np.full((2, 3, 10, 10), grey))


def test_what_is_hidden_or_no_image_is_passed_over(tmp_path: Path, fill) -> None:
    fill(tmp_path, ["b.png", "sub/a.png", "sub/.c.png", ".hidden/d.png", "sub/.more/e/f.png"])
    (tmp_path / ".hidden" / "notes.txt").write_text("")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "more.txt").write_text("")
    (tmp_path / "a.WEBP").write_text("")
    (tmp_path / "README").write_text("")
    (tmp_path / "Makefile").write_text("")
    (tmp_path / ".DS_Store").write_text("")
    (tmp_path / "linked").symlink_to(tmp_path / "sub")
    folder = open_folder(tmp_path)
    assert folder.names == ["b.png", "sub/a.png"]
    assert folder.said() == (
        f"Not read in {tmp_path.name}: 2 .txt files, 1 .webp file, 3 hidden images, 1 linked folder, 2 other files."
    )


def bad(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    path = tmp_path / "bad.png"
    if name == "text":
        path.write_text("no image")
    elif name == "empty":
        path.write_bytes(b"")
    elif name == "cut short":
        save(path, pixels)
        path.write_bytes(path.read_bytes()[:1500])
    elif name == "cut short jpeg":
        save(tmp_path / "bad.jpg", pixels)
        (tmp_path / "bad.jpg").write_bytes((tmp_path / "bad.jpg").read_bytes()[:600])
    elif name == "transparent":
        Image.fromarray(np.dstack([pixels, np.full((40, 40), 128, np.uint8)])).save(path)
    elif name == "several":
        frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
        frames[0].save(tmp_path / "bad.tif", save_all=True, append_images=frames[1:])
    elif name == "pipe":
        os.mkfifo(tmp_path / "bad.png")
    elif name == "link":
        (tmp_path / "bad.png").symlink_to(tmp_path / "nowhere.png")
    elif name == "floats":
        Image.fromarray(pixels[..., 0].astype(np.float32)).save(tmp_path / "bad.tif")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", "no image of a known format"),
        ("empty", "no image of a known format"),
        ("cut short", "replace it by an undamaged copy"),
        ("cut short jpeg", "replace it by an undamaged copy"),
        ("transparent", "parts of it are transparent"),
        ("several", "it holds 2 images"),
        ("floats", "TIFF, black is zero, floats, 32 bits"),
        ("pipe", "no regular file"),
        ("link", "no regular file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, refusal, name: str, words: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    for number in range(3):
        save(tmp_path / f"{number}.png", pixels)
    bad(tmp_path, name)
    said = refusal(lambda: read(tmp_path, size=16))
    assert words in said
    assert str(tmp_path / "bad.") in said


def test_all_files_that_cannot_be_used_are_named_at_once(tmp_path: Path, refusal, fill) -> None:
    """Those whose headers are bad, and those that turn out to be damaged when they are decoded."""
    fill(tmp_path, ["a.png", "b.png", "c.png", "d.png"], size=(40, 40))
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "d.png").write_bytes((tmp_path / "d.png").read_bytes()[:900])
    said = refusal(lambda: read(tmp_path))
    assert said.startswith("2 of 4 images cannot be used: ")
    assert f"{tmp_path / 'b.png'} (it is no image of a known format)" in said
    assert f"{tmp_path / 'd.png'} (" in said
    assert "a.png" not in said
    (tmp_path / "b.png").write_bytes((tmp_path / "c.png").read_bytes()[:900])
    said = refusal(lambda: read(tmp_path))
    assert said.startswith("2 of 4 images cannot be used: ")
    assert said.endswith("For each: replace it by an undamaged copy.")


def test_what_does_not_go_together_is_said_before_anything_is_decoded(tmp_path: Path, refusal, fill) -> None:
    fill(tmp_path / "sizes", ["a.png", "b.png"])
    fill(tmp_path / "sizes", ["c.png"], size=(12, 14))
    assert "--size" in (said := refusal(lambda: read(tmp_path / "sizes")))
    assert "c.png (12 x 14)" in said
    fill(tmp_path / "channels", ["a.png"])
    fill(tmp_path / "channels", ["b.png"], mode="RGB")
    assert "--channels" in refusal(lambda: read(tmp_path / "channels"))
    fill(tmp_path / "depths", ["a.png"])
    save(tmp_path / "depths" / "b.png", STEPS)
    assert "bits a pixel" in refusal(lambda: read(tmp_path / "depths"))
    fill(tmp_path / "small", ["a.png"], size=(4, 4))
    assert "smallest side" in refusal(lambda: read(tmp_path / "small"))
    fill(tmp_path / "large", ["a.png"], size=(1025, 8))
    assert "largest side" in refusal(lambda: read(tmp_path / "large"))


@pytest.mark.parametrize(
    "form",
    [{"value_range": (9, 9)}, {"value_range": (-1, 9)}, {"value_range": (0, 70_000)}],
)
def test_forms_that_no_image_can_have_are_refused(refusal, form: dict[str, object]) -> None:
    assert "is not allowed" in refusal(lambda: ImageForm(**form))


def test_a_range_for_8_bits_is_refused(tmp_path: Path, fill, refusal) -> None:
    fill(tmp_path, ["a.png"])
    assert "--range is for 16-bit images" in refusal(lambda: read(tmp_path, value_range=(0, 100)))


def test_folders_without_images_are_refused(tmp_path: Path, refusal) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.webp").write_text("")
    assert refusal(lambda: open_folder(tmp_path / "only")).endswith("Not read in only: 1 .webp file.")
    (tmp_path / "only" / "a.webp").unlink()
    assert "holds no images" in refusal(lambda: open_folder(tmp_path))
    assert "is not a folder" in refusal(lambda: open_folder(tmp_path / "absent"))
