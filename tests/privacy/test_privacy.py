"""An export of a member's data: all of it, nothing of others, and how often it may be asked for."""

from __future__ import annotations

import json

from bot.playground.world import World
from tests.helpers.pictures import CHANGED, PROMPT, drawn, photo
from tests.helpers.privacy import another_member, exported, zip_contents


async def test_an_export_has_everything_of_the_member_and_nothing_of_others(world: World) -> None:
    noa = another_member(world)
    first = await drawn(world, steps=1)
    picture = await first.attachments[0].read()
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), private=True, steps=2)
    await world.member.slash(world.channel, "settings", size="large")
    await noa.slash(world.channel, "imagine", prompt="a secret of somebody else", steps=1)
    parts, said = await exported(world)
    assert said == "This is everything I store about you, in 1 part."
    found = zip_contents(parts)
    jobs = json.loads(found["jobs.json"])
    assert [job["spec"]["prompt"] for job in jobs] == [PROMPT, CHANGED]
    assert jobs[0]["credits"] == 0.47
    assert jobs[0]["result_message_id"] == str(first.id)
    assert found[f"images/{jobs[0]['images'][0]['file']}"] == picture
    assert sorted(name.partition("/")[0] for name in found) == [
        "about-you.json",
        "images",
        "images",
        "jobs.json",
        "sources",
    ]
    (about,) = json.loads(found["about-you.json"])
    assert about["settings"] == [{"name": "size", "value": "large"}]
    assert sum(day["credits"] for day in about["usage_by_day"]) == sum(job["credits"] for job in jobs)
    assert all(b"somebody else" not in data and b"interaction_token" not in data for data in found.values())
    assert not any(message.attachments for message in world.channel.history(viewer=noa)[2:]), "others see none of it"


async def test_one_export_every_ten_minutes(world: World) -> None:
    await exported(world)
    answered = await world.member.slash(world.channel, "privacy export")
    assert answered.response.content == "One export every 10 minutes: ask again in 10 min."
    noa = another_member(world)
    assert (await noa.slash(world.channel, "privacy export")).followups, "others may"
    assert len(world.env.errors) == 1


async def test_what_broke_off_may_be_gone_on_with_at_once(world: World) -> None:
    await drawn(world, steps=1)
    world.env.inject_error("POST", "/webhooks/*", status=404, code=10015, times=1)
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007, times=2)
    _, said = await exported(world)
    assert "I could send 0 parts only" in said
    answered = await world.member.slash(world.channel, "privacy export", from_job=1)
    assert answered.response.content.startswith("One moment: ask again in ")
    await world.env.advance_time(16)
    parts, said = await exported(world, from_job=1)
    assert len(parts) == 1
    assert said == "This is everything I store about you, in 1 part."
    assert len(world.env.errors) == 1
