"""Which of several histories in a registry is an image's, and which a push must not lose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest

from envgit.errors import SourceError, UsageError
from envgit.layers.sources.image_source import ImageName
from envgit.monitor import NullMonitor
from envgit.registry.referrers import IndexEntry
from envgit.registry.uploading import MANIFEST_TYPE, Uploader
from envgit.transfer.registry.artifact import ARTIFACT_TYPE, History, digest_of, format_history, format_manifest
from envgit.transfer.registry.finding import POINTER, find_history, find_latest, pointed_at, pointer_tag
from tests.publishing.writable_registry import WritableRegistry

OIDS = [bytes([number]) * 20 for number in range(10)]
MAIN = "refs/heads/main"


class Place:
    """The repository of a registry, into which images and histories are put by hand."""

    def __init__(self, uploader: Uploader, host: str) -> None:
        self.uploader = uploader
        self.host = host
        self.monitor = NullMonitor()

    def name(self, tag: str = "1", digest: str = "") -> ImageName:
        return ImageName(self.host, "me/app", tag, digest)

    def image(self, number: int, tag: str = "1", *, says: bool = True) -> str:
        """Put an image of the commit OIDS[number] at a tag; return its digest."""
        value: dict[str, object] = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "number": number}
        if says:
            value["annotations"] = {"org.opencontainers.image.revision": OIDS[number].hex()}
        return self.uploader.put_manifest(tag, json.dumps(value).encode(), MANIFEST_TYPE)

    def history(
        self, subject: str, number: int, sequence: int, tag: str = "1", *, pointer: bool = False, damaged: bool = False
    ) -> str:
        """Put a history with main at OIDS[number] beside an image; return the artifact's digest."""
        history = History({MAIN: OIDS[number], "refs/heads/at": OIDS[sequence % 10]}, MAIN, ())
        document = b"{}" if damaged else format_history(history)
        self.uploader.upload_blob(digest_of(document), len(document), partial(BytesIO, document))
        descriptor = {"mediaType": MANIFEST_TYPE, "digest": subject, "size": 9}
        manifest = format_manifest(history, document, descriptor, sequence, tag)
        if pointer:
            self.uploader.put_manifest(POINTER + tag, manifest, MANIFEST_TYPE)
        return self.uploader.put_referrer(manifest, MANIFEST_TYPE)

    def found(self, name: ImageName | None = None) -> str:
        found = find_history(self.uploader, name or self.name(), self.monitor)
        return found.manifest if found else ""

    def latest(self) -> tuple[str, int]:
        latest = find_latest(self.uploader, self.name(), self.monitor)
        return latest.found.manifest if latest.found else "", latest.sequence


@pytest.fixture(params=["api", "tag"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """In a registry with the referrers API, which lists no annotations, and in one without."""
    registry = WritableRegistry()
    registry.referrers_api = request.param == "api"
    (tmp_path / "registries.conf").touch()
    environ = {"HOME": str(tmp_path), "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf")}
    with Uploader(registry.host, "me/app", environ, NullMonitor()) as uploader:
        yield Place(uploader, registry.host)
    registry.close()


def test_nothing_there(place: Place) -> None:
    assert place.found() == "" and place.latest() == ("", 0)
    place.image(1)
    assert place.found() == "" and place.latest() == ("", 0)
    assert pointed_at(place.uploader, place.name()) == ""


def test_the_newest_is_not_the_last_that_is_listed(place: Place) -> None:
    image = place.image(1)
    place.history(image, 1, 2)
    newest = place.history(image, 1, 11)
    place.history(image, 1, 9)
    assert place.found() == newest and place.latest() == (newest, 11)


def test_two_tags_of_one_image_have_each_their_history(place: Place) -> None:
    image = place.image(1)
    assert place.image(1, "2") == image
    first = place.history(image, 1, 1)
    second = place.history(image, 1, 5, "2")
    assert place.found() == first and place.found(place.name("2")) == second
    assert place.found(place.name("", image)) == second
    assert place.latest() == (first, 5)


def test_a_damaged_one_is_passed_over_with_a_warning(place: Place) -> None:
    image = place.image(1)
    good = place.history(image, 1, 1)
    place.history(image, 1, 2, damaged=True)
    assert place.found() == good and place.latest() == (good, 2)
    assert len(place.monitor.warnings) == 2 and "an older one is used" in place.monitor.warnings[0]


def test_nothing_but_damage_is_an_error_for_who_reads_and_mended_by_who_pushes(place: Place) -> None:
    image = place.image(1)
    place.history(image, 1, 2, damaged=True, pointer=True)
    with pytest.raises(SourceError, match="damaged"):
        place.found()
    assert place.latest() == ("", 2)
    assert "passed over" in place.monitor.warnings[-1]


def test_the_pointer_outlives_the_image_at_its_tag(place: Place) -> None:
    old = place.history(place.image(1), 1, 4, pointer=True)
    place.image(2)
    assert place.latest() == (old, 4) and place.monitor.warnings == []
    assert place.found() == old
    assert "pushed without its history" in place.monitor.warnings[0]
    assert place.found(place.name("", place.image(2))) == ""  # a digest means this image and no other
    assert pointed_at(place.uploader, place.name()) == old


def test_a_push_that_was_cut_off_before_the_pointer_counts(place: Place) -> None:
    place.history(place.image(1), 1, 4, pointer=True)
    newer = place.history(place.image(2), 2, 5)
    assert place.latest() == (newer, 5) and place.found() == newer
    assert place.monitor.warnings == []


def test_an_image_at_the_tag_of_the_pointer_is_no_history(place: Place) -> None:
    image = place.image(1)
    good = place.history(image, 1, 3)
    place.image(1, POINTER + "1")
    assert place.latest() == (good, 3) and place.found() == good
    assert "no history of an environment" in place.monitor.warnings[0]


def test_a_history_that_somebody_put_beside_a_pinned_image_is_not_taken(place: Place) -> None:
    """Whoever may push can say that a history belongs to an image; what a digest names must not change by that."""
    image = place.image(1)
    pinned = place.name("", image)
    good = place.history(image, 1, 1)
    place.history(image, 2, 2)
    assert place.found(pinned) == good and place.found() == good
    assert "image's commit as its HEAD" in place.monitor.warnings[0]


def test_nothing_is_taken_for_a_pinned_image_but_its_own_commit(place: Place) -> None:
    image = place.image(1)
    place.history(image, 2, 1)
    with pytest.raises(SourceError, match="image's commit as its HEAD"):
        place.found(place.name("", image))
    mute = place.image(3, "3", says=False)
    plain = place.history(mute, 3, 1, "3")
    assert place.found(place.name("3")) == plain
    with pytest.raises(SourceError, match="image's commit as its HEAD"):
        place.found(place.name("", mute))


def test_a_referrer_of_another_image_is_not_taken(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry can list what it likes."""
    one, other = place.image(1), place.image(2, "2")
    stray = place.history(other, 1, 7, "1")
    entry = IndexEntry(MANIFEST_TYPE, stray, 1, ARTIFACT_TYPE)
    monkeypatch.setattr(Uploader, "list_referrers", lambda *words: (entry,))
    assert one != other and place.found() == ""


def test_the_pointers_tag() -> None:
    assert pointer_tag("1.0") == "envgit-history-1.0"
    assert len(pointer_tag("x" * 113)) == 128
    long = {pointer_tag("x" * 127 + letter) for letter in "ab"}
    assert len(long) == 2 and all(len(tag) <= 128 for tag in long)
    with pytest.raises(UsageError, match="names a history"):
        pointer_tag("envgit-history-1.0")
