"""The table of who may see and do what, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from bot.moderation.access import Action, Actor, Editable, Picture, Place, Verdict, may

OWNER, OTHER = Actor(1), Actor(2)
HERE = Place(10, 100, reads=True, writes=True)
THERE = Place(10, 101, reads=True)
HIDDEN = Place(10, 102)
ELSEWHERE = Place(11, 110, reads=True)
DIRECT = Place(None, 200, reads=True, writes=True)
SECRET = Picture(1, HERE, private=True)
POSTED = Picture(1, HERE)
ABOUT_A_PICTURE = [action for action in Action if action is not Action.POST]
SHOWING = [Action.SEE, Action.EDIT, Action.REPEAT, Action.COMPARE]


@pytest.mark.parametrize("action", SHOWING)
@pytest.mark.parametrize("place", [HERE, THERE, HIDDEN, ELSEWHERE, DIRECT])
def test_owners_use_their_pictures_anywhere(action: Action, place: Place) -> None:
    for picture in (POSTED, SECRET, replace(POSTED, place=HIDDEN)):
        assert may(action, OWNER, place, picture).allowed


@pytest.mark.parametrize("action", SHOWING)
def test_others_see_what_is_posted_where_they_can_read(action: Action) -> None:
    places = (HERE, THERE, HIDDEN, ELSEWHERE, DIRECT)
    for place, posted in product(places, places):
        in_reach = place.guild_id == posted.guild_id and posted.reads and (place.guild_id or place == posted)
        expected = Verdict.ALLOWED if in_reach else Verdict.NOT_FOUND
        assert may(action, OTHER, place, Picture(1, posted)) is expected, (place, posted)
        assert may(action, OTHER, place, Picture(1, posted, private=True)) is Verdict.NOT_FOUND


def test_another_conversation_reaches_no_direct_messages() -> None:
    other = Place(None, 201, reads=True, writes=True)
    assert may(Action.SEE, OTHER, other, Picture(1, DIRECT)) is Verdict.NOT_FOUND


@pytest.mark.parametrize("action", [Action.COMPARE, Action.REPEAT])
def test_an_original_that_nobody_saw_is_for_the_owner_of_the_edit(action: Action) -> None:
    edit = replace(POSTED, edited=True)
    assert may(action, OWNER, HERE, edit).allowed
    assert may(action, OTHER, HERE, edit) is Verdict.ORIGINAL_HIDDEN


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        (Picture(3, THERE), Verdict.ALLOWED),
        (Picture(3, HIDDEN), Verdict.ORIGINAL_HIDDEN),
        (Picture(3, ELSEWHERE), Verdict.ORIGINAL_HIDDEN),
        (Picture(3, THERE, private=True), Verdict.ORIGINAL_HIDDEN),
        (Picture(2, THERE, private=True), Verdict.ALLOWED),
        (Picture(3, replace(THERE, age_restricted=True)), Verdict.AGE_RESTRICTED),
    ],
)
def test_the_original_of_an_edit_is_seen_as_any_picture(original: Picture, expected: Verdict) -> None:
    edit = replace(POSTED, edited=True, original=original)
    for action in (Action.COMPARE, Action.REPEAT):
        assert may(action, OTHER, HERE, edit) is expected


def test_an_edit_whose_original_was_deleted_is_repeated_by_its_owner_alone() -> None:
    edit = replace(POSTED, edited=True, original=Picture(3, THERE, gone=True))
    assert may(Action.REPEAT, OWNER, HERE, edit).allowed
    assert may(Action.REPEAT, OTHER, HERE, edit) is Verdict.ORIGINAL_GONE


@pytest.mark.parametrize("action", SHOWING)
def test_what_is_from_an_age_restricted_channel_stays_in_such_channels(action: Action) -> None:
    adult, adults_too = replace(THERE, age_restricted=True), replace(HERE, age_restricted=True)
    for actor, picture in product((OWNER, OTHER), (Picture(1, adult), Picture(1, adult, edited=True))):
        assert may(action, actor, HERE, picture) is Verdict.AGE_RESTRICTED
    assert may(action, OWNER, DIRECT, Picture(1, adult)) is Verdict.AGE_RESTRICTED
    for actor in (OWNER, OTHER):
        assert may(action, actor, adults_too, Picture(1, adult)).allowed
        assert may(action, actor, adults_too, Picture(1, THERE)).allowed


@pytest.mark.parametrize(
    ("editable", "ours", "expected"),
    [
        ("all", True, Verdict.ALLOWED),
        ("all", False, Verdict.ALLOWED),
        ("results", True, Verdict.ALLOWED),
        ("results", False, Verdict.RESULTS_ONLY),
        ("own", True, Verdict.OWN_ONLY),
        ("own", False, Verdict.OWN_ONLY),
    ],
)
def test_the_server_says_whose_pictures_are_edited(editable: Editable, ours: bool, expected: Verdict) -> None:  # noqa: FBT001
    picture = replace(POSTED, ours=ours)
    assert may(Action.EDIT, OTHER, HERE, picture, editable=editable) is expected
    assert may(Action.EDIT, OWNER, HERE, picture, editable=editable).allowed
    assert may(Action.SEE, OTHER, HERE, picture, editable=editable).allowed
    hidden = replace(picture, place=HIDDEN)
    assert may(Action.EDIT, OTHER, HERE, hidden, editable=editable) is Verdict.NOT_FOUND, "the setting tells nothing"


def test_rights_count_where_the_picture_is_and_not_where_they_are_used() -> None:
    office = replace(HERE, moderates=True)
    plain, moderated = Picture(1, THERE), Picture(1, replace(THERE, moderates=True))
    assert may(Action.DELETE, OTHER, office, plain) is Verdict.NOT_THEIRS_TO_DELETE
    assert may(Action.CANCEL, OTHER, office, plain) is Verdict.NOT_THEIRS_TO_CANCEL
    assert may(Action.MODERATE, OTHER, office, plain) is Verdict.NOT_FOUND
    assert may(Action.DELETE, OTHER, HERE, moderated).allowed
    assert may(Action.CANCEL, OTHER, HERE, moderated).allowed
    assert may(Action.MODERATE, OTHER, office, Picture(1, office)).allowed
    assert may(Action.MODERATE, OTHER, HERE, POSTED) is Verdict.NOT_MODERATOR


@pytest.mark.parametrize("action", [Action.DELETE, Action.CANCEL, Action.MODERATE])
def test_moderators_of_a_server_reach_no_other(action: Action) -> None:
    boss = replace(HERE, moderates=True)
    for posted in (ELSEWHERE, DIRECT, replace(HIDDEN, guild_id=11)):
        assert not may(action, OTHER, boss, Picture(1, posted)).allowed
        assert not may(action, OTHER, boss, Picture(1, posted, private=True)).allowed


def test_private_pictures_are_no_business_of_moderators_but_their_place_in_the_queue_is() -> None:
    boss = replace(HERE, moderates=True)
    secret = Picture(1, boss, private=True)
    assert may(Action.DELETE, OTHER, boss, secret) is Verdict.NOT_FOUND
    assert may(Action.MODERATE, OTHER, boss, secret) is Verdict.NOT_FOUND
    assert may(Action.CANCEL, OTHER, boss, secret).allowed


def test_who_may_not_write_is_answered_privately() -> None:
    assert may(Action.POST, OTHER, HERE).allowed
    assert may(Action.POST, OTHER, DIRECT).allowed
    assert may(Action.POST, OTHER, THERE) is Verdict.PRIVATELY


@pytest.mark.parametrize("action", ABOUT_A_PICTURE)
def test_an_action_needs_its_picture(action: Action) -> None:
    with pytest.raises(ValueError, match="of which picture"):
        may(action, OWNER, HERE)


def test_every_refusal_is_one_sentence_of_its_own() -> None:
    sentences = [verdict.value for verdict in Verdict if not verdict.allowed]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)
