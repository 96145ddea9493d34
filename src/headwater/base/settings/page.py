"""Writes docs/settings.md from the tree of settings: `python -m headwater.base.settings.page [FILE]`."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from headwater.base.settings.field import GIB, KIB, MIB
from headwater.base.settings.load import SettingSpec, shown, table
from headwater.base.settings.table import Settings

PAGE = Path("docs/settings.md")

_HEAD = """\
# Settings

This page is generated from `src/headwater/base/settings/table.py` by `make docs`.

A setting has a default. A later source in this list overrides an earlier one:

1. the default;
2. the file `headwater.toml` in the data folder, or the file that `--config FILE` or
   `HEADWATER_CONFIG` names;
3. the environment: `HEADWATER_SECTION_FIELD`, such as `HEADWATER_SERVER_PORT`;
4. the command line.

`headwater config show` prints each value and its source. An unknown name in the file, or an
unknown `HEADWATER_` variable in the environment, stops the start. (Kubernetes adds such variables for a
service named `headwater`; set `enableServiceLinks: false` there.)

In the file, a section is a TOML table:

```toml
[server]
port = 8484
trusted_proxies = ["10.0.0.0/8"]

[limits]
body_bytes = "1MiB"
```

In the environment and on the command line a list is separated by commas, and an empty text unsets a
setting that may be unset. A size in bytes may be written with KiB, MiB or GiB. A secret is shown as
`***`; a password is refused on the command line, where other users can read it. A relative path starts at
the folder in which the server is started.
"""


def render() -> str:
    """Returns the whole page as Markdown."""
    parts = [_HEAD]
    for section in msgspec.structs.fields(Settings):
        sentence = (section.type.__doc__ or "").partition("\n")[0]
        parts.append(f"\n## {section.name}\n\n{sentence}\n\n")
        parts.append("| setting | default | range | unit | what it does |\n|---|---|---|---|---|\n")
        parts.extend(_line(spec) for spec in table() if spec.name.startswith(f"{section.name}."))
    return "".join(parts)


def _line(spec: SettingSpec) -> str:
    field = spec.field
    is_bytes = field.unit == "bytes"
    default = _size(field.default) if is_bytes and field.default else shown(field.default)
    low, separator, high = field.form.partition(" to ")
    form = f"{_size(int(low))} to {_size(int(high))}" if is_bytes and separator else field.form
    name = spec.name.partition(".")[2]
    secret = " Secret." if field.secret else ""
    return f"| `{name}` | {default} | {form} | {field.unit} | {field.sentence}{secret} |\n"


def _size(count_bytes: int) -> str:
    for unit, size_bytes in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if count_bytes and count_bytes % size_bytes == 0:
            return f"{count_bytes // size_bytes} {unit}"
    return str(count_bytes)


def main(arguments: list[str]) -> None:
    """Writes the page to the named file, or to docs/settings.md."""
    (Path(arguments[0]) if arguments else PAGE).write_text(render(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
