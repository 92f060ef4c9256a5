"""What runs: the thin shells around the pure rooms, and what they keep on disk.

- `gateway`: requests out, signed, their answers verified; `receiver`: messages in, verified and stored.
- `testimony`: what a believed message says of Devices; `reconciler`: the loop that decides and orders.
- `listener`: an application on a socket; `keyfiles`: certificates and private keys as PEM files.
- `writing`: files on disk, whole or not at all.

Nothing here knows the lab: the two meet on the wire.
"""
