"""The operations that the console needs beside those of every command: one message in full, the overview, the schedule.

They are operations like the others, over the same socket; what they change is changed by the same parts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any

from gateway import __version__
from gateway.clock import Clock
from gateway.connectivity.monitor import Monitor
from gateway.control.accounts import ROLES, with_account
from gateway.control.accounts import STATE as ACCOUNTS
from gateway.control.console_rows import (
    CheckReport,
    ConversationRow,
    MessageReport,
    Overview,
    RecipientRow,
    ScheduleReport,
    Written,
)
from gateway.control.rows import DiskRow
from gateway.desk import outlook, schedule_text, status
from gateway.desk.arguments import one_of, one_text
from gateway.desk.census import Census
from gateway.desk.history import History
from gateway.desk.part_fields import part_fields
from gateway.desk.queue_pages import Choose, QueuePages
from gateway.desk.view import explanation, iso, sending_row
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.removals import UNDO_TIME
from gateway.errors import GatewayError, NoSuchItem, UsageError
from gateway.events import Journal, Remark
from gateway.mail.password import read_hash
from gateway.spool.record import Record
from gateway.spool.spool import Spool

BLOCK = 64 * 1024
HEADER = 64 * 1024
BEFORE, AFTER = 2 * 3600, 26 * 3600
"""Seconds of the time line before the present hour, and its whole length."""

Answer = AsyncIterator[Any]


class ConsoleReads(QueuePages):
    """`choose` and `reload` are the desk's. `accounts_changed(role)` is called when a password of the console was set."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        spool: Spool,
        monitor: Monitor,
        clock: Clock,
        journal: Journal,
        choose: Choose,
        reload: Callable[[], None],
    ) -> None:
        super().__init__(dispatcher, spool, monitor, clock, choose)
        self._journal, self._reload = journal, reload
        self._census = Census(dispatcher, spool, self._by_age, clock)
        self.history = History(dispatcher, spool, clock, journal)
        self.accounts_changed: Callable[[str], None] = lambda role: None
        self._writing = asyncio.Lock()

    async def close(self) -> None:
        self._by_age.close()
        await self._census.close()
        await self.history.close()

    # -- one message --------------------------------------------------------------------------------------------

    async def op_message(self, arguments: dict[str, Any]) -> Answer:
        item = self._known(arguments)
        record = await self._spool.record(item)
        content = await self._spool.content(item)
        try:
            head = await content.read(0, min(content.size, HEADER))
            named = await part_fields(content)
        finally:
            content.close()
        yield self._message(record, head.partition(b"\r\n\r\n")[0], named)

    def _message(self, record: Record, header: bytes, named: list[str]) -> MessageReport:
        zone = self._zone
        explained = explanation(
            record, self._dispatcher.situation(), sending=self._dispatcher.sessions.sending.get(record.id)
        )
        return MessageReport(
            id=record.id,
            created=iso(record.created, zone),
            size=record.size,
            sender=record.reverse_path,
            recipients=[
                RecipientRow(
                    address=r.address,
                    standing=r.standing,
                    reply=r.reply,
                    relay=r.relay,
                    at=None if r.at is None else iso(r.at, zone),
                )
                for r in record.recipients
            ],
            message_class=record.message_class,
            service=record.service,
            client=record.client,
            user=record.user,
            held=record.held,
            hold_note=record.hold_note,
            attempts=record.attempts,
            tries=record.tries,
            last_try=None if record.last_try is None else iso(record.last_try, zone),
            status=record.status,
            in_doubt=record.doubt is not None,
            sha256=record.sha256,
            header=header.decode("utf-8", "replace"),
            part_fields=named,
            files=[f"queue/{record.id}.eml", f"queue/{record.id}.env"],
            verdict=explained.verdict,
            next_try=explained.next_try,
            checks=explained.checks,
            steps=self.history.steps(record.id, zone),
            conversations=[
                ConversationRow(at=iso(said.at, zone), relay=said.relay, lines=list(said.lines))
                for said in self._dispatcher.sessions.conversations.of(record.id)
            ],
        )

    async def op_source(self, arguments: dict[str, Any]) -> Answer:
        """First `id` and `size`, then the content in blocks of octets (base64 over the socket)."""
        content = await self._spool.content(self._known(arguments))
        try:
            yield {"id": arguments["id"], "size": content.size}
            for offset in range(0, content.size, BLOCK):
                yield {"octets": await content.read(offset, min(BLOCK, content.size - offset))}
        finally:
            content.close()

    def _known(self, arguments: dict[str, Any]) -> str:
        item = one_text(arguments, "id")
        if item not in self._spool.entries:
            raise NoSuchItem(f"there is no message {item[:40]} in the queue")
        return item

    # -- the whole ----------------------------------------------------------------------------------------------

    async def op_overview(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        count = await self._census.count()
        situation = self._dispatcher.situation()
        zone, now = self._zone, situation.now
        free, reserve = self._spool.room()
        window = status.window_row(situation)
        running = [s for s in self._dispatcher.sessions.records if s.ended is None]
        begins = now - now % 3600 - BEFORE
        waiting = [*self._dispatcher.settings.not_in_force, *self._dispatcher.timetable.schedule.not_in_force]
        history = self.history
        can_undo = history.removed_at is not None and now < history.removed_at + UNDO_TIME
        yield Overview(
            version=__version__,
            hostname=self._dispatcher.settings.hostname,
            timezone=str(zone),
            now=iso(now, zone),
            mode=status.mode_row(self._dispatcher),
            links=[status.link_row(state, situation, self._dispatcher.meter) for state in situation.links],
            relay=status.relay_row(situation),
            direct=status.direct_row(situation),
            last_contact=history.last_contact(),
            open=window.open,
            next=window.next,
            has_windows=situation.calendar.has_windows(),
            queue=count,
            session=status.session_row(running[-1], zone) if running else None,
            sessions=list(history.sessions)[-status.SESSIONS_SHOWN :],
            sending=[sending_row(sending, now) for sending in self._dispatcher.sessions.sending.values()],
            day_begins=iso(begins, zone),
            day=outlook.blocks(situation.calendar, begins, begins + AFTER),
            not_in_force=[str(key) for key in waiting],
            files_changed=self._dispatcher.files_changed(),
            disk=DiskRow(free=free, reserve=reserve, set_aside=self._spool.set_aside_count()),
            removable=len(self._spool.entries),
            undo=history.removed if can_undo else 0,
            budgets=status.budget_rows(self._dispatcher.meter, zone, self._census.planned),
            clock=self._dispatcher.clock_why or None,
            undo_until=iso(history.removed_at + UNDO_TIME, zone) if can_undo and history.removed_at else None,
        )

    async def op_ready(self, arguments: dict[str, Any]) -> Answer:
        """`problems`: what keeps the gateway from its work; a line that is down as planned is none."""
        del arguments
        problems = []
        free, reserve = self._spool.room()
        if free <= reserve:
            problems.append("the disk is filled up to its reserve")
        root = self._dispatcher.settings.spool
        if not os.access(root, os.W_OK) or os.statvfs(root).f_flag & os.ST_RDONLY:
            problems.append("the spool cannot be written")
        path = self._dispatcher.settings.schedule
        if path is not None and str(path) in self._dispatcher.files_changed():
            try:
                _, text = await asyncio.to_thread(schedule_text.on_disk, self._dispatcher.settings)
                if not (await self._check(text)).is_valid:
                    problems.append("the schedule file has mistakes; the old one is in force")
            except GatewayError as exc:
                problems.append(str(exc))
        yield {"problems": problems}

    async def op_sessions(self, arguments: dict[str, Any]) -> Answer:
        """The record of each use of the line, the newest first; one in progress before all others."""
        del arguments
        for session in reversed(self._dispatcher.sessions.records):
            if session.ended is None:
                yield status.session_row(session, self._zone)
        for row in reversed(tuple(self.history.sessions)):
            yield row

    async def op_traffic(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        for hour in self.history.traffic(self._zone):
            yield hour

    # -- the schedule -------------------------------------------------------------------------------------------

    async def op_schedule(self, arguments: dict[str, Any]) -> Answer:
        """The schedule in force, drawn as a week; `week`: the date (any day) whose week is meant, default the present."""
        calendar = self._dispatcher.situation().calendar
        now, file = self._clock.now(), calendar.file
        first = outlook.monday_of(calendar, now)
        asked = one_text(arguments, "week", "")
        if asked:
            try:
                first = date.fromisoformat(asked)
            except ValueError as exc:
                raise UsageError(f'"{asked[:20]}" is not a date like 2026-11-23') from exc
            if not 1971 <= first.year <= 9000:
                raise UsageError("the week lies too far away")
        path, text = self._dispatcher.settings.schedule, None
        if path is not None:
            text = (await asyncio.to_thread(schedule_text.on_disk, self._dispatcher.settings))[1]
        count = await self._census.count()
        yield ScheduleReport(
            file=None if path is None else path.name,
            text=text,
            version=None if text is None else schedule_text.version_of(text),
            timezone=str(file.timezone),
            first_day=first.isoformat(),
            days=outlook.week(calendar, first, now),
            windows=outlook.lines(file, text or ""),
            ahead=outlook.ahead(calendar, now, count.groups),
        )

    async def op_check(self, arguments: dict[str, Any]) -> Answer:
        """What `schedule check` says of `text`."""
        yield await self._check(_text(arguments))

    async def _check(self, text: str) -> CheckReport:
        settings, now = self._dispatcher.settings, self._clock.now()
        return await asyncio.to_thread(schedule_text.check, text, settings, now)

    async def op_write_schedule(self, arguments: dict[str, Any]) -> Answer:
        """Put `text` in force in the place of the text whose `version` was read. Raises ConfigurationError with all
        mistakes and NotNow where somebody else was quicker; then nothing is written."""
        text, version = _text(arguments), one_text(arguments, "version")
        async with self._writing:
            settings = self._dispatcher.settings
            path, _ = schedule_text.of_version(settings, version)
            await asyncio.to_thread(schedule_text.refuse_mistakes, text, settings, path)
            written = schedule_text.write(text, version, settings, self._reload)
            await self._dispatcher.settled()
        self._journal.record(Remark("schedule", f"{path.name} was changed in the console"))
        yield Written(version=written, text=f"{path.name} is in force")

    # -- accounts of the console --------------------------------------------------------------------------------

    async def op_console_password(self, arguments: dict[str, Any]) -> Answer:
        """Keep the hash of a role's password; every session of that role ends."""
        role = one_of(arguments, "role", ROLES, None)
        stored = one_text(arguments, "hash")
        try:
            read_hash(stored)
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        await self._spool.save_state(ACCOUNTS, with_account(self._spool.load_state(ACCOUNTS), role, stored))
        self.accounts_changed(role)
        self._journal.record(Remark("console", f"the password of {role} was set"))
        yield {"role": role, "result": "set"}

    # -- parts --------------------------------------------------------------------------------------------------

    @property
    def _zone(self) -> Any:
        return self._dispatcher.timetable.schedule.timezone


def _text(arguments: dict[str, Any]) -> str:
    text = arguments.get("text")
    if not isinstance(text, str) or len(text) > schedule_text.LARGEST:
        raise UsageError('"text" must be a text of at most 1 MiB')
    return text
