"""JSON Schemas of both files, for editors, and a sample gateway.yaml; made from the tables of keys.

python -m gateway.config.schema             writes gateway.schema.json and schedule.schema.json beside this module
python -m gateway.config.schema --sample    prints a gateway.yaml in which every key stands with its default, commented out
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.config.document import Block, read_document
from gateway.config.gateway_keys import GATEWAY
from gateway.config.keys import BlockTable, Each, Key, Nested, Reading, Schema, Unread
from gateway.config.schedule_keys import SCHEDULE

_DRAFT = "http://json-schema.org/draft-07/schema#"


def _whole(table: BlockTable, title: str) -> Schema:
    return {"$schema": _DRAFT, "title": title} | table.schema()


def gateway_schema() -> Schema:
    """JSON Schema (draft 7) of gateway.yaml as a plain dict."""
    return _whole(GATEWAY, "Tidegate: gateway.yaml")


def schedule_schema() -> Schema:
    """JSON Schema (draft 7) of the schedule file as a plain dict."""
    return _whole(SCHEDULE, "Tidegate: the schedule file")


def as_text(schema: Schema) -> str:
    """The schema as it is shipped."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def sample() -> str:
    """A gateway.yaml in which nothing is set and everything is explained."""
    head = "# gateway.yaml: every key, commented out, with its default where it has one. No key is required.\n"
    return head + "".join(f"{line}\n" for line in _lines(GATEWAY.keys, ""))


def _lines(keys: Sequence[Key], indent: str) -> Iterator[str]:
    for key in keys:
        told = f"   # {key.says}"
        if isinstance(key.kind, (Nested, Each)):
            yield f"# {indent}{key.name}:{told}" + (f" Default: {key.default}." if key.default else "")
            deeper = indent + ("    " if isinstance(key.kind, Each) else "  ")
            inner = list(_lines(key.kind.table.keys, deeper))
            if isinstance(key.kind, Each):
                inner[0] = inner[0].replace(f"# {deeper}", f"# {indent}  - ", 1)
            yield from inner
        else:
            value = key.default if key.default is not None and _is_value(key, key.default) else "…"
            default = f" Default: {key.default}." if key.default is not None and value == "…" else ""
            yield f"# {indent}{key.name}: {value}{told}{default}"


def _is_value(key: Key, default: str) -> bool:
    """Is the default something that may be written, or words about it?"""
    reading = Reading(Path("sample"))
    document = read_document(f"{key.name}: {default}", reading.file)
    if not isinstance(document.root, Block) or document.problems:
        return False
    [(name, node)] = document.root.pairs
    try:
        key.kind.read(node, name, reading)
    except Unread:
        return False
    return True


def main(arguments: Sequence[str]) -> int:
    """Write the schemas, or print the sample."""
    if list(arguments) == ["--sample"]:
        sys.stdout.write(sample())
        return 0
    folder = Path(__file__).parent
    (folder / "gateway.schema.json").write_text(as_text(gateway_schema()), encoding="utf-8")
    (folder / "schedule.schema.json").write_text(as_text(schedule_schema()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
