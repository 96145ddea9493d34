"""Sets of labels: documents of sources, differences, and the set that ships."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Invalid, Malformed
from headwater.contracts.terminology import label_sets

KEYS = st.sampled_from(["a", "b", "c", "d"])
SETS = st.dictionaries(KEYS, st.sampled_from(["x", "y"]))


@pytest.mark.parametrize(
    "document", [b'{"a":"A"}', b'{"labels":{"a":"A"},"updated_at":"x"}', b' {"labels" : {"a":"\\u0041"}}\n']
)
def test_a_document_is_an_object_of_texts_or_holds_one_as_labels(document: bytes) -> None:
    assert label_sets.of_document(document) == {"a": "A"}


def test_a_label_may_have_the_key_labels() -> None:
    assert label_sets.of_document(b'{"labels":"Labels"}') == {"labels": "Labels"}


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (b"", Malformed),
        (b"<html>", Malformed),
        (b'{"a":"\xff"}', Malformed),
        (b'{"a":' * 100_000, Malformed),
        (b"[]", Invalid),
        (b"null", Invalid),
        (b"{}", Invalid),
        (b'{"labels":{}}', Invalid),
        (b'{"a":1}', Invalid),
        (b'{"a":null}', Invalid),
        (b'{"labels":{"a":["b"]}}', Invalid),
    ],
)
def test_any_other_document_is_refused(document: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        label_sets.of_document(document)


@given(old=SETS, new=SETS)
def test_differences_count_each_key_that_one_side_has_otherwise(old: label_sets.Labels, new: label_sets.Labels) -> None:
    expected = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    assert label_sets.differences(old, new) == len(expected)


@given(old=SETS, given_labels=st.dictionaries(KEYS, st.sampled_from(["x", "y", None])), merge=st.booleans())
def test_a_change_sets_each_given_label_and_touches_no_other_when_merged(
    old: label_sets.Labels, given_labels: dict[str, str | None], merge: bool
) -> None:
    after = label_sets.merged(old, given_labels, merge=merge)
    for key in old.keys() | given_labels.keys():
        expected = given_labels[key] if key in given_labels else (old[key] if merge else None)
        assert after.get(key) == expected


@given(labels=SETS)
def test_a_set_is_stored_with_its_keys_in_order(labels: label_sets.Labels) -> None:
    stored = label_sets.to_json(labels)
    assert label_sets.from_json(stored) == labels
    assert stored == label_sets.to_json(dict(reversed(list(labels.items()))))


def test_the_shipped_labels_come_in_english_and_norwegian() -> None:
    shipped = label_sets.shipped()
    english = {key[3:] for key in shipped if key.startswith("en.")}
    assert english == {key[3:] for key in shipped if key.startswith("nb.")}
    assert len(shipped) == 2 * len(english) == 40
