"""What is spoken: pure octets and XML, no I/O.

`smki` (certificates and cryptography) lies below; `image`, `gbcs`, `duis` and `zigbee` stand on it and are
strangers to each other: what they share is a value from `kit`.
"""
