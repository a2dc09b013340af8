"""A Debian archive and a folder of wheels, made by the tests: packages without the internet."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import zipfile
from pathlib import Path


def make_deb(folder: Path, name: str, version: str, *, depends: str = "", script: str = "", text: str = "") -> None:
    """Build a package with one file, /usr/share/NAME/version, and perhaps a postinst."""
    root = folder / f"{name}-tree"
    (root / "DEBIAN").mkdir(parents=True)
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: {name}\n"
    )
    (root / "DEBIAN/control").write_text(control + (f"Depends: {depends}\n" if depends else ""))
    if script:
        (root / "DEBIAN/postinst").write_text(f"#!/bin/sh\nset -e\n{script}\n")
        (root / "DEBIAN/postinst").chmod(0o755)
    (root / f"usr/share/{name}").mkdir(parents=True)
    (root / f"usr/share/{name}/version").write_text(text or version)
    target = folder / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(root), str(target)], check=True, capture_output=True
    )
    subprocess.run(["rm", "-r", str(root)], check=True)


def write_index(folder: Path) -> None:
    """Write the Packages file of the packages in `folder`."""
    paragraphs = []
    for deb in sorted(folder.glob("*.deb")):
        control = subprocess.run(["dpkg-deb", "-f", str(deb)], check=True, capture_output=True, text=True).stdout
        data = deb.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        paragraphs.append(f"{control.strip()}\nFilename: ./{deb.name}\nSize: {len(data)}\nSHA256: {digest}\n")
    (folder / "Packages").write_text("\n".join(paragraphs))


def make_wheel(folder: Path, name: str, version: str, *, requires: str = "") -> None:
    """Write a wheel with a module of its name."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {requires}\n" if requires else ""
    )
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f'VERSION = "{version}"\n',
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(text)}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,", ""]))
