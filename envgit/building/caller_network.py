"""What of the caller's way to the network reaches steps: proxies, and for package units also indexes and certificate authorities.

None of it is recorded or part of a key: it decides by which way packages come, not which; their hashes are in packages.lock.
"""

from __future__ import annotations

from collections.abc import Mapping

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
_INDEXES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("NPM_CONFIG_REGISTRY", "npm_config_registry"),
)
_AUTHORITIES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
"""Who names a bundle for all programs; the first that is set counts."""
_READ_BY_PROGRAMS = (*_AUTHORITIES, "NODE_EXTRA_CA_CERTS")
_MOST_BYTES = 768 << 10


def proxy_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's proxies, in the spelling that they have."""
    names = (*_PROXIES, *(name.lower() for name in _PROXIES))
    return {name: environ[name] for name in names if environ.get(name)}


def is_proxy(name: str) -> bool:
    """Say whether a variable names a proxy: its value may hold a password."""
    return name.upper() in _PROXIES


def index_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return which indexes the caller uses, where a network reaches them."""
    chosen = {name: environ[name] for name in _INDEXES if environ.get(name)}
    return {name: value for name, value in chosen.items() if "file:" not in value}


def authorities(environ: Mapping[str, str], target: str) -> tuple[dict[str, str], bytes | None]:
    """Return variables that name the file `target`, and the caller's bundle to put there; nothing when the caller names none."""
    path = next((environ[name] for name in _AUTHORITIES if environ.get(name)), None)
    if path is None:
        return {}, None
    try:
        with open(path, "rb") as file:
            bundle = file.read(_MOST_BYTES + 1)
    except OSError:
        return {}, None
    if len(bundle) > _MOST_BYTES:
        return {}, None
    return dict.fromkeys(_READ_BY_PROGRAMS, target), bundle
