from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.data.decoding import (
    DEEP,
    FITS,
    SUFFIXES,
    is_grey,
    open_image,
    original_size,
    scaled,
    to_pixels,
    white_of,
)

REFUSED = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
FORMATS = {
    ".png": {},
    ".bmp": {},
    ".tif": {},
    ".tiff": {"compression": "tiff_lzw"},
    ".webp": {"lossless": True},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".jfif": {"quality": 95, "subsampling": 0, "format": "JPEG"},
    ".avif": {"quality": 100, "subsampling": "4:4:4"},
    ".gif": {"optimize": False},
    ".ppm": {},
    ".tga": {},
    ".jp2": {},
    ".qoi": {},
}
NEVER_GREY = {".webp", ".avif", ".qoi"}
LOSSY = {".jpg", ".jpeg", ".jfif", ".avif"}


def gradient(width: int = 13, height: int = 7) -> np.ndarray:
    """Colour that differs everywhere, smooth enough for JPEG: uint8 [H, W, 3]."""
    y, x = np.mgrid[:height, :width]
    return (
        np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], axis=2).round().astype(np.uint8)
    )


def stored(folder: Path, image: Image.Image, suffix: str = ".png", **options: object) -> Path:
    path = folder / f"image{suffix}"
    image.save(path, **options)
    return path


def test_every_suffix_is_of_a_format_that_pillow_decodes_by_itself() -> None:
    known = Image.registered_extensions()
    assert set(FORMATS) < SUFFIXES
    for suffix in SUFFIXES:
        assert known[suffix] in Image.OPEN, suffix
        assert known[suffix] not in {"EPS", "WMF", "HDF5", "GRIB", "BUFR", "FITS", "MPEG"}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_format_gives_its_pixels(tmp_path: Path, suffix: str, mode: str) -> None:
    if (mode, suffix) in {("L", ".qoi"), ("RGB", ".gif")}:
        pytest.skip("the format does not hold it")
    original = Image.fromarray(gradient()).convert(mode)
    image = open_image(stored(tmp_path, original, suffix, **FORMATS[suffix]))
    # some have no grey: three equal channels come back, which count as grey all the same
    assert image.mode == ("RGB" if suffix in NEVER_GREY else mode)
    assert is_grey(image) == (mode == "L")
    off = np.asarray(image.convert(mode), int) - np.asarray(original, int)
    assert np.abs(off).max() <= (6 if suffix in LOSSY else 0)


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((9, 5)) < 0.5
    image = open_image(stored(tmp_path, Image.fromarray(bits)))
    np.testing.assert_array_equal(np.asarray(image), bits * np.uint8(255))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 99, 0], [1, 2, 3]], np.uint8)
    rows = np.random.default_rng(0).integers(0, 3, (6, 6))
    picture = Image.fromarray(rows.astype(np.uint8), "P")
    picture.putpalette(colours.tobytes())
    np.testing.assert_array_equal(np.asarray(open_image(stored(tmp_path, picture))), colours[rows])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 8, len(mode)), dtype=np.uint8)
    image = open_image(stored(tmp_path, Image.fromarray(pixels, mode)))
    share = pixels[..., -1:] / 255
    expected = pixels[..., :-1] * share + 255 * (1 - share)
    assert np.abs(np.asarray(image, float).reshape(expected.shape) - expected).max() <= 1


def test_a_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2), "P")
    picture.putpalette([10, 20, 30] * 4)
    image = open_image(stored(tmp_path, picture, transparency=3))
    assert np.asarray(image).reshape(-1, 3).tolist() == [[10, 20, 30]] * 3 + [[255] * 3]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_scaled_to_8(tmp_path: Path, suffix: str) -> None:
    deep = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    image = open_image(stored(tmp_path, Image.fromarray(deep), suffix))
    assert image.mode == DEEP
    image = scaled(image, white_of(65535))
    np.testing.assert_array_equal(np.asarray(image), (deep / 257).round().astype(np.uint8))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    colours = np.repeat([[[230, 20, 20], [20, 20, 230]]], 16, axis=0).repeat(8, axis=1)
    ink = Image.fromarray(colours.astype(np.uint8)).convert("CMYK")
    image = open_image(stored(tmp_path, ink, ".jpg", quality=95))
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image, int)[:, [2, 13]] - colours[:, [2, 13]]).max() <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_is_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = gradient(16, 8)
    # how a camera that writes this orientation has stored it (EXIF 2.32, tag 274)
    as_stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = stored(
        tmp_path,
        Image.fromarray(np.ascontiguousarray(as_stored)),
        suffix,
        exif=exif,
        **FORMATS[suffix],
    )
    assert np.abs(np.asarray(open_image(path), int) - upright).max() <= 8


def test_floats_of_unknown_range_are_refused(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).random((8, 8)).astype(np.float32))
    with pytest.raises(ValueError, match="range is unknown"):
        open_image(stored(tmp_path, picture, ".tif"))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_raise_what_is_promised(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    whole = stored(tmp_path, noise, suffix, **FORMATS[suffix]).read_bytes()
    for content in (b"", b"not an image at all\n", whole[:9], whole[: len(whole) // 2]):
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(content)
        with pytest.raises(REFUSED):
            open_image(path)


def test_a_picture_of_absurd_size_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "BMP")
    content = bytearray(file.getvalue())
    content[18:26] = (100_000).to_bytes(4, "little") * 2  # width and height
    path = tmp_path / "bomb.bmp"
    path.write_bytes(content)
    with pytest.raises(Image.DecompressionBombError):
        open_image(path)


@pytest.mark.parametrize(("spread", "grey"), [(0, True), (2, True), (3, False), (200, False)])
def test_grey_is_three_channels_within_jpegs_rounding(spread: int, grey: bool) -> None:
    pixels = np.full((4, 4, 3), 20, np.uint8)
    pixels[1, 2, 0] += spread  # one coloured pixel is enough
    assert is_grey(Image.fromarray(pixels)) is grey


SIDES = st.integers(1, 60)


@given(SIDES, SIDES, st.sampled_from(sorted(FITS)), st.sampled_from([1, 3]), st.integers(0, 255))
def test_a_flat_image_stays_flat(w: int, h: int, fit: str, channels: int, level: int) -> None:
    image = Image.new("RGB", (w, h), (level, level, level))
    pixels = to_pixels(image, size=8, channels=channels, fit=fit)
    assert pixels.shape == (8, 8, channels)
    assert pixels.dtype == np.uint8
    assert (pixels == level).all()


@given(SIDES, st.sampled_from([1, 3]))
def test_a_square_needs_no_fitting(side: int, channels: int) -> None:
    image = Image.fromarray(gradient(side, side))
    one, *others = (to_pixels(image, size=8, channels=channels, fit=fit) for fit in FITS)
    assert all(np.array_equal(one, other) for other in others)


def test_the_right_size_is_left_alone() -> None:
    original = gradient(8, 8)
    pixels = to_pixels(Image.fromarray(original), size=8, channels=3, fit="pad")
    np.testing.assert_array_equal(pixels, original)


def test_pad_keeps_proportions_on_the_border_colour() -> None:
    wide = np.full((16, 64, 3), (200, 30, 60), np.uint8)
    wide[4:12, 8:56] = 0
    pixels = to_pixels(Image.fromarray(wide), size=32, channels=3, fit="pad")
    assert (pixels[:12] == (200, 30, 60)).all()  # 64x16 became 32x8, in the middle
    assert (pixels[20:] == (200, 30, 60)).all()
    assert (pixels[16, 8:24] == 0).all()
    assert (pixels[12, :] != 0).any()


def test_crop_fills_the_square_from_the_middle() -> None:
    wide = np.zeros((16, 64, 1), np.uint8)
    wide[:, 24:40] = 255  # exactly the square in the middle
    pixels = to_pixels(Image.fromarray(wide[..., 0]), size=16, channels=1, fit="crop")
    assert (pixels == 255).all()


def test_stretch_ignores_proportions() -> None:
    wide = np.zeros((16, 64), np.uint8)
    wide[:, 32:] = 255  # the right half stays the right half
    pixels = to_pixels(Image.fromarray(wide), size=16, channels=1, fit="stretch")
    assert (pixels[:, :6] < 10).all()
    assert (pixels[:, 10:] > 245).all()


def test_colour_becomes_grey_by_luminance() -> None:
    green = to_pixels(Image.new("RGB", (8, 8), (0, 255, 0)), size=8, channels=1, fit="pad")
    blue = to_pixels(Image.new("RGB", (8, 8), (0, 0, 255)), size=8, channels=1, fit="pad")
    assert green[0, 0, 0] == round(0.587 * 255)
    assert blue[0, 0, 0] == round(0.114 * 255)


def drawing() -> np.ndarray:
    """A grey drawing, 0 where it is to be seen through: uint8 [8, 8]."""
    return np.arange(64, dtype=np.uint8).reshape(8, 8) * 3


def with_alpha(mode: str) -> tuple[Image.Image, dict[str, object]]:
    """The same drawing in a form that hides something else below what is transparent."""
    pixels = drawing()
    clear = pixels == 0
    hidden = np.where(clear, 77, pixels).astype(np.uint8)
    alpha = np.where(clear, 0, 255).astype(np.uint8)
    if mode == "LA":
        return Image.fromarray(np.stack([hidden, alpha], axis=2), "LA"), {}
    if mode == "RGBA":
        return Image.fromarray(np.stack([hidden] * 3 + [alpha], axis=2), "RGBA"), {}
    if mode == "I;16":
        return Image.fromarray(pixels.astype(np.uint16) * 257), {"transparency": 0}
    if mode == "P":
        picture = Image.fromarray(pixels, "P")
        picture.putpalette([level for level in range(256) for _ in range(3)])
        return picture, {"transparency": 0}
    return Image.fromarray(pixels, "L"), {"transparency": 0}


@pytest.mark.parametrize("mode", ["LA", "RGBA", "L", "P", "I;16"])
def test_the_same_drawing_looks_the_same_in_every_form_of_transparency(
    tmp_path: Path, mode: str
) -> None:
    picture, options = with_alpha(mode)
    image = open_image(stored(tmp_path, picture, **options))
    if image.mode == DEEP:
        image = scaled(image, white_of(65535))
    expected = np.where(drawing() == 0, 255, drawing())
    np.testing.assert_array_equal(np.asarray(image.convert("L")), expected)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_white_follows_the_depth_that_is_used(bits: int) -> None:
    assert white_of(2**bits - 1) == white_of(2 ** (bits - 1)) == 2**bits - 1
    assert white_of(3) == 255  # 8 bits in a file of 16


@pytest.mark.parametrize("size", [(600, 12), (12, 600), (1, 40)])
@pytest.mark.parametrize("side", [8, 16])
def test_pad_never_loses_an_extreme_shape(size: tuple[int, int], side: int) -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        noise = rng.integers(0, 256, size[::-1]).astype(np.uint8)
        noise[:, : size[0] // 2] //= 2
        seen.add(to_pixels(Image.fromarray(noise), size=side, channels=1, fit="pad").tobytes())
    assert len(seen) == 20


def test_an_orientation_is_read_beside_tags_that_cannot_be(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 3
    exif[0x829A] = "not a fraction"  # exposure time
    picture = Image.fromarray(gradient())
    image = open_image(stored(tmp_path, picture, exif=exif))
    np.testing.assert_array_equal(np.asarray(image), gradient()[::-1, ::-1])


def speckled(width: int, height: int) -> Image.Image:
    """A photo's worst: every octave of detail, edges, colours."""
    rng = np.random.default_rng(width)
    pixels = np.full((height, width, 3), 128.0)
    for side in (8, 32, 128):
        noise = Image.fromarray(rng.uniform(-40, 40, (side, side)).astype(np.float32))
        pixels += np.asarray(noise.resize((width, height)))[..., None] * rng.uniform(0.5, 1, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [(640, 480), (300, 500)])
def test_a_large_jpeg_is_decoded_smaller_within_the_tolerance(
    tmp_path: Path, fit: str, shape: tuple[int, int]
) -> None:
    path = stored(tmp_path, speckled(*shape), ".jpg", quality=90)
    small = open_image(path, size=32, fit=fit)
    assert 2 * 32 <= (max if fit == "pad" else min)(small.size) < max(shape) / 2 + 1
    assert original_size(small) == original_size(open_image(path)) == shape
    asked = {"size": 32, "channels": 3, "fit": fit}
    apart = np.abs(to_pixels(small, **asked).astype(int) - to_pixels(open_image(path), **asked))
    assert apart.max() <= 8
    assert apart.mean() <= 1


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_what_is_not_much_larger_than_wanted_is_decoded_wholly(tmp_path: Path, suffix: str) -> None:
    side = 127 if suffix == ".jpg" else 640
    path = stored(tmp_path, speckled(side, side - 20), suffix)
    np.testing.assert_array_equal(
        np.asarray(open_image(path, size=32)), np.asarray(open_image(path))
    )


def test_a_photo_on_its_side_keeps_its_original_size_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = stored(tmp_path, speckled(640, 480), ".jpg", exif=exif)
    image = open_image(path, size=32)
    assert (image.size, original_size(image)) == ((60, 80), (480, 640))


def test_a_camera_s_mpo_is_decoded_smaller_too(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    picture = speckled(640, 480)
    picture.save(path, "MPO", save_all=True, append_images=[picture.resize((80, 60))])
    assert open_image(path, size=32).size == (80, 60)
