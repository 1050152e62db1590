"""The shipped schemas and the sample are what the tables of keys say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import gateway.config
from gateway.config.gateway_keys import GATEWAY as TABLE
from gateway.config.keys import BlockTable, Each, Nested
from gateway.config.schedule_keys import SCHEDULE
from gateway.config.schema import as_text, gateway_schema, main, sample, schedule_schema
from gateway.config.settings import AcceptSettings, QueueSettings
from tests.unit.config.reading import settings_of

FOLDER = Path(gateway.config.__file__).parent


def test_the_shipped_schemas_are_current() -> None:
    remedy = "run python -m gateway.config.schema"
    assert (FOLDER / "gateway.schema.json").read_text() == as_text(gateway_schema()), remedy
    assert (FOLDER / "schedule.schema.json").read_text() == as_text(schedule_schema()), remedy


def test_the_schemas_name_every_key_and_allow_no_other() -> None:
    schema = gateway_schema()
    assert list(schema["properties"]) == TABLE.names()
    assert schema["additionalProperties"] is False
    assert "required" not in schema
    assert json.loads(as_text(schedule_schema()))["required"] == ["timezone"]


def tables_below(table: BlockTable) -> list[BlockTable]:
    inner = [key.kind.table for key in table.keys if isinstance(key.kind, (Nested, Each))]
    return [table, *(found for deeper in inner for found in tables_below(deeper))]


@pytest.mark.parametrize("table", [*tables_below(TABLE), *tables_below(SCHEDULE)], ids=lambda table: table.called)
def test_every_key_has_a_sentence(table: BlockTable) -> None:
    for key in table.keys:
        assert key.says.endswith("."), key.name
        assert "description" in table.schema()["properties"][key.name]


def test_the_sample_is_a_file_in_which_nothing_is_set() -> None:
    assert settings_of(sample()).accept == AcceptSettings()


def test_the_defaults_that_the_sample_shows_are_the_defaults() -> None:
    for block, default in (("accept", AcceptSettings()), ("queue", QueueSettings())):
        shown = re.search(rf"^# {block}:.*\n((?:#   .*\n)+)", sample(), re.MULTILINE)
        assert shown is not None
        lines = [line[2:] for line in shown[1].splitlines() if "…" not in line]
        assert len(lines) > 4
        settings = settings_of(f"{block}:\n" + "\n".join(lines) + "\n")
        assert getattr(settings, block) == default


def test_the_sample_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sample"]) == 0
    assert capsys.readouterr().out == sample()
