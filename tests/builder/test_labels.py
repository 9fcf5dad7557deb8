from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.detectors.labels import read_labels
from builder.errors import LabelsError

NAMES = ("person", "traffic light", "no")

FILES = {
    "lines.txt": "person\n  traffic light\nno\n\n\n",
    "windows.names": "\ufeffperson\r\ntraffic light\r\nno\r\n",
    "list.yaml": "path: ../data\nnc: 3\nnames: ['person', traffic light, no]\n",
    "rows.yml": "names:\n  - person\n  - traffic light\n  - no\n",
    "mapping.YAML": "names:\n  2: no\n  0: person\n  1: traffic light\n",
    "only.yaml": "- person\n- traffic light\n- no\n",
    "list.json": json.dumps(list(NAMES)),
    "data.json": json.dumps({"nc": 3, "names": {"0": "person", "1": "traffic light", "2": "no"}}),
}


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("name", FILES)
def test_names_are_read_in_class_order(tmp_path: Path, name: str) -> None:
    assert read_labels(written(tmp_path, name, FILES[name])) == NAMES


def test_names_are_text_whatever_yaml_would_make_of_them(tmp_path: Path) -> None:
    path = written(tmp_path, "signs.yaml", "names: {0: 30, 1: on, 2: null, 3: 1e3, 4: 2001-01-01}")
    assert read_labels(path) == ("30", "on", "null", "1e3", "2001-01-01")


def test_a_name_stays_on_one_line(tmp_path: Path) -> None:
    assert read_labels(written(tmp_path, "names.json", '["two\\nlines"]')) == ("two lines",)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("empty.txt", "", "holds no class names"),
        ("blank.txt", "\n \n", "holds no class names"),
        ("gap.txt", "a\n\nb\n", "line 2 of .* is empty"),
        ("none.yaml", "nc: 3\n", "no usable `names`"),
        ("empty.yaml", "names: []\n", "holds no class names"),
        ("scalar.yaml", "names: person\n", "no usable `names`"),
        ("gap.yaml", "names: {0: a, 2: c}\n", "no usable `names`"),
        ("nested.yaml", "names: [[a], [b]]\n", "no usable `names`"),
        ("broken.yaml", "names: [a, b\n", "no valid yaml"),
        ("tagged.yaml", "names: !!python/object/apply:os.getcwd []\n", "holds no class names"),
        ("broken.json", '{"names": [', "no valid json"),
        ("deep.json", "[" * 100_000, "no valid json"),
    ],
)
def test_a_file_without_a_name_for_every_class_is_refused(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    with pytest.raises(LabelsError, match=said) as refusal:
        read_labels(written(tmp_path, name, text))
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"No such file.*--labels"):
        read_labels(tmp_path / "missing.txt")
    (tmp_path / "picture.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(LabelsError, match=r"not UTF-8 text.*--labels"):
        read_labels(tmp_path / "picture.txt")
