"""Machine-readable codes as clean rasters: QR, linear barcode, Data Matrix, ArUco / AprilTag.

Every symbol comes from a real encoder (zxing-cpp for the first three, OpenCV for markers), so that
what the detector learns is what a reader would accept.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import cv2
import numpy as np
import zxingcpp

CLASS_NAMES = ("qr_code", "barcode", "data_matrix", "marker")
QR_CODE, BARCODE, DATA_MATRIX, MARKER = range(4)

# The fewest pixels on the short side (barcode: the long side) at which a scene still shows which
# class a symbol is; below it a label would ask the network to guess.
MIN_SIZE_PX = {QR_CODE: 26, BARCODE: 34, DATA_MATRIX: 20, MARKER: 18}

_DIGITS = string.digits
_ALPHANUMERIC = string.ascii_uppercase + string.digits
_URL_HOSTS = ("example.com", "example.org", "stock.example.net", "parts.example.com/item")
_LINEAR_FORMATS = (
    ("Code128", _ALPHANUMERIC, (5, 18)),
    ("Code39", _ALPHANUMERIC, (4, 12)),
    ("Code93", _ALPHANUMERIC, (4, 14)),
    ("ITF", _DIGITS, (6, 16)),
    ("Codabar", _DIGITS, (5, 14)),
    ("EAN13", _DIGITS, (12, 12)),
    ("EAN8", _DIGITS, (7, 7)),
    ("UPCA", _DIGITS, (11, 11)),
)
_MARKER_DICTIONARIES = (
    cv2.aruco.DICT_4X4_250,
    cv2.aruco.DICT_5X5_250,
    cv2.aruco.DICT_6X6_250,
    cv2.aruco.DICT_7X7_250,
    cv2.aruco.DICT_ARUCO_ORIGINAL,
    cv2.aruco.DICT_APRILTAG_16H5,
    cv2.aruco.DICT_APRILTAG_25H9,
    cv2.aruco.DICT_APRILTAG_36H11,
)


@dataclass(frozen=True)
class Symbol:
    """One code without its quiet zone.

    modules: uint8 [rows, columns], 0 is ink and 255 is paper, one element per module.
    aspect: height / width at which it is to be printed.
    quiet_zone: the clear margin on each side, as a fraction of the printed width.
    text: what people read below it; empty when nothing is printed.
    """

    class_id: int
    modules: np.ndarray
    aspect: float
    quiet_zone: float
    text: str = ""


def make_symbol(rng: np.random.Generator, class_id: int) -> Symbol:
    """A random symbol of one class."""
    makers = {QR_CODE: _qr_code, BARCODE: _barcode, DATA_MATRIX: _data_matrix, MARKER: _marker}
    return makers[class_id](rng)


def make_distractor(rng: np.random.Generator) -> np.ndarray:
    """Modules of something that looks coded and is none of the four classes; uint8 [rows, columns].

    Aztec, PDF417 and MaxiCode are left out on purpose: the model card says nothing about them.
    """
    kind = rng.integers(4)
    if kind == 0:  # checkerboard
        rows, columns = rng.integers(3, 10, 2)
        board = np.indices((rows, columns)).sum(axis=0) % 2
        return (board * 255).astype(np.uint8)
    if kind == 1:  # even stripes: a grille, a ruler, a crossing
        stripes = np.tile([0, 255], int(rng.integers(3, 12)))[None, :-1].astype(np.uint8)
        return stripes if rng.random() < 0.7 else np.ascontiguousarray(stripes.T)
    if kind == 2:  # an empty frame, which is a marker without its code
        frame = np.full((8, 8), 255, np.uint8)
        frame[[0, -1], :] = 0
        frame[:, [0, -1]] = 0
        return frame
    # random cells without any finder pattern: a mosaic, a crossword
    cells = rng.integers(0, 2, rng.integers(3, 7, 2)) * 255
    return cells.astype(np.uint8)


def print_symbol(symbol: Symbol, width_px: int) -> np.ndarray:
    """The symbol at a printed width, anti-aliased: uint8 [height, width], 0 ink, 255 paper."""
    height_px = max(2, round(width_px * symbol.aspect))
    return resize_modules(symbol.modules, width_px, height_px)


def resize_modules(modules: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Enlarge by a whole factor first, then average down, so that no module loses its share."""
    rows, columns = modules.shape
    scale_x, scale_y = -(-width_px // columns), -(-height_px // rows)
    big = np.repeat(np.repeat(modules, scale_y, axis=0), scale_x, axis=1)
    return cv2.resize(big, (width_px, height_px), interpolation=cv2.INTER_AREA)


def _random_text(rng: np.random.Generator, alphabet: str, low: int, high: int) -> str:
    return "".join(rng.choice(list(alphabet), int(rng.integers(low, high + 1))))


def _ink_only(modules: np.ndarray) -> np.ndarray:
    """Cut off the quiet zone: the rows and columns outside all ink."""
    rows, columns = np.flatnonzero((modules < 128).any(1)), np.flatnonzero((modules < 128).any(0))
    return np.ascontiguousarray(modules[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _encode(content: str, format_name: str, **options: object) -> np.ndarray:
    code_format = getattr(zxingcpp.BarcodeFormat, format_name)
    barcode = zxingcpp.create_barcode(content, code_format, **options)
    return _ink_only(np.array(barcode.to_image(scale=1)))


def _qr_code(rng: np.random.Generator) -> Symbol:
    if rng.random() < 0.6:
        path = _random_text(rng, string.ascii_lowercase + _DIGITS, 2, 40)
        content = f"https://{rng.choice(_URL_HOSTS)}/{path}"
    else:
        content = _random_text(rng, _ALPHANUMERIC, 3, 20 if rng.random() < 0.6 else 90)
    modules = _encode(content, "QRCode", ec_level=str(rng.choice(list("LMQH"))))
    return Symbol(QR_CODE, modules, 1.0, rng.uniform(1.5, 4.0) / modules.shape[1])


def _data_matrix(rng: np.random.Generator) -> Symbol:
    content = _random_text(rng, _ALPHANUMERIC, 3, 12 if rng.random() < 0.6 else 60)
    modules = _encode(content, "DataMatrix", force_square=bool(rng.random() < 0.8))
    if modules.shape[0] < 0.4 * modules.shape[1]:  # the long strips of DMRE are hardly ever used
        modules = _encode(content, "DataMatrix", force_square=True)
    rows, columns = modules.shape
    return Symbol(DATA_MATRIX, modules, rows / columns, rng.uniform(1.0, 2.5) / columns)


def _barcode(rng: np.random.Generator) -> Symbol:
    name, alphabet, (low, high) = _LINEAR_FORMATS[rng.integers(len(_LINEAR_FORMATS))]
    content = _random_text(rng, alphabet, low, high)
    if name == "ITF" and len(content) % 2:
        content += "0"
    if name == "Codabar":
        content = f"A{content}B"
    if name in ("EAN13", "EAN8", "UPCA"):
        content += _gtin_check_digit(content)
    row = _encode(content, name)
    middle = row[row.shape[0] // 2][None]
    text = content if rng.random() < 0.7 else ""
    return Symbol(BARCODE, middle, rng.uniform(0.14, 0.75), rng.uniform(0.03, 0.1), text)


def _gtin_check_digit(digits: str) -> str:
    """GS1 General Specifications, section 7.9: weights 3 and 1 from the right."""
    total = sum(int(d) * (3, 1)[i % 2] for i, d in enumerate(reversed(digits)))
    return str(-total % 10)


def _marker(rng: np.random.Generator) -> Symbol:
    dictionary_id = _MARKER_DICTIONARIES[rng.integers(len(_MARKER_DICTIONARIES))]
    dictionary = cv2.aruco.getPredefinedDictionary(dictionary_id)
    side = dictionary.markerSize + 2  # one module of black border on each side
    marker_id = int(rng.integers(dictionary.bytesList.shape[0]))
    modules = cv2.aruco.generateImageMarker(dictionary, marker_id, side)
    return Symbol(MARKER, modules, 1.0, rng.uniform(0.6, 2.0) / side)
