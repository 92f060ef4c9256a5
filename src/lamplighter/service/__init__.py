"""What runs: the thin shells around the pure rooms, and what they keep on disk.

- `gateway`: requests out, signed, their answers verified; `sender`: the one lane from the outbox to it.
- `reconciler`: one tick of all work that leases are held for; `worker`: that in a loop; with `settings`,
  `pause` and `clock`.
- `door`, `receiver`: messages in, verified and stored; `listener`, `processes`: on a socket, in one process
  or in several; `testimony`: what a believed message says of Devices.
- `webhooks`: who is told of what has happened, signed and in order.
- `imports`: files of Devices, hubs and products; `keyfiles`: certificates and private keys as PEM files.
- `token`: private keys that sign on a PKCS#11 token; `cryptoki`: a session with one, which needs an extra.
- `writing`: files on disk, whole or not at all; `trusted`: files that are believed for where they lie.

Nothing here knows the lab: the two meet on the wire.
"""
