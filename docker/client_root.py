"""Copy Python, a virtual environment and the libraries they load into a root of their own.

``python3 client_root.py VENV ROOT``, in the stage that made the environment. What ROOT then holds
runs without anything else: no shell, no package manager, no part of the standard library that
draws, compiles or installs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

# Of the standard library: what draws, tests, installs, or turns Python 2 into 3.
UNUSED = (
    *("ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "tkinter", "turtledemo"),
    *("turtle.py", "dist-packages", "config-*", "site-packages", "distutils", "_tkinter*"),
    *("_test*", "_ctypes_test*", "_xxtestfuzz*", "xxlimited*"),
)
# Loaded by glibc by name when a host name is looked up; ldd does not see them.
RESOLVERS = ("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
FILES = {
    "etc/passwd": "framewire:x:1000:1000::/work:\n",
    "etc/group": "framewire:x:1000:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def main(venv: Path, root: Path) -> None:
    """Fill ``root``."""
    # In the order in which what they need becomes known.
    python = Path(sys.executable).resolve()
    standard_library = Path(sysconfig.get_path("stdlib"))
    _copy_file(python, root)
    shutil.copytree(
        standard_library,
        _inside(root, standard_library),
        symlinks=True,
        ignore=shutil.ignore_patterns(*UNUSED),
    )
    shutil.copytree(
        venv, _inside(root, venv), symlinks=True, ignore=shutil.ignore_patterns("tests")
    )
    # What a virtual environment links to python3 by way of, as /usr/bin/python3.
    for link in _links(venv / "bin" / "python3"):
        _copy_link(link, root)
    programs = [python, *standard_library.rglob("*.so"), *venv.rglob("*.so*")]
    for library in sorted(_libraries(programs)):
        _copy_file(library, root)
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    if CERTIFICATES.is_file():
        _copy_file(CERTIFICATES, root)
    for folder in ("tmp", "work"):
        (root / folder).mkdir()
        (root / folder).chmod(0o1777)


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that programs load, under the paths they are loaded from."""
    found: set[Path] = set()
    for program in programs:
        if program.is_symlink():
            continue
        listed = subprocess.run(
            ["ldd", str(program)], capture_output=True, text=True, check=False
        ).stdout
        found |= {Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", listed, re.M)}
    libc = next(path for path in found if path.name.startswith("libc.so"))
    found |= {libc.with_name(name) for name in RESOLVERS if libc.with_name(name).exists()}
    return found


def _links(path: Path) -> list[Path]:
    """Return the symbolic links from ``path`` to what it means in the end, itself left out."""
    links = []
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / path.readlink()))
        if path.is_symlink():
            links.append(path)
    return links


def _inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _copy_file(file: Path, root: Path) -> None:
    target = _inside(root, file)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)  # what a link points to, not the link


def _copy_link(link: Path, root: Path) -> None:
    target = _inside(root, link)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(link.readlink())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
