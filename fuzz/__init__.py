"""Fuzzing of every decoder: `make fuzz`.

- `targets`: what must hold of any octets, one function a decoder; no fuzzer is needed to call them.
- `seeds`: writes `corpus/`, from our own encoders. The tests run the whole corpus through the targets.
- `one`: one target under atheris. `python -m fuzz` runs all of them, each in a process of its own.

What atheris finds goes to `findings/`; when it is mended, the file moves to `corpus/` under a telling name.
"""
