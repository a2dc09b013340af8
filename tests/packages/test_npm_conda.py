"""npm's package.json files and conda's prefixes."""

from __future__ import annotations

import json

import pytest

from .views import MemoryView, packages_of, words


def manifest(name: str, version: str, **more: object) -> bytes:
    return json.dumps({"name": name, "version": version, **more}).encode()


NPM = {
    "usr/local/lib/node_modules/npm/package.json": manifest("npm", "10.2.4", description="a package manager"),
    "usr/local/lib/node_modules/npm/node_modules/abbrev/package.json": manifest("abbrev", "2.0.0"),
    "usr/local/lib/node_modules/npm/node_modules/x/node_modules/y/package.json": manifest("y", "1.0.0"),
    "usr/local/lib/node_modules/npm/lib/package.json": manifest("not-a-package", "1.0.0"),
    "srv/shop/node_modules/@scope/pkg/package.json": manifest("@scope/pkg", "1.2.3-rc.1+5"),
    "srv/shop/node_modules/left-pad/package.json": manifest("left-pad", "1.3.0"),
    "srv/shop/node_modules/left-pad/index.js": b"process.exit(1)",
    "srv/shop/node_modules/.bin/left-pad": b"",
    "srv/shop/node_modules/.package-lock.json": b"{}",
    "srv/shop/node_modules/empty/README": b"",
    "srv/shop/node_modules/part/package.json": b'{"type": "module"}',
    "srv/shop/package.json": manifest("shop", "0.0.1"),
}


def test_npm() -> None:
    packages, notices = packages_of(MemoryView(NPM))
    assert notices == []
    assert {(package.place.decode(), package.name, package.version) for package in packages} == {
        ("usr/local/lib/node_modules", "npm", "10.2.4"),
        ("usr/local/lib/node_modules/npm/node_modules", "abbrev", "2.0.0"),
        ("usr/local/lib/node_modules/npm/node_modules/x/node_modules", "y", "1.0.0"),
        ("srv/shop/node_modules", "@scope/pkg", "1.2.3-rc.1+5"),
        ("srv/shop/node_modules", "left-pad", "1.3.0"),
    }
    assert next(package.summary for package in packages if package.name == "npm") == "a package manager"


def test_a_linked_package_is_where_it_lies() -> None:
    files = {"srv/a/node_modules/real/package.json": manifest("real", "1.0.0")}
    packages, _ = packages_of(
        MemoryView(files, links={"srv/b": "srv/a", "srv/a/node_modules/linked": "srv/a/node_modules/real"})
    )
    assert [(package.place, package.name) for package in packages] == [(b"srv/a/node_modules", "real")]


def test_pnpm() -> None:
    store = "srv/shop/node_modules/.pnpm"
    files = {
        f"{store}/left-pad@1.3.0/node_modules/left-pad/package.json": manifest("left-pad", "1.3.0"),
        f"{store}/@scope+pkg@1.0.0/node_modules/@scope/pkg/package.json": manifest("@scope/pkg", "1.0.0"),
        f"{store}/lock.yaml": b"",
    }
    links = {
        "srv/shop/node_modules/left-pad": f"{store}/left-pad@1.3.0/node_modules/left-pad",
        f"{store}/@scope+pkg@1.0.0/node_modules/left-pad": f"{store}/left-pad@1.3.0/node_modules/left-pad",
    }
    packages, notices = packages_of(MemoryView(files, links=links))
    assert (words(packages), notices) == (["@scope/pkg 1.0.0", "left-pad 1.3.0"], [])


def test_node_modules_in_each_other_end() -> None:
    path = "srv/" + "node_modules/a/" * 60
    packages, _ = packages_of(MemoryView({path + "package.json": manifest("a", "1.0.0")}))
    assert packages == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 200_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"name": "a", "version": 1}', "no version"),
        (b'{"name": ["a"], "version": "1"}', "no name"),
        (b'{"name": "a\\u001b[2J", "version": "1"}', "its name is"),
        (b'{"name": "\\ud800", "version": "1"}', "its name is"),
        (b'{"name": "a", "version": "' + b"1" * 9_000_000 + b'"}', "9,000,028 bytes"),
        (b'{"name": "a", "version": "1", "n": ' + b"9" * 100_000 + b"}", "not JSON"),
    ],
)
def test_odd_json(data: bytes, why: str) -> None:
    packages, notices = packages_of(MemoryView({**NPM, "srv/shop/node_modules/odd/package.json": data}), "npm")
    assert len(packages) == 5
    assert len(notices) == 1 and why in notices[0] and notices[0].isprintable()


def test_control_deep_json_breaks_a_parser() -> None:
    with pytest.raises(RecursionError):
        json.loads("[" * 200_000)


def conda(name: str, version: str, **more: object) -> bytes:
    return manifest(name, version, build="py311_0", subdir="linux-64", files=["bin/x"] * 100, **more)


def test_conda() -> None:
    files = {
        "opt/conda/conda-meta/numpy-1.26.4-py311_0.json": conda(
            "numpy", "1.26.4", channel="https://conda.example/main/linux-64"
        ),
        "opt/conda/conda-meta/history": b"==> 2024-01-01 <==\n",
        "opt/conda/envs/web/conda-meta/flask-3.0.0-py311_0.json": conda("flask", "3.0.0"),
        "opt/conda/pkgs/flask-3.0.0-py311_0/lib/python3.11/site-packages/flask-3.dist-info/METADATA": b"Name: flask\nVersion: 3\n",
        "home/ann/miniforge3/conda-meta/python-3.12.1-h0.json": conda("python", "3.12.1"),
        "home/ann/miniforge3/conda-meta/broken.json": b'{"name": "x"',
    }
    packages, notices = packages_of(MemoryView(files))
    assert {(package.manager, package.place.decode(), package.name, package.architecture) for package in packages} == {
        ("conda", "opt/conda/conda-meta", "numpy", "linux-64"),
        ("conda", "opt/conda/envs/web/conda-meta", "flask", "linux-64"),
        ("conda", "home/ann/miniforge3/conda-meta", "python", "linux-64"),
    }
    assert words([package for package in packages if package.source]) == ["numpy 1.26.4"]
    assert len(notices) == 1 and "broken.json" in notices[0]
