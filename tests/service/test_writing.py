"""A file is written whole or not at all, and nothing is left beside it."""

import os
import stat

import pytest

from lamplighter.service import writing

from .disk import full_disk


@pytest.mark.parametrize("write", [writing.write_new, writing.replace], ids=["new", "replaced"])
def test_a_full_disk_leaves_no_half_written_file(tmp_path, write):
    with full_disk(), pytest.raises(OSError, match="too large"):
        write(tmp_path / "file", b"octets")
    assert [] == list(tmp_path.iterdir())


def test_a_replacement_that_fails_leaves_what_was_there_and_no_scratch(tmp_path):
    path, directory = tmp_path / "file", tmp_path / "directory"
    path.write_bytes(b"old")
    directory.mkdir()
    with full_disk(), pytest.raises(OSError, match="too large"):
        writing.replace(path, b"newer")
    with pytest.raises(IsADirectoryError):
        writing.replace(directory, b"newer")
    assert ({path, directory}, b"old") == (set(tmp_path.iterdir()), path.read_bytes())


def test_a_replaced_file_obeys_the_umask_as_a_new_one_does(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    before = os.umask(0o027)
    try:
        writing.write_new(first, b"octets")
        writing.replace(second, b"octets")
        writing.replace(first, b"other")
    finally:
        os.umask(before)
    assert {0o640} == {stat.S_IMODE(path.stat().st_mode) for path in (first, second)}
    assert b"other" == first.read_bytes()


def test_a_file_that_exists_is_not_touched_unasked(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        writing.write_new(path, b"new")
    assert b"old" == path.read_bytes()
