"""Turns instants into the days and hours that are stored, always in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from tracker.model import Day, Hour

_EPOCH = date(1970, 1, 1)


def day_of(instant: datetime) -> Day:
    """The UTC day of an aware INSTANT."""
    return Day(int(instant.timestamp() // 86_400))


def hour_of(instant: datetime) -> Hour:
    """The UTC hour of an aware INSTANT."""
    return hour_at(instant.timestamp())


def hour_at(seconds: float) -> Hour:
    """The UTC hour of the instant so many SECONDS after 1970 began."""
    return Hour(int(seconds // 3_600))


def day_of_hour(hour: Hour) -> Day:
    """The day that HOUR is in."""
    return Day(hour // 24)


def date_of(day: Day) -> date:
    """DAY as a calendar date."""
    return _EPOCH + timedelta(days=day)


def instant_of(hour: Hour) -> datetime:
    """The beginning of HOUR."""
    return datetime.fromtimestamp(hour * 3_600, UTC)


def later(day: Day, days: int) -> Day:
    """DAYS after DAY."""
    return Day(day + days)


def years_later(day: Day, years: int) -> Day:
    """The same calendar day YEARS after DAY; 1 March where there is no 29 February."""
    begin = date_of(day)
    try:
        end = begin.replace(year=begin.year + years)
    except ValueError:
        end = date(begin.year + years, 3, 1)
    return Day(day + (end - begin).days)
