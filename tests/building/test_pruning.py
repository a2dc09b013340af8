"""What gc drops of what builds remember."""

from __future__ import annotations

import os
import time

from tests.lab import Lab


def test_gc_drops_lines_about_commits_that_are_gone_and_old_downloads(lab: Lab) -> None:
    folder = lab.git_dir / "build"
    (folder / "downloads").mkdir(parents=True)
    line, gone = f"{'a' * 64} {lab.head()}\n", f"{'b' * 64} {'c' * 40}\n"
    (folder / "index").write_text(line + gone + f"{'d' * 64} é\n" + line.strip())
    for name, days in (("old", 40), ("young", 2)):
        (folder / "downloads" / name).write_bytes(b"x")
        os.utime(folder / "downloads" / name, (time.time() - days * 86_400,) * 2)
    lab("gc", "--dry-run")
    assert len((folder / "index").read_text().splitlines()) == 4 and len(os.listdir(folder / "downloads")) == 2
    lab("gc")
    assert (folder / "index").read_text() == line
    assert os.listdir(folder / "downloads") == ["young"]
    lab("gc", "--prune=now")
    assert os.listdir(folder / "downloads") == []
