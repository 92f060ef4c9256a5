"""One poller a campaign, however many look on: what streams say, when they end, and what they cost."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from threading import Event

import pytest

from lamplighter.service.web.live import BusyError, Live, Look

FAST = {"every": 0.02, "beat": 5.0, "stream": 5.0}


class Campaigns:
    """What is looked at: a number for each campaign, that a test changes."""

    def __init__(self) -> None:
        self.state: dict[int, int] = {}
        self.over: set[int] = set()
        self.looks: list[int] = []
        self.broken = False

    def __call__(self, campaign: int) -> Look:
        self.looks.append(campaign)
        if self.broken:
            raise OSError("the database is away")
        at = f"look {len(self.looks)}"
        return Look(at, {"state": self.state.get(campaign, 0)}, campaign in self.over)


def run(story) -> None:
    """A story in an event loop of its own; one that hangs fails."""
    asyncio.run(asyncio.wait_for(story, 30))


async def heard(stream, *kinds: str) -> list:
    """The data of the next events, which must be of these kinds; beats are passed over."""
    found = []
    for kind in kinds:
        async for text in stream:
            if text.startswith((":", "retry")):
                continue
            name, data = text.removesuffix("\n\n").split("\n")
            if name == "event: tick" and kind != "tick":
                continue
            assert f"event: {kind}" == name
            found.append(json.loads(data.removeprefix("data: ")))
            break
    return found


def test_fifty_browsers_are_one_poller():
    """All hear the same, and the campaign is looked at once for all of them."""

    async def story():
        campaigns = Campaigns()
        live = Live(campaigns, **FAST | {"every": 0.2})
        streams = [live.follow(7) for _ in range(50)]
        told = await asyncio.gather(*(heard(it, "state") for it in streams))
        assert [[{"state": 0}]] * 50 == told
        assert (1, 50) == (live.pollers, live.streams)
        assert len(campaigns.looks) <= 2
        for stream in streams:
            await stream.aclose()

    run(story())


def test_only_news_is_told():
    """A look that finds nothing new is a tick of a few octets; a change is told once."""

    async def story():
        campaigns = Campaigns()
        live = Live(campaigns, **FAST)
        async with aclosing(live.follow(1)) as stream:
            assert [{"state": 0}] == await heard(stream, "state")
            assert ["at"] == [*(await heard(stream, "tick"))[0]]
            campaigns.state[1] = 5
            assert [{"state": 5}] == await heard(stream, "state")

    run(story())


def test_the_last_to_leave_ends_the_poller():
    """Nobody looks: nothing is looked at."""

    async def story():
        campaigns = Campaigns()
        live = Live(campaigns, **FAST)
        async with aclosing(live.follow(1)) as stream:
            await heard(stream, "state")
        while live.pollers:  # noqa: ASYNC110 # there is nothing to wait for but the poller's own next look
            await asyncio.sleep(0)
        assert (0, 0) == (live.pollers, live.streams)

    run(story())


def test_a_campaign_that_is_over_ends_the_stream():
    """How it ended is told, then that it did; and nobody looks any more."""

    async def story():
        campaigns = Campaigns()
        campaigns.over.add(3)
        live = Live(campaigns, **FAST)
        stream = live.follow(3)
        assert [{"state": 0}, {}] == await heard(stream, "state", "over")
        assert [] == [text async for text in stream]
        assert [3] == campaigns.looks

    run(story())


def test_a_database_that_is_away_ends_no_stream():
    """It is said, and when the database is back that is told as well."""

    async def story():
        campaigns = Campaigns()
        live = Live(campaigns, **FAST)
        async with aclosing(live.follow(1)) as stream:
            await heard(stream, "state")
            campaigns.broken = True
            await heard(stream, "trouble")
            campaigns.broken, campaigns.state[1] = False, 1
            while True:
                text = await anext(stream)
                if "event: state" in text:
                    break
            assert '{"state":1}' in text

    run(story())


def test_who_comes_later_hears_nothing_older_than_their_page():
    """After a form was posted the page is new; a look that began before must not put the old state back."""

    async def story():
        campaigns = Campaigns()
        began, go = Event(), Event()

        def slow(campaign: int) -> Look:
            state = campaigns.state.get(campaign, 0)
            began.set()
            go.wait(10)
            return Look("now", {"state": state}, is_over=False)

        live = Live(slow, **FAST)
        async with aclosing(live.follow(1)) as first, aclosing(live.follow(1)) as second:
            await anext(first)
            await asyncio.to_thread(began.wait)
            campaigns.state[1] = 1  # the form is posted while somebody's look goes on
            await anext(second)
            go.set()
            assert [{"state": 0}] == await heard(first, "state")
            assert [{"state": 1}] == await heard(second, "state")

    run(story())


def test_a_stream_ends_after_its_time():
    """The browser asks anew, and whoever was signed out meanwhile stays out."""

    async def story():
        live = Live(Campaigns(), **FAST | {"stream": 0.1})
        texts = [text async for text in live.follow(1)]
        assert texts[0].startswith("retry:")
        assert not any("over" in text for text in texts)

    run(story())


def test_a_silent_stream_says_that_it_is_alive():
    """A proxy keeps it, and a browser that has gone is noticed."""

    async def story():
        never = Event()

        def hangs(_campaign: int) -> Look:
            never.wait(10)
            return Look("now", {}, is_over=True)

        live = Live(hangs, every=0.02, beat=0.05, stream=5)
        stream = live.follow(1)
        assert ["retry: 2000\n\n", ": still here\n\n"] == [await anext(stream), await anext(stream)]
        never.set()
        await stream.aclose()

    run(story())


def test_streams_without_end():
    """Whoever opens more streams than a process holds is turned away, and those that are open go on."""

    async def story():
        live = Live(Campaigns(), **FAST, streams_max=2)
        async with aclosing(live.follow(1)) as one, aclosing(live.follow(2)) as two:
            await anext(one)
            live.check("ann")
            await anext(two)
            with pytest.raises(BusyError, match="2 pages are open"):
                live.check("ann")

    run(story())


def test_streams_of_one_person_leave_room_for_others():
    """One account, or whoever got hold of its session, does not take all that a process holds."""

    async def story():
        live = Live(Campaigns(), **FAST, streams_each=1)
        async with aclosing(live.follow(1, "eve")) as stream:
            await anext(stream)
            with pytest.raises(BusyError, match="eve has 1 pages open"):
                live.check("eve")
            live.check("ann")
        live.check("eve")

    run(story())


def test_no_text_of_a_campaign_breaks_out_of_its_event():
    """A line feed in the data would be another field of the stream."""

    async def story():
        def look(_campaign: int) -> Look:
            return Look("now", {"html": "a\n\nevent: over\ndata: {}\n\n"}, is_over=True)

        live = Live(look, **FAST)
        texts = [text async for text in live.follow(1)]
        assert ["event: state", "event: tick", "event: over"] == [it.split("\n")[0] for it in texts[1:]]

    run(story())
