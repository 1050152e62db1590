"""What is valid in a schedule and probably not meant: the warnings of `schedule check`. Pure; errors are `config`'s.

This module looks at the rules as they are written; what needs the calendar is in `gateway.schedule.foresight`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gateway.config.problem import Problem
from gateway.config.rules import ScheduleFile, Span, WindowRule
from gateway.config.settings import Settings
from gateway.mail.envelope import CLASSES, Class
from gateway.schedule.foresight import foresee
from gateway.schedule.remarks import Remark, at_key
from gateway.schedule.words import (
    clock_words,
    names_words,
    rate_words,
    size_words,
    span_words,
    time_span_words,
)

_LONGEST_NIGHT = 12 * 60
"""Minutes. A window past midnight that lasts longer was probably written the wrong way round."""


def review(file: ScheduleFile, settings: Settings | None, now: float) -> list[Problem]:
    """The warnings, by line. Without settings nothing is compared with links, classes and sizes of gateway.yaml."""
    remarks = [
        *_stuck_classes(file, settings),
        *_stuck_sizes(file, settings),
        *_nobody_dials(file, settings),
        *_too_short(file, settings),
        *_shadowed(file),
        *(remark for rule in file.all_windows if rule.enabled for remark in _of_window(rule)),
        *foresee(file, settings, now),
    ]
    found = dict.fromkeys(remark.as_problem(file) for remark in remarks)  # an extra of a shared block says it once
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _enabled(file: ScheduleFile) -> list[WindowRule]:
    return [rule for rule in file.windows if rule.enabled]


def _stuck_classes(file: ScheduleFile, settings: Settings | None) -> Iterator[Remark]:
    windows = _enabled(file)
    if not windows:
        return  # that there is no window at all is said elsewhere
    missing = [c for c in CLASSES if not any(c in rule.send for rule in windows)]
    hint = 'Such mail would wait for ever while offline; add the class to the "send" of a window.'
    first = windows[0]
    if len(missing) == len(CLASSES):
        yield at_key(first, "send", "No window sends anything.", hint)
        return
    for name in missing:
        made = settings is None or name == "normal" or any(rule.message_class == name for rule in settings.classes)
        remark = "" if made else f" (No rule of gateway.yaml makes mail {name} so far.)"
        with_send = next((rule for rule in windows if "send" in dict(rule.key_lines)), first)
        yield at_key(with_send, "send", f"No window sends class {name}.", hint + remark)


def _limits(file: ScheduleFile) -> dict[Class, WindowRule]:
    """For each class that is sent: the window that takes its largest mail."""
    found: dict[Class, WindowRule] = {}
    for rule in _enabled(file):
        for name in rule.send:
            best = found.get(name)
            if best is None or _is_larger(rule.max_message, best.max_message):
                found[name] = rule
    return found


def _is_larger(limit: int | None, other: int | None) -> bool:
    return other is not None and (limit is None or limit > other)


def _stuck_sizes(file: ScheduleFile, settings: Settings | None) -> Iterator[Remark]:
    accepted = settings.accept.max_message if settings is not None else None
    best = _limits(file)
    stuck: dict[int, list[Class]] = {}
    for name, rule in best.items():
        if rule.max_message is not None and (accepted is None or rule.max_message < accepted):
            stuck.setdefault(rule.max_message, []).append(name)
    for limit, names in sorted(stuck.items(), reverse=True):
        of_all = len(names) == len(best)
        which = "Mail" if of_all else f"Mail of class {names_words(names)}"
        what = f"{which} over {size_words(limit)} has no window and would wait for ever."
        hint = "Add a window without max_message"
        if of_all:
            hint += f", or set accept.max_message: {size_words(limit)} in gateway.yaml so that users are told at once"
        yield at_key(best[names[0]], "max_message", what, hint + ".")


def _nobody_dials(file: ScheduleFile, settings: Settings | None) -> Iterator[Remark]:
    windows = _enabled(file)
    if settings is None or not windows or any(rule.dial for rule in windows):
        return
    for link in settings.links:
        if link.kind == "dialled":
            what = f"Link {link.name} comes up only when dialled, but no window says dial: yes."
            yield at_key(windows[0], "dial", what, "Add dial: yes to the windows that may call.")


def _too_short(file: ScheduleFile, settings: Settings | None) -> Iterator[Remark]:
    speeds = [link.speed for link in settings.links if link.speed is not None] if settings is not None else []
    if settings is None or not speeds:
        return
    slowest = min(speeds)
    hint = "Make the opening longer or max_message smaller; what fits no opening is started first in the next one."
    sending = [rule for rule in _enabled(file) if rule.send]
    for rule in sending:
        carried = _longest(rule) * slowest / 8
        if rule.max_message is not None and carried < rule.max_message:
            what = (
                f"{rule.name} lasts {span_words(_longest(rule))}; at {rate_words(slowest)} that is {size_words(carried)}, "
                f"but max_message is {size_words(rule.max_message)}."
            )
            yield at_key(rule, "max_message", what, hint)
    open_to_all = [rule for rule in sending if rule.max_message is None]
    if open_to_all:
        rule = max(open_to_all, key=_longest)
        carried, accepted = _longest(rule) * slowest / 8, settings.accept.max_message
        if carried < accepted:
            what = (
                f"{rule.name} lasts {span_words(_longest(rule))}; at {rate_words(slowest)} that is {size_words(carried)}, "
                f"but mail of up to {size_words(accepted)} is accepted."
            )
            yield at_key(rule, "for" if rule.at or rule.every is not None else "open", what, hint)


def _longest(rule: WindowRule) -> float:
    """Seconds of the longest opening, as written."""
    spans = max((span.length * 60.0 for span in rule.open), default=rule.longest)
    return spans if rule.every is None else min(spans, rule.longest)


def _shadowed(file: ScheduleFile) -> Iterator[Remark]:
    """A window that pays or routes, but is never the first in file order that admits."""
    windows = _enabled(file)
    for place, rule in enumerate(windows):
        if rule.via is None and rule.budget is None:
            continue
        for earlier in windows[:place]:
            same = (earlier.via, earlier.budget) == (rule.via, rule.budget)
            if not same and not earlier.only_if and _takes_all_of(earlier, rule):
                key = "via" if rule.via is not None else "budget"
                what = (
                    f"{rule.name} is never asked: whenever it is open, {earlier.name}, which stands before it, "
                    "admits all of its mail."
                )
                hint = "The first window that admits a message gives via and pays the budget; move this one up."
                yield at_key(rule, key, what, hint)
                break


def _takes_all_of(earlier: WindowRule, rule: WindowRule) -> bool:
    """Judged for plain `open` only: there one can see at once that one window contains the other."""
    if not rule.send or not set(rule.send) <= set(earlier.send) or _is_larger(rule.max_message, earlier.max_message):
        return False
    if earlier.at or earlier.every is not None or earlier.days is None or rule.days is None:
        return False
    if earlier.days == frozenset(range(7)) and any(span.length == 1440 for span in earlier.open):
        return True
    return (
        not rule.at
        and rule.days <= earlier.days
        and all(any(_contains(outer, inner) for outer in earlier.open) for inner in rule.open)
    )


def _contains(outer: Span, inner: Span) -> bool:
    return outer.start <= inner.start and inner.start + inner.length <= outer.start + outer.length


def _of_window(rule: WindowRule) -> Iterator[Remark]:
    """What one window's own keys say together."""
    if not rule.send and not rule.fetch:
        yield at_key(rule, "send", f"{rule.name} neither sends nor fetches.", "Delete it, or write enabled: no.")
    yield from _conditions(rule)
    if rule.at:
        for first, second in pairwise(sorted(rule.at)):
            if rule.longest >= (second - first) * 60:
                yield _one_call(rule, "at", f"at {clock_words(first)} and {clock_words(second)}", (second - first) * 60)
                break
    for span in rule.open:
        if span.end <= span.start and span.length > _LONGEST_NIGHT:
            what = f"open: {time_span_words(span)} lasts {span_words(span.length * 60)}, past midnight."
            yield at_key(rule, "open", what, f"If you meant the day, write {_turned(span)}.")
    yield from _overlapping_spans(rule)
    if rule.every is not None:
        yield from _rhythm(rule, rule.every)
    elif rule.open and dict(rule.key_lines).get("for", 0) >= rule.line > 0:
        what = f'"for" has no effect in {rule.name}: it is open from start to end.'
        yield at_key(rule, "for", what, '"for" counts with at and with every; add every: 30 min, or remove it.')


def _turned(span: Span) -> str:
    return f"{clock_words(span.end)}-{clock_words(span.start)}"


def _conditions(rule: WindowRule) -> Iterator[Remark]:
    if "urgent" in rule.send or not any(c.kind == "urgent waiting" for c in rule.only_if):
        return
    if all(c.kind == "urgent waiting" for c in rule.only_if):
        what = f"{rule.name} waits for urgent mail but does not send it: its only_if is never met."
    else:
        what = f'{rule.name} does not send urgent mail, so "urgent waiting" in its only_if is never met.'
    yield at_key(rule, "only_if", what, "Only mail that the window would send counts; add urgent to its send.")


def _one_call(rule: WindowRule, key: str, when: str, gap: float) -> Remark:
    how = "overlap" if rule.longest > gap else "touch"
    what = f"{when} with for {span_words(rule.longest)}: sessions {how} and become one long call."
    return at_key(rule, key, what, f'Write a "for" shorter than {span_words(gap)}, or one stretch with "open".')


def _overlapping_spans(rule: WindowRule) -> Iterator[Remark]:
    for first, second in pairwise(sorted(rule.open, key=lambda span: (span.start, span.length))):
        if second.start < first.start + first.length:
            what = f"{time_span_words(first)} and {time_span_words(second)} of {rule.name} overlap and count as one."
            yield at_key(rule, "open", what, "Write them as one stretch.")
            return


def _rhythm(rule: WindowRule, every: float) -> Iterator[Remark]:
    shortest = min(rule.open, key=lambda span: span.length)
    if rule.longest >= every and any(span.length * 60 > every for span in rule.open):
        yield _one_call(rule, "every", f"every {span_words(every)}", every)
    if all(span.length * 60 <= every for span in rule.open):
        what = f"every {span_words(every)} never comes round: {time_span_words(shortest)} is over before the second session."
        yield at_key(rule, "every", what, "Write at: with the starts you mean, or a shorter interval.")
    if rule.longest > shortest.length * 60:
        what = f"for {span_words(rule.longest)} is cut: {time_span_words(shortest)} lasts {span_words(shortest.length * 60)}."
        yield at_key(rule, "for", what, 'An opening ends with its "open" at the latest.')
