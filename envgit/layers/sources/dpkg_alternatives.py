"""update-alternatives: its records and links, cut down to what came along."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Alternative(NamedTuple):
    """One link group: the record to store, and the symbolic links (path, target) it stands for."""

    record: bytes
    links: tuple[tuple[bytes, bytes], ...]


def filter_alternative(name: bytes, record: bytes, exists: Callable[[bytes], bool]) -> Alternative | None:
    """Return the link group `name` with the choices that exist, in automatic mode: the best one is linked.

    None when no choice exists or the record is malformed. Paths have leading slashes.
    """
    lines = record.split(b"\n")
    try:
        link = lines[1]
        slaves: list[tuple[bytes, bytes]] = []
        position = 2
        while lines[position]:
            slaves.append((lines[position], lines[position + 1]))
            position += 2
        position += 1
        choices: list[tuple[int, bytes, list[bytes]]] = []
        while lines[position]:
            path, priority = lines[position], int(lines[position + 1])
            choices.append((priority, path, lines[position + 2 : position + 2 + len(slaves)]))
            position += 2 + len(slaves)
    except (IndexError, ValueError):
        return None
    choices = [choice for choice in choices if exists(choice[1])]
    if not choices:
        return None
    _, best, best_slaves = max(choices, key=lambda choice: choice[0])
    links = [(link, b"/etc/alternatives/" + name), (b"/etc/alternatives/" + name, best)]
    for (slave, slave_link), path in zip(slaves, best_slaves, strict=True):
        if path and exists(path):
            links += [(slave_link, b"/etc/alternatives/" + slave), (b"/etc/alternatives/" + slave, path)]
    text = [b"auto", link]
    for pair in slaves:
        text += pair
    text.append(b"")
    for priority, path, slave_paths in choices:
        text += [path, str(priority).encode(), *slave_paths]
    return Alternative(b"\n".join(text) + b"\n\n", tuple(links))
