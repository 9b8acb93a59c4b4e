"""Chat files as files: places, names, what is no chat, and that a save is whole or nothing."""

from __future__ import annotations

import os
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path

import msgspec
import pytest

from actors.errors import EngineError, ErrorCode
from actors.roots import canonical_path
from actors.stores import ChatRepository, generate_new_chat_file_path, get_next_chat_number
from actors.stores.chat_document import ChatDocument
from actors.stores.chat_repository import ChatFile
from actors.stores.project_roots import ProjectRoots
from tests.actors.stores.samples import answer, question, record


def document(session_id: str = "s", title: str = "") -> ChatDocument:
    return ChatDocument(schema_version=1, session=record(session_id, title=title))


def repository(*roots: Path) -> ChatRepository:
    return ChatRepository(ProjectRoots([str(root) for root in roots]))


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_created_chat_is_saved_loaded_and_deleted(tmp_path: Path) -> None:
    chats = repository(tmp_path)

    created = chats.create_new_file(str(tmp_path), document(title="first"))
    chats.save_to_file(str(created.path), document(title="second"))

    assert created.path == tmp_path / "chat1.chat.json"
    assert chats.load_from_file(str(created.path)).document == document(title="second")
    chats.delete_file(str(created.path))
    assert files_below(tmp_path) == {}


def test_a_missing_file_is_neither_loaded_nor_saved_nor_deleted(tmp_path: Path) -> None:
    chats = repository(tmp_path)
    path = str(tmp_path / "gone.chat.json")

    for call in (
        lambda: chats.load_from_file(path),
        lambda: chats.save_to_file(path, document()),
        lambda: chats.delete_file(path),
    ):
        with pytest.raises(EngineError) as raised:
            call()
        assert raised.value.code is ErrorCode.SESSION_NOT_FOUND
        assert path in raised.value.message
    assert files_below(tmp_path) == {}


def test_a_file_holds_the_id_the_mode_the_model_and_the_title_but_not_its_path(tmp_path: Path) -> None:
    path = repository(tmp_path).create_new_file(str(tmp_path), document(title="Tea")).path

    text = path.read_text()

    assert str(tmp_path) not in text
    assert '\n    "session_id": "s",\n' in text, "a field a line, so that a diff shows what changed"
    assert msgspec.json.decode(text)["session"]["title"] == "Tea"


def test_numbers_go_on_above_the_highest(tmp_path: Path) -> None:
    assert get_next_chat_number(str(tmp_path)) == 1
    for name in ("chat1.chat.json", "chat7.chat.json", "chat9.json", "my chat8.chat.json"):
        (tmp_path / name).touch()

    assert get_next_chat_number(str(tmp_path)) == 8
    assert generate_new_chat_file_path(str(tmp_path)) == str(tmp_path / "chat8.chat.json")


def test_twenty_chats_made_at_once_have_twenty_names(tmp_path: Path) -> None:
    chats = repository(tmp_path)

    def make(number: int) -> ChatFile:
        return chats.create_new_file(str(tmp_path), document(f"s{number}"), new_task=number % 2 == 1)

    with ThreadPoolExecutor(20) as threads:
        made = list(threads.map(make, range(20)))

    in_tasks = {f"task{n}/chat1.chat.json" for n in range(1, 11)}
    assert {str(file.path.relative_to(tmp_path)) for file in made} == in_tasks | {
        f"chat{n}.chat.json" for n in range(1, 11)
    }
    for file in made:
        assert chats.load_from_file(str(file.path)).document == file.document


def test_readers_never_see_half_a_save(tmp_path: Path) -> None:
    chats = repository(tmp_path)
    path = str(chats.create_new_file(str(tmp_path), document(title="0")).path)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(
            lambda: [chats.save_to_file(path, document(title=str(n % 10) * 9_000)) for n in range(50)]
        )
        while not writing.done():
            assert len(set(chats.load_from_file(path).document.session.title)) == 1


def test_a_save_keeps_the_permissions_of_the_file(tmp_path: Path) -> None:
    chats = repository(tmp_path)
    path = chats.create_new_file(str(tmp_path), document()).path
    path.chmod(0o640)

    chats.save_to_file(str(path), document(title="new"))

    assert path.stat().st_mode & 0o777 == 0o640


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder beside one that is none of ours, with links between them."""
    project, foreign = tmp_path / "project", tmp_path / "foreign"
    for folder in (project, foreign):
        (folder / "in").mkdir(parents=True)
    (foreign / "a.chat.json").write_text("theirs")
    (project / "way out").symlink_to(foreign)
    (project / "linked.chat.json").symlink_to(foreign / "a.chat.json")
    return project


@pytest.mark.parametrize(
    "place", ["{root}/../foreign", "{root}/in/../../foreign", "{root}/way out", "/", "{root}2", ""]
)
def test_nothing_is_made_outside_the_project_folders(project: Path, place: str) -> None:
    before = files_below(project.parent)

    with pytest.raises(EngineError) as raised:
        repository(project).create_new_file(place.format(root=project), document())

    assert raised.value.code is ErrorCode.INVALID_ARGUMENT
    assert str(project) in raised.value.message
    assert "`project_roots`" in raised.value.message
    assert files_below(project.parent) == before


@pytest.mark.parametrize(
    "path", ["../foreign/a.chat.json", "way out/a.chat.json", "linked.chat.json", "/etc/a.chat.json"]
)
def test_no_operation_reaches_a_file_outside(project: Path, path: str) -> None:
    chats = repository(project)
    place = str(project / path)
    before = files_below(project.parent)

    for call in (
        lambda: chats.load_from_file(place),
        lambda: chats.save_to_file(place, document()),
        lambda: chats.delete_file(place),
    ):
        with pytest.raises(EngineError) as raised:
            call()
        assert raised.value.code is ErrorCode.INVALID_ARGUMENT
    assert files_below(project.parent) == before


def test_a_link_to_a_project_folder_is_that_folder(project: Path) -> None:
    shortcut = project.parent / "shortcut"
    shortcut.symlink_to(project)

    path = repository(shortcut).create_new_file(str(shortcut / "in"), document()).path

    assert path == project / "in" / "chat1.chat.json"


def test_without_project_folders_every_file_is_refused_with_the_way_to_configure_one(
    tmp_path: Path,
) -> None:
    with pytest.raises(EngineError) as raised:
        repository().create_new_file(str(tmp_path), document())

    assert raised.value.code is ErrorCode.INVALID_ARGUMENT
    assert "name one or more in `project_roots`" in raised.value.message


@pytest.mark.parametrize(
    "name", ["a.json", "a.chat.jsonl", ".chat.json", "chat.json", "a.chat.json.bak", "a\0.chat.json"]
)
def test_a_file_with_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError) as raised:
        repository(tmp_path).load_from_file(str(tmp_path / name))

    assert raised.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_folder_with_the_name_of_a_chat_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.chat.json").mkdir()

    with pytest.raises(EngineError) as raised:
        repository(tmp_path).load_from_file(str(tmp_path / "a.chat.json"))

    assert raised.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_target_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for target in ("file", "nowhere"):
        with pytest.raises(EngineError) as raised:
            repository(tmp_path).create_new_file(str(tmp_path / target), document())
        assert raised.value.code is ErrorCode.INVALID_ARGUMENT


def test_one_file_has_one_canonical_path(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "a.chat.json").touch()
    (tmp_path / "link.chat.json").symlink_to("a.chat.json")

    with chdir(tmp_path):
        paths = {canonical_path(path) for path in ("a.chat.json", "./x/../a.chat.json", "link.chat.json")}

    assert paths == {str(tmp_path / "a.chat.json")}


WHOLE = (
    b'{"schema_version": 1, "session": {"session_id": "s", "created_at": "2026-03-01T12:00:00Z", '
    b'"updated_at": "2026-03-01T12:00:00Z"%s}, "messages": [%s]}'
)
MESSAGE = (
    b'{"message_id": "%s", "parent_id": %s, "role": "user", "content": {"kind": "text", "text": "Why?"}, '
    b'"created_at": "2026-03-01T12:00:00Z"}'
)


def test_a_file_made_by_hand_is_a_chat(tmp_path: Path) -> None:
    path = tmp_path / "by hand.chat.json"
    path.write_bytes(WHOLE % (b"", MESSAGE % (b"q", b"null")))

    found = repository(tmp_path).load_from_file(str(path)).document

    assert (found.epoch, found.revision, found.messages[0].message_id) == (1, 0, "q")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"schema_version": 1,', "truncated"),
        (b"\xff\xfe", "not a chat"),
        (b"[]", "not a chat"),
        (b"{}", "schema_version"),
        (b'{"schema_version": 1, "session": {"session_id": 7}}', "$.session.session_id"),
        (b'{"schema_version": 2, "chat": {}}', "upgrade Greenroom"),
        (b'{"schema_version": 0}', "no schema 0"),
        (WHOLE[:-1] % (b"", b"") + b', "surprise": 1}', "surprise"),
        (WHOLE.replace(b"00Z", b"00") % (b"", b""), "no zone"),
        (WHOLE % (b"", b", ".join([MESSAGE % (b"q", b"null")] * 2)), "two messages have the id q"),
        (WHOLE % (b"", MESSAGE % (b"q", b'"ghost"')), "no message ghost"),
        (
            WHOLE % (b"", b", ".join([MESSAGE % (b"p", b'"q"'), MESSAGE % (b"q", b'"p"')])),
            "is its own ancestor",
        ),
        (WHOLE % (b', "active_leaf_id": "ghost"', b""), "active leaf ghost"),
    ],
)
def test_what_is_no_chat_is_refused_and_stays_as_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "broken.chat.json"
    path.write_bytes(content)

    with pytest.raises(EngineError) as raised:
        repository(tmp_path).load_from_file(str(path))

    assert raised.value.code is ErrorCode.SESSION_INVALID
    assert str(path) in raised.value.message
    assert reason in raised.value.message
    assert path.read_bytes() == content


def test_branches_that_share_their_beginning_are_a_tree(tmp_path: Path) -> None:
    chats = repository(tmp_path)
    messages = (question("q").message, answer("a").message)
    several = tuple(
        msgspec.structs.replace(messages[1], message_id=f"a{n}", parent_id="q") for n in range(3)
    )
    tree = msgspec.structs.replace(document(), messages=(*several, messages[0]))

    path = chats.create_new_file(str(tmp_path), tree).path

    assert chats.load_from_file(str(path)).document == tree


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = repository(tmp_path).create_new_file(str(tmp_path), document()).path
    path.chmod(0)

    with pytest.raises(EngineError) as raised:
        repository(tmp_path).load_from_file(str(path))

    assert raised.value.code is ErrorCode.PERSISTENCE_FAILED
    assert "check the permissions" in raised.value.message


def test_a_file_that_cannot_grow_keeps_the_old_chat_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    chats = repository(tmp_path)
    path = str(chats.create_new_file(str(tmp_path), document(title="old")).path)
    before = files_below(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        with pytest.raises(EngineError) as raised:
            chats.save_to_file(path, document(title="x" * 100_000))
        with pytest.raises(EngineError):
            chats.create_new_file(str(tmp_path), document(title="x" * 100_000), new_task=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)

    assert raised.value.code is ErrorCode.PERSISTENCE_FAILED
    assert files_below(tmp_path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["chat1.chat.json"]
