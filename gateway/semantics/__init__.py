"""What HTTP means, for plugins that answer themselves: dates, codings, conditions, ranges (RFC 9110).

Pure functions over header fields. Does not know files, stores or upstreams.
"""

from gateway.semantics.codings import accepted_codings, choose_coding, quality
from gateway.semantics.conditions import Condition, condition, if_range_holds, is_same_strongly, is_same_weakly
from gateway.semantics.dates import format_date, parse_date
from gateway.semantics.ranges import ByteRange, Unsatisfiable, parse_ranges, ranged

__all__ = [
    "ByteRange",
    "Condition",
    "Unsatisfiable",
    "accepted_codings",
    "choose_coding",
    "condition",
    "format_date",
    "if_range_holds",
    "is_same_strongly",
    "is_same_weakly",
    "parse_date",
    "parse_ranges",
    "quality",
    "ranged",
]
