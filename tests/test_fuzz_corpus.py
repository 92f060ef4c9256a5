"""The fuzzer's corpus runs in the tests, without the fuzzer."""

import pytest
from fuzz.targets import CORPUS, TARGETS

FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_corpus_file_is_decoded_or_refused(path):
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_corpus():
    assert set(TARGETS) == {path.parent.name for path in FILES}
