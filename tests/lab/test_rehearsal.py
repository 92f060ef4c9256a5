"""The small standard campaign, undisturbed and under each fault: every fault shows where it says it does."""

from lab.user import heard as names_of
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.lab.dcc import Dropped
from lamplighter.lab.faults import Scheduled
from lamplighter.lab.homes import ACB, FACTORY_VERSION, START, SUPPLIER, build_world
from lamplighter.lab.rehearsal import NEW_VERSION, Rehearsal
from lamplighter.protocol import duis, gbcs


class Lived:
    """One home that has lived through the campaign under faults."""

    def __init__(self, *faults, days=4):
        self.lab = build_world("rehearsal", faults=faults)
        self.home = self.lab.homes[0]
        self.rehearsal = Rehearsal(self.lab)
        self.live(days)

    def live(self, days):
        self.rehearsal.run(Instant(self.lab.world.now + days * DAY))

    @property
    def names(self):
        return names_of([response for _, response in self.rehearsal.heard])

    def first(self, name):
        """When the Supplier first heard of something, since the start."""
        return next(at for at, each in self.rehearsal.heard if name in names_of([each])) - START

    def runs(self, device):
        return self.lab.world.node(device).version

    def known(self, device):
        """What the inventory has."""
        return self.lab.world.dcc.inventory.find(device).firmware

    def said(self, kind):
        """The GBCS payloads of a kind that homes sent over the WAN."""
        sent = (traced.octets for traced in self.lab.world.trace if traced.what == "WAN GBCS")
        return [payload for octets in sent if isinstance(payload := gbcs.decode(octets).payload, kind)]

    def bodies(self, kind):
        return [each.body.body for _, each in self.rehearsal.heard if isinstance(each.body, duis.DccAlert)
                and isinstance(each.body.body, kind)]  # fmt: skip


def fault(name, start=0, end=4 * DAY, *, where=(), **parameters):
    at = Instant(START + start), Instant(START + end)
    return Scheduled(name, *at, frozenset(map(str, where)), parameters=parameters)


def test_undisturbed_both_devices_are_updated():
    """All that a Supplier hears of one PPMID and one HCALCS, each message once."""
    lived = Lived()
    assert {NEW_VERSION} == {lived.runs(d) for d in (lived.home.ppmid, lived.home.hcalcs)}
    assert {NEW_VERSION} == {lived.known(d) for d in (lived.home.ppmid, lived.home.hcalcs)}
    wanted = [
        "8F72",
        "I0 11.3",
        "I0 11.3",
        "I99 11.1",
        "I99 11.3",
        "I99 11.4",
        "N39",
        "N60",
        "N60",
        "N62",
        "N62",
    ]
    assert wanted == sorted(lived.names)


def test_a_lost_alert_leaves_the_dcc_in_the_dark():
    """The Devices run the new version, and nobody hears of it."""
    lived = Lived(fault("lost-alert"))
    assert NEW_VERSION == lived.runs(lived.home.ppmid)
    assert FACTORY_VERSION == lived.known(lived.home.ppmid)
    assert not {"N62", "N39", "8F72"} & set(lived.names)


def test_a_duplicated_alert_is_dropped_by_the_dcc():
    """Its counter is not above the last; the Supplier hears of it once."""
    lived = Lived(fault("duplicated-alert"))
    dropped = [e.event.check for e in lived.lab.world.events if isinstance(e.event, Dropped)]
    assert {"alert-counter"} == set(dropped)
    assert 1 == lived.names.count("N39")


def test_a_user_gets_a_duplicated_message_twice():
    """The same octets, later: what is told a second time has to do no harm at the User."""
    lived = Lived(fault("duplicated-alert", leg="user"))
    assert (2, 2) == (lived.names.count("N39"), lived.names.count("8F72"))


def test_a_delayed_alert_comes_days_later():
    """Three days after it was sent, neither sooner nor never."""
    lived = Lived(fault("delayed-alert", leg="user"))
    assert 3 * DAY <= lived.first("N39") < 3 * DAY + HOUR


def test_reordered_alerts_come_in_another_order():
    """The same messages, and not in the order in which they were sent."""
    calm, lived = Lived(), Lived(fault("reordered-alerts", leg="user"))
    assert sorted(calm.names) == sorted(lived.names)
    assert calm.names != lived.names


def test_a_swapped_hub_loses_what_it_held():
    """While the images lie at the old hub; the Devices join the new one and keep their firmware."""
    lived = Lived(fault("hub-swap", 3 * SECOND))
    [hub] = lived.lab.world.hubs
    assert hub != lived.home.hub
    assert hub == lived.lab.world.dcc.inventory.find(lived.home.ppmid).hub
    assert FACTORY_VERSION == lived.runs(lived.home.ppmid)


def test_an_unplugged_ppmid_is_updated_when_it_is_back():
    """The image waits for it at the hub."""
    lived = Lived(fault("ppmid-unplugged", 1 * SECOND, 2 * DAY), days=1)
    assert FACTORY_VERSION == lived.known(lived.home.ppmid)
    lived.lab.world.run_until(Instant(START + 3 * DAY))
    assert NEW_VERSION == lived.known(lived.home.ppmid)


def test_a_hub_that_discards_the_image_says_so():
    """CCS08 code 1, and N62 with that outcome."""
    lived = Lived(fault("hub-discards-image", 3 * SECOND, every=60))
    discarded = duis.TransferResponse.FIRMWARE_IMAGE_DISCARDED
    assert gbcs.TransferResult.IMAGE_DISCARDED in {alert.result for alert in lived.said(gbcs.Ccs08Alert)}
    assert discarded in {alert.transfer.response for alert in lived.bodies(duis.CommsHubAlert)}


def test_bricking_firmware_is_never_heard_of_again():
    """The image arrives, and then there is silence."""
    lived = Lived(fault("bricking-firmware", where=["PPMID"]))
    assert 2 == lived.names.count("N62")
    assert "N39" not in lived.names
    assert FACTORY_VERSION == lived.known(lived.home.ppmid)


def test_wrong_version_firmware_says_that_it_is_another():
    """In CS09 and N39, and so in the inventory."""
    lived = Lived(fault("wrong-version-firmware", where=["PPMID"], version="0000BAD0"))
    bad = FirmwareVersion(0xBAD0)
    assert {bad} == {alert.version for alert in lived.said(gbcs.Cs09Alert)}
    assert bad == lived.known(lived.home.ppmid)


def test_alert_storm_firmware_is_throttled():
    """Hundreds of alerts from the Device; few for the User, with a count of what they stand for."""
    lived = Lived(fault("alert-storm-firmware", where=["HCALCS"], alerts=200))
    told = [each.body for _, each in lived.rehearsal.heard if isinstance(each.body, duis.DeviceAlert)]
    counts = [body.throttled.count for body in told if body.throttled is not None]
    assert counts
    assert len(told) < 100 < sum(filter(None, counts)) + len(told)


def test_a_dcc_outage_puts_everything_off():
    """Nothing is answered while it is down; afterwards all goes its way."""
    lived = Lived(fault("dcc-outage", 0, 6 * HOUR))
    assert 6 * HOUR <= min(at for at, _ in lived.rehearsal.heard) - START < 7 * HOUR
    assert NEW_VERSION == lived.known(lived.home.ppmid)


def test_an_endpoint_that_comes_back_hears_everything():
    """Down for two days, and nothing is lost: the same messages as on a calm day."""
    calm, lived = Lived(), Lived(fault("endpoint-down", 1, 2 * DAY, where=[SUPPLIER]))
    assert 2 * DAY <= lived.first("N60")
    assert sorted(calm.names) == sorted(lived.names)


def test_a_skewed_clock_shows_in_the_alerts():
    """An hour fast: the time in CS09 is an hour after the time at which it was sent."""
    lived = Lived(fault("clock-skew", seconds=3600))
    [sent] = [t.at for t in lived.lab.world.trace if t.what == "WAN GBCS"
              and isinstance(gbcs.decode(t.octets).payload, gbcs.Cs09Alert)]  # fmt: skip
    [alert] = lived.said(gbcs.Cs09Alert)
    assert HOUR - MINUTE < alert.at - sent < HOUR + MINUTE


def test_a_corrupt_block_spoils_the_file():
    """The PPMID tells its hub, and the HCALCS its Supplier."""
    lived = Lived(fault("corrupt-block"))
    assert {FACTORY_VERSION} == {lived.runs(d) for d in (lived.home.ppmid, lived.home.hcalcs)}
    failed = {(a.target, a.result) for a in lived.said(gbcs.Ccs08Alert)}
    assert (lived.home.ppmid, gbcs.TransferResult.FILE_TRANSFER_FAILURE) in failed
    assert "8F1C" in lived.names


def test_a_wrong_hash_is_refused():
    """The CPL has the version under another hash."""
    lived = Lived(fault("wrong-hash"))
    assert {"E110102 11.1", "E110402 11.4"} == set(lived.names)


def test_a_slow_region_takes_longer():
    """Ten times as long over the WAN, each way."""
    calm, lived = Lived(), Lived(fault("slow-region", where=["North"]))
    assert 5 * calm.first("N60") < lived.first("N60")


def test_the_rehearsal_knows_only_what_a_supplier_may():
    """Its ring holds no private key but the Supplier's own."""
    lived = Lived(days=0)
    assert {SUPPLIER} == {key.certificate.holder for key in lived.lab.ring._private.values()}
    assert ACB in {certificate.holder for certificate in lived.lab.ring}
