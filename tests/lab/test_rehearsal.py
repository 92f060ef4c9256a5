"""The small standard campaign: what its Supplier hears on a calm day, and how it fares when days are not."""

from lab.user import heard as names_of
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.faults import Scheduled
from lamplighter.lab.homes import ACB, START, SUPPLIER, build_world
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


def test_a_user_gets_a_duplicated_message_twice():
    """The same octets, later: what is told a second time has to do no harm at the User."""
    lived = Lived(fault("duplicated-alert", leg="user"))
    assert (2, 2) == (lived.names.count("N39"), lived.names.count("8F72"))


def test_a_delayed_alert_comes_days_later():
    """Three days after it was sent, neither sooner nor never."""
    lived = Lived(fault("delayed-alert", leg="user"))
    assert 3 * DAY <= lived.first("N39") < 3 * DAY + HOUR


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


def test_a_wrong_hash_is_refused():
    """The CPL has the version under another hash."""
    lived = Lived(fault("wrong-hash"))
    assert {"E110102 11.1", "E110402 11.4"} == set(lived.names)


def test_the_rehearsal_knows_only_what_a_supplier_may():
    """Its ring holds no private key but the Supplier's own."""
    lived = Lived(days=0)
    assert {SUPPLIER} == {key.certificate.holder for key in lived.lab.ring._private.values()}
    assert ACB in {certificate.holder for certificate in lived.lab.ring}
