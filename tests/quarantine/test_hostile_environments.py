"""Sound objects that make up no sound environment: each says one thing that is not so."""

from __future__ import annotations

from hashlib import sha256

import pytest

from envgit.model import DirectoryRef
from envgit.quarantine import commits, pack_scan
from envgit.quarantine.errors import NotAnEnvironment
from envgit.store.objects import Tag, decode_tree, encode_tag
from envgit.trees import MODE_FILE
from tests.quarantine.builder import CONFIG, WHO, Environment, trailers
from tests.quarantine.conftest import Home
from tests.quarantine.forging import Cases, oid_of, swap, with_meta

case = Cases()


# what is no environment


@case("not one of environments", NotAnEnvironment)
def an_ordinary_repository(made: Environment) -> bytes:
    tree = made.objects.tree((MODE_FILE, b".gitignore", made.objects.put("blob", b"*.o\n")))
    return made.commit(made.root(), tree=tree, message=b"Initial commit\n")


@case("no Envgit-Root", NotAnEnvironment)
def no_trailers(made: Environment) -> bytes:
    return made.commit(made.root(), message=b"looks like one\n")


@case("no Envgit-Root", NotAnEnvironment)
def trailers_in_the_middle(made: Environment) -> bytes:
    root = made.root()
    return made.commit(root, message=trailers(root.sha256, sha256(CONFIG).digest()) + b"\nand more words\n")


@case("no Envgit-Root", NotAnEnvironment)
def a_short_digest(made: Environment) -> bytes:
    root = made.root()
    return made.commit(root, message=trailers(root.sha256[:31], sha256(CONFIG).digest()))


@case("leads to a tree", NotAnEnvironment)
def a_tip_that_is_a_tree(made: Environment) -> bytes:
    return oid_of(made.root())


@case("leads to a blob", NotAnEnvironment)
def a_tip_that_is_a_blob(made: Environment) -> bytes:
    return made.objects.put("blob", b"x")


def tag_of(made: Environment, target: bytes, type: str) -> bytes:
    return made.objects.put("tag", encode_tag(Tag(target, type, b"v1", WHO, b"words\n")))


@case("leads to a tree", NotAnEnvironment)
def a_tag_of_a_tree(made: Environment) -> bytes:
    return tag_of(made, oid_of(made.root()), "tree")


@case("names a commit, but")
def a_tag_that_lies(made: Environment) -> bytes:
    return tag_of(made, oid_of(made.root()), "commit")


@case("more than 16 tags")
def tags_of_tags(made: Environment) -> bytes:
    tip = tag_of(made, made.commit(made.root()), "commit")
    for _ in range(30):
        tip = tag_of(made, tip, "tag")
    return tip


# commits


@case("does not have the SHA-256 its parent recorded")
def forged_root_trailer(made: Environment) -> bytes:
    return made.commit(made.root(), message=trailers(bytes(32), sha256(CONFIG).digest()))


@case("config.json of")
def forged_config_trailer(made: Environment) -> bytes:
    root = made.root()
    return made.commit(root, message=trailers(root.sha256, bytes(32)))


@case("Envgit-Root: twice")
def two_roots(made: Environment) -> bytes:
    root = made.root()
    good = trailers(root.sha256, sha256(CONFIG).digest())
    return made.commit(root, message=good.replace(b"\n\n", b"\n\nEnvgit-Root: sha256:" + b"0" * 64 + b"\n", 1))


@case("mode 120000")
def config_a_symbolic_link(made: Environment) -> bytes:
    root, blob = made.root(), made.objects.put("blob", CONFIG)
    tree = made.objects.tree((0o120000, b"config.json", blob), (0o040000, b"rootfs", oid_of(root)))
    return made.commit(root, tree=tree)


@case("mode 100755")
def config_executable(made: Environment) -> bytes:
    root, blob = made.root(), made.objects.put("blob", CONFIG)
    tree = made.objects.tree((0o100755, b"config.json", blob), (0o040000, b"rootfs", oid_of(root)))
    return made.commit(root, tree=tree)


@case("no config.json")
def no_config(made: Environment) -> bytes:
    root = made.root()
    return made.commit(root, tree=made.objects.tree((0o040000, b"rootfs", oid_of(root))))


@case("not JSON")
def config_of_nonsense(made: Environment) -> bytes:
    return made.commit(made.root(), config=b"{nonsense")


@case("not JSON")
def config_nested_without_end(made: Environment) -> bytes:
    return made.commit(made.root(), config=b"[" * 500_000)


@case("more than 64 lists and objects")
def config_nested_deeper_than_a_later_reader_can_follow(made: Environment) -> bytes:
    return made.commit(made.root(), config=b'{"Labels": %b%b}' % (b"[" * 3000, b"]" * 3000))


@case("more than 64 lists and objects")
def config_of_objects_in_objects(made: Environment) -> bytes:
    return made.commit(made.root(), config=b'{"a": ' * 65 + b"1" + b"}" * 65)


@case("not a JSON object")
def config_a_list(made: Environment) -> bytes:
    return made.commit(made.root(), config=b"[]")


@case("Cmd is not a list")
def config_with_a_field_of_another_type(made: Environment) -> bytes:
    return made.commit(made.root(), config=b'{"Cmd": 1}')


@case("Env is not a list")
def config_with_a_nul(made: Environment) -> bytes:
    return made.commit(made.root(), config=b'{"Env": ["A=\\u0000"]}')


@case("config.json is a blob of")
def config_of_megabytes(made: Environment) -> bytes:
    return made.commit(made.root(), config=b'"' + b"x" * commits.CONFIG_MAX_BYTES + b'"')


@case("does not know")
def something_beside(made: Environment) -> bytes:
    return made.commit(made.root(), top=[(MODE_FILE, b"hooks", made.objects.put("blob", b"x"))])


@case("does not know")
def a_submodule_beside(made: Environment) -> bytes:
    return made.commit(made.root(), top=[(0o160000, b"module", b"m" * 20)])


@case("envgit.toml with mode 40000")
def a_declaration_that_is_a_folder(made: Environment) -> bytes:
    return made.commit(made.root(), top=[(0o040000, b"envgit.toml", made.objects.tree())])


@case("rootfs with mode 100644")
def rootfs_a_file(made: Environment) -> bytes:
    blob = made.objects.put("blob", CONFIG)
    tree = made.objects.tree((MODE_FILE, b"config.json", blob), (MODE_FILE, b"rootfs", made.objects.put("blob", b"")))
    return made.commit(made.root(), tree=tree)


@case("is a blob")
def a_tree_that_is_a_blob(made: Environment) -> bytes:
    return made.commit(made.root(), tree=made.objects.put("blob", b"x"))


@case("is missing")
def a_parent_that_is_missing(made: Environment) -> bytes:
    return made.commit(made.root(), b"p" * 20)


@case("where a commit is needed")
def a_parent_that_is_a_tree(made: Environment) -> bytes:
    root = made.root()
    return made.commit(root, oid_of(root))


@case("does not have the SHA-256 its parent recorded")
def only_the_parent_is_forged(made: Environment) -> bytes:
    parent = made.commit(made.root(), message=trailers(bytes(32), sha256(CONFIG).digest()))
    return made.commit(made.root(tool=b"other\n"), parent)


# directories


@case("/bin: directory")
def directory_without_metadata(made: Environment) -> bytes:
    root = made.root()
    bin = next(oid for _, name, oid in decode_tree(made.objects.known[oid_of(root)][1]) if name == b"bin")
    bare = made.objects.replace_in_tree(bin, b"%meta", to=b"")
    return made.commit(root._replace(content=made.objects.replace_in_tree(oid_of(root), b"bin", to=bare)))


@case("does not have the SHA-256 its parent recorded")
def directory_swapped_for_another(made: Environment) -> bytes:
    root = made.root()
    other = made.folder(b"bin").content
    assert isinstance(other, DirectoryRef)
    return made.commit(root._replace(content=made.objects.replace_in_tree(oid_of(root), b"bin", to=oid_of(other))))


@case("in the git tree but not in the metadata")
def a_file_that_metadata_hides(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"extra": (MODE_FILE, made.objects.put("blob", b"x"))})


@case("has no git entry")
def a_file_that_git_lacks(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"name": None})


@case("not in its one spelling")
def a_name_escaped_without_need(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"%plain": (MODE_FILE, made.objects.put("blob", b"x"))})


@case("not in its one spelling")
def a_name_not_escaped(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b".gitmodules": (MODE_FILE, made.objects.put("blob", b"x"))})


@case("mode 100644")
def an_executable_bit_more(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"name": (0o100755, made.objects.put("blob", b"example\n"))})


@case("mode 100644")
def a_file_that_is_a_link(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"name": (0o120000, made.objects.put("blob", b"example\n"))})


@case("mode 100644")
def a_file_that_is_a_submodule(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"name": (0o160000, b"m" * 20)})


@case("the target of b'link' differs")
def a_link_with_two_targets(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"link": (0o120000, made.objects.put("blob", b"/etc/shadow"))})


@case("device or FIFO but has a git entry")
def a_device_with_content(made: Environment) -> bytes:
    return with_meta(made, b"dev", lambda meta: meta, {b"null": (MODE_FILE, made.objects.put("blob", b"x"))})


@case("bytes, its metadata says 9")
def a_size_that_is_not_so(made: Environment) -> bytes:
    return with_meta(made, b"etc", swap(b" 8 ", b" 9 "))


@case("does not have the SHA-256 that its metadata says")
def a_content_that_is_not_so(made: Environment) -> bytes:
    return with_meta(made, b"etc", swap(sha256(b"example\n").hexdigest().encode(), b"0" * 64))


@case("does not have the SHA-256 that its metadata says")
def content_swapped_for_as_much(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"name": (MODE_FILE, made.objects.put("blob", b"EXAMPLE\n"))})


@case("the content of 'name' is a tree")
def content_that_is_a_tree(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"name": (MODE_FILE, made.objects.tree())})


@case("tree, not a blob")
def metadata_that_is_a_tree(made: Environment) -> bytes:
    return with_meta(made, b"etc", lambda meta: meta, {b"%meta": (MODE_FILE, made.objects.tree())})


@case("blob, not a tree")
def a_directory_that_is_a_blob(made: Environment) -> bytes:
    return with_meta(made, b"", lambda meta: meta, {b"etc": (0o040000, made.objects.put("blob", b"x"))})


# what is missing


@pytest.mark.parametrize("type", ["commit", "tree", "blob"])
def test_every_object_is_needed(home: Home, type: str) -> None:
    """The pack without one of its objects, for each of them that is not here already."""
    made = Environment()
    tip = made.commit(made.root(tool=b"something else\n"), made.commit(made.root(made.file(b"more", b"more\n"))))
    left_out = [
        oid for oid, (kind, _) in made.objects.known.items() if kind == type and not home.store.objects.contains(oid)
    ]
    assert left_out
    for oid in left_out:
        message = home.refuse(made.objects.pack([oid]), tip)
        assert f"object {oid.hex()} is missing" in message


def test_an_object_that_a_collision_made_into_another(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has one at hand: a hash that only looks at the size stands in for SHA-1."""
    victim = next(oid for oid, item in home.environment.objects.known.items() if item == ("blob", b"example\n"))
    real = pack_scan.identify
    monkeypatch.setattr(
        pack_scan, "identify", lambda type, data: (victim, bytes(32)) if data == b"EXAMPLE\n" else real(type, data)
    )
    made = Environment()
    tip = made.commit(made.root(tool=b"x\n"))
    made.objects.put("blob", b"EXAMPLE\n")
    made.objects.known = {oid: item for oid, item in made.objects.known.items() if oid != victim}
    assert "collision of SHA-1" in home.refuse(made.objects.pack(), tip)


@pytest.mark.parametrize("name", case)
def test_refused(home: Home, name: str) -> None:
    case.check(home, name)
