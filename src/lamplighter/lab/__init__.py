"""What we rehearse against: an emulated DCC, WAN, hubs and Devices, repeatable from one seed.

`dcc`, `hub` and `devices` are strangers that share only `wire`; `world` carries frames between them on a
virtual clock; `homes` builds one with keys from `pki`; `server` puts the same world behind HTTP. The lab
knows the protocol and nothing of the supplier's side: they meet as octets and XML on a wire.
"""
