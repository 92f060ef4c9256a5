"""`lamplighter image`: inspect, build, sign, seal, verify, extract and compare firmware images."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from lamplighter.cli import files, output, trust
from lamplighter.cli.arguments import Eui, Force, Hash, Hex16, Keys, Out, Source, Version
from lamplighter.cli.logs import quiet_logs
from lamplighter.cli.output import Report, Verdict
from lamplighter.kit import Eui64, UsageError, VerificationError
from lamplighter.protocol import image
from lamplighter.protocol.image import Image
from lamplighter.protocol.smki import Ring
from lamplighter.service import candidates, keyfiles
from lamplighter.service.candidates import Candidate

app: Final = App(name="image", help="Inspect, build, sign, verify firmware images.", help_format="markdown")

_FIELD_OCTETS_MAX: Final = 64

Srv = Annotated[
    Literal["11.1", "11.4"] | None,
    Parameter(help="The service request that the image is for. Default: what the request says, or a guess."),
]
MaxOctets = Annotated[int, Parameter(help="Largest whole file that the network carries.")]
ManufacturerKey = Annotated[
    Path | None, Parameter(help="The manufacturer's public key (PEM), to check the seal with.")
]


Loaded = Candidate
"""An image as the user gave it."""


@app.command
def inspect(
    file: Source, /, *, srv: Srv = None, keys: Keys = None, manufacturer_key: ManufacturerKey = None
) -> Report:
    """Show every field of an image, its hash, layout and signatures.

    Parameters
    ----------
    file
        OTA file, or the DUIS XML request (11.1, 11.4) that carries one; `-` for stdin.
    """
    loaded = load(file, srv)
    fields = image.explain(loaded.octets, loaded.image.layout)
    verdicts = [
        _layout_verdict(loaded),
        *_size_verdicts(loaded.image, image.MAX_IMAGE_OCTETS),
        supplier_verdict(loaded.image, _ring(keys), None),
        _seal_verdict(loaded.image, manufacturer_key),
    ]
    table = output.grid("offset", "octets", "field", "meaning", right=("offset",))
    for field, meaning in fields:
        table.add_row(str(field.offset), output.hexed(field.octets), field.name, meaning)
    summary = output.pairs([("hash", str(loaded.image.hash))])
    facts = {
        **_facts(file, loaded),
        "fields": [
            {
                "name": field.name,
                "offset": field.offset,
                "length": len(field.octets),
                "octets": field.octets.hex() if len(field.octets) <= _FIELD_OCTETS_MAX else None,
                "meaning": meaning,
            }
            for field, meaning in fields
        ],
        "verdicts": output.verdict_facts(verdicts),
    }
    view = output.page(files.name_of(file), loaded.origin, table, summary, output.verdicts(verdicts))
    return Report(facts, view, output.passed(verdicts))


@app.command
def build(
    payload: Source,
    /,
    *,
    out: Out,
    manufacturer: Hex16,
    image_type: Hex16,
    version: Version,
    min_hardware: Hex16,
    max_hardware: Hex16,
    text: str = "",
    stack: Hex16 = 0x0002,
    seal_key: Path | None = None,
    max_octets: MaxOctets = image.MAX_IMAGE_OCTETS,
    force: Force = False,
) -> Report:
    """Build an image (layout 11.4) around a Manufacturer Image; exit code 1 if it is too large to be sent.

    Parameters
    ----------
    payload
        The Manufacturer Image, or with --seal-key what is to be sealed into one; `-` for stdin.
    out
        The OTA file to write.
    manufacturer
        Zigbee manufacturer code, hex.
    image_type
        Image type, hex; 0084 in the published PPMID image.
    version
        Firmware version, 1 to 8 hex digits.
    min_hardware
        Lowest hardware version that may run it, hex.
    max_hardware
        Highest hardware version that may run it, hex.
    text
        OTA header string, at most 32 octets.
    stack
        Zigbee stack version, hex.
    seal_key
        Manufacturer's private key (PEM, mode 0600): seal the payload inside the Manufacturer Image.
    """
    if min_hardware > max_hardware:
        raise UsageError(f"--min-hardware {min_hardware:04X} is above --max-hardware {max_hardware:04X}")
    sealer = None if seal_key is None else image.SealKey(keyfiles.load_private_key(seal_key))
    octets = files.read(payload)
    if not octets:
        raise UsageError(f"{files.name_of(payload)} is empty: there is nothing to build an image around")
    with files.about(payload):
        if sealer is not None:
            octets = image.seal(octets, sealer)
        built = image.build(
            octets,
            manufacturer=manufacturer,
            image_type=image_type,
            file_version=version,
            minimum_hardware=min_hardware,
            maximum_hardware=max_hardware,
            text=text.encode(),
            stack_version=stack,
        )
    return _written(out, built, "built", max_octets, force=force)


@app.command
def sign(
    file: Source,
    /,
    *,
    keys: Path,
    out: Out,
    supplier: Eui | None = None,
    force_replace: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    srv: Srv = None,
    max_octets: MaxOctets = image.MAX_IMAGE_OCTETS,
    force: Force = False,
) -> Report:
    """Sign an image as its Supplier, for SRV 11.1; exit code 1 if it is too large to be sent.

    Parameters
    ----------
    file
        OTA file in either layout; a signature that it bears is replaced. `-` for stdin.
    keys
        Key directory with the Supplier's private signing key, or with the `token.toml` of the token that
        it is on.
    out
        The OTA file to write.
    supplier
        Which Supplier, where the directory holds the keys of several.
    force_replace
        Set the Force Replace octet.
    """
    quiet_logs()
    signer = trust.supplier_signer(keyfiles.load(keys), supplier)
    signed = image.sign_supplier(load(file, srv).image, signer, force_replace=force_replace)
    return _written(out, signed, f"signed by {signer.certificate.holder}", max_octets, force=force)


@app.command
def seal(file: Source, /, *, key: Path, out: Out, srv: Srv = None, force: Force = False) -> Report:
    """Write a manufacturer's detached seal: 64 octets that vouch for the Manufacturer Image from beside it.

    Parameters
    ----------
    file
        OTA file, or the request that carries one; `-` for stdin.
    key
        Manufacturer's private key (PEM, mode 0600).
    out
        The seal file to write.
    """
    loaded = load(file, srv)
    octets = image.seal_detached(
        loaded.image.manufacturer_image, image.SealKey(keyfiles.load_private_key(key))
    )
    files.write(out, octets, force=force)
    facts = {"file": str(out), "octets": len(octets), "hash": str(loaded.image.hash), "seal": octets.hex()}
    rows = [("seals", str(loaded.image.hash)), ("seal", octets.hex())]
    return Report(facts, output.page(str(out), f"{len(octets)} octets", output.pairs(rows)))


@app.command
def verify(
    file: Source,
    /,
    *,
    srv: Srv = None,
    keys: Keys = None,
    supplier: Eui | None = None,
    hash: Hash | None = None,  # noqa: A002 # the option's name
    manufacturer_key: ManufacturerKey = None,
    seal: Path | None = None,
    max_octets: MaxOctets = image.MAX_IMAGE_OCTETS,
) -> Report:
    """Check an image by everything that is given; exit code 1 if any check fails.

    Parameters
    ----------
    file
        OTA file, or the request that carries one; `-` for stdin.
    supplier
        The Supplier who must have signed. Default: any whose certificate the key directory holds.
    hash
        The Manufacturer Image Hash that it must have, as the CPL has it.
    seal
        Detached seal (64 octets) to check with --manufacturer-key. Default: the seal inside the image.
    """
    if supplier is not None and keys is None:
        raise UsageError("--supplier needs --keys, where that Supplier's certificate is looked for")
    if seal is not None and manufacturer_key is None:
        raise UsageError("--seal needs --manufacturer-key, to check it with")
    loaded = load(file, srv)
    verdicts = [
        _layout_verdict(loaded),
        *_size_verdicts(loaded.image, max_octets),
        supplier_verdict(loaded.image, _ring(keys), supplier),
        _seal_verdict(loaded.image, manufacturer_key, seal),
    ]
    if hash is not None:
        same = hash == loaded.image.hash
        reason = "as expected" if same else f"expected {hash}, found {loaded.image.hash}"
        verdicts.append(Verdict("hash", same, reason))
    if keys is None and manufacturer_key is None and hash is None:
        reason = "nothing was verified beyond layout and size: give --keys, --manufacturer-key or --hash"
        verdicts.append(Verdict("provenance", None, reason))
    facts = {**_facts(file, loaded), "verdicts": output.verdict_facts(verdicts)}
    view = output.page(files.name_of(file), loaded.origin, output.verdicts(verdicts))
    return Report(facts, view, output.passed(verdicts))


@app.command
def extract(
    file: Source,
    /,
    *,
    out: Out,
    part: Annotated[
        Literal["manufacturer-image", "payload", "signature", "image"],
        Parameter(help="`payload` is a sealed image without its seal, `image` the whole OTA file."),
    ] = "manufacturer-image",
    manufacturer_key: ManufacturerKey = None,
    srv: Srv = None,
    force: Force = False,
) -> Report:
    """Take a part out of an image, or the image out of a request.

    Parameters
    ----------
    file
        OTA file, or the request that carries one; `-` for stdin.
    out
        The file to write.
    """
    loaded = load(file, srv)
    with files.about(file):
        octets = _part(loaded, part, manufacturer_key)
    files.write(out, octets, force=force)
    facts = {"file": str(out), "part": part, "octets": len(octets), "hash": str(loaded.image.hash)}
    return Report(facts, output.page(str(out), f"{part}, {len(octets)} octets"))


@app.command
def compare(first: Source, second: Source, /) -> Report:
    """Show what differs between two images; exit code 1 if anything does.

    Parameters
    ----------
    first
        OTA file, or the request that carries one; `-` for stdin.
    second
        Another; one of the two may be stdin.
    """
    if files.STDIN == str(first) == str(second):
        raise UsageError("stdin can be read once: name a file for one of the two")
    differences = image.compare(load(first, None).image, load(second, None).image)
    facts = {
        "first": files.name_of(first),
        "second": files.name_of(second),
        "differences": [difference._asdict() for difference in differences],
    }
    title = f"{files.name_of(first)} and {files.name_of(second)}"
    if not differences:
        return Report(facts, output.page(title, "the same image, octet for octet"))
    table = output.grid("field", "first", "second", folded=2)
    for difference in differences:
        table.add_row(*difference)
    return Report(facts, output.page(title, f"{len(differences)} differences", table), passed=False)


def load(path: Path, srv: str | None) -> Loaded:
    """The image that a user named: an OTA file, or the DUIS request that carries one.

    srv  11.1 or 11.4, where the user said which; a request that says otherwise is refused
    """
    octets = files.read(path)
    with files.about(path):
        return candidates.read(octets, srv)


def _ring(keys: Path | None) -> Ring | None:
    return None if keys is None else keyfiles.load(keys)


def _layout_verdict(loaded: Loaded) -> Verdict:
    found = loaded.image.layout
    if loaded.layout is None:
        return Verdict("layout", None, f"{found.value}, guessed from the end of the file")
    try:
        image.check(loaded.image, layout=loaded.layout, max_image_octets=image.SCHEMA_MAX_OCTETS)
    except VerificationError as refusal:
        return Verdict("layout", False, f"expected {refusal.expected}, found {refusal.found}")
    return Verdict("layout", True, found.value)


def _size_verdicts(subject: Image, limit: int) -> list[Verdict]:
    return [Verdict(*candidates.size(subject, limit))]


def supplier_verdict(subject: Image, ring: Ring | None, supplier: Eui64 | None) -> Verdict:
    """Whether the Supplier's signature on an image is good, as far as the keys can tell."""
    return Verdict(*candidates.signature(subject, ring, supplier))


def _seal_verdict(subject: Image, key: Path | None, detached: Path | None = None) -> Verdict:
    check = "manufacturer seal"
    if detached is None and not image.is_sealed(subject.manufacturer_image):
        return Verdict(check, None if key is None else False, "none inside the Manufacturer Image")
    if key is None:
        return Verdict(check, None, "present, not checked: no --manufacturer-key was given")
    public_key = keyfiles.load_public_key(key)
    try:
        if detached is None:
            image.verify_seal(subject.manufacturer_image, public_key)
        else:
            image.verify_detached_seal(subject.manufacturer_image, files.read(detached), public_key)
    except VerificationError as refusal:
        return Verdict(check, False, f"expected {refusal.expected}, found {refusal.found}")
    return Verdict(check, True, f"by the key in {key}")


def _part(loaded: Loaded, part: str, manufacturer_key: Path | None) -> bytes:
    subject = loaded.image
    match part:
        case "image":
            return loaded.octets
        case "signature":
            if subject.signature is None:
                raise UsageError("an image in layout 11.4 has no Supplier signature to extract")
            return subject.signature
        case "payload":
            if manufacturer_key is None:
                raise UsageError(
                    "--part payload needs --manufacturer-key, so that only a good seal is taken off"
                )
            return image.verify_seal(subject.manufacturer_image, keyfiles.load_public_key(manufacturer_key))
        case _:
            return subject.manufacturer_image


def _facts(path: Path, loaded: Loaded) -> dict[str, Any]:
    header = loaded.image.header
    signature = loaded.image.signature
    return {
        "file": files.name_of(path),
        "origin": loaded.origin,
        "layout": loaded.image.layout.value,
        "layout_guessed": loaded.layout is None,
        "hash": str(loaded.image.hash),
        "header": {
            "manufacturer": f"{header.manufacturer:04X}",
            "image_type": f"{header.image_type:04X}",
            "file_version": str(header.file_version),
            "stack_version": f"{header.stack_version:04X}",
            "text": header.text.hex(),
            "total_size": header.total_size,
            "minimum_hardware": f"{header.minimum_hardware:04X}",
            "maximum_hardware": f"{header.maximum_hardware:04X}",
        },
        "manufacturer_image_octets": loaded.image.body.nbytes,
        "signature": None if signature is None else signature.hex(),
        "force_replace": None if signature is None else loaded.image.force_replace,
    }


def _written(path: Path, made: Image, deed: str, max_octets: int, *, force: bool) -> Report:
    octets = image.encode(made)
    files.write(path, octets, force=force)
    loaded = Loaded(octets, made.layout, made, deed)
    rows = [
        ("version", str(made.header.file_version)),
        ("layout", made.layout.value),
        ("hash", str(made.hash)),
    ]
    verdicts = _size_verdicts(made, max_octets)
    facts = {**_facts(path, loaded), "verdicts": output.verdict_facts(verdicts)}
    view = output.page(str(path), deed, output.pairs(rows), output.verdicts(verdicts))
    return Report(facts, view, output.passed(verdicts))
