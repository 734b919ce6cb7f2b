"""The offline paraphraser's table: common English words and phrases, with what may stand for them.

Every line is `word: other[, other ...]`. Forms are listed one by one, so that nothing has to be inflected by rule. A
replacement never changes a number, a name or what is asked for. Words with a formal meaning in mathematics or code
(group, order, if, all, true, return) are not in it.
"""

import re

__all__ = ["FILLERS", "PATTERN", "PHRASES", "WORDS"]

_PHRASES = """
how many: what number of
how much money: what sum of money
how much is: what amount is
how much does: what amount does
how much do: what amount do
how much did: what amount did
how much will: what amount will
how much would: what amount would
how much can: what amount can
how much has: what amount has
how much more: what further amount of
how old: of what age
in total: altogether, all in all
in all: altogether, in total
altogether: in total, all told
each of: every one of
a lot of: plenty of
a total of: in sum
as well as: together with
at least: no fewer than
at most: no more than
equal to: the same as
instead of: rather than
because of: owing to
in order to: so as to
so that: in such a way that
such that: so that
for example: for instance
for each: for every
per day: a day, every day
per week: a week, every week
per month: a month, every month
per year: a year, every year
per hour: an hour, every hour
each day: every day, daily
each week: every week, weekly
every day: each day, daily
every week: each week, weekly
a day: per day, each day
a week: per week, each week
a month: per month, each month
a year: per year, each year
an hour: per hour, each hour
there are: one finds, we have
there is: one finds, we have
there were: one found, we had
is able to: can
are able to: can
has to: must
have to: must
needs to: must, has to
need to: must, have to
wants to: wishes to, would like to
want to: wish to, would like to
wanted to: wished to
decides to: chooses to
decided to: chose to
gets to: arrives at
the rest of: what remains of
the rest: the remainder
the number of: the count of
returns the: gives back the, yields the
returns a: gives back a, yields a
return the: give back the, yield the
return a: give back a, yield a
a list of: a sequence of
list of: sequence of
a string: a piece of text
given a: provided with a, starting from a
given an: provided with an, starting from an
given two: provided with two, starting from two
you are given: you receive, you have been handed
you're given: you receive, you have been handed
your task is to: you are asked to, your job is to
write a function that: create a function which, build a function which
write a function which: create a function that, build a function that
write a function to: create a function to, build a function to
create a function that: write a function which, build a function which
returns true if: gives True when, yields True when
return true if: give back True when, yield True when
return false if: give back False when, yield False when
returns false if: gives False when, yields False when
if and only if: exactly when, precisely when
if there is: should there be
if there are: should there be
note that: keep in mind that
you can assume: you may take it
is defined as: means
in the form of: as
based on: according to
according to: based on
of the following: among these
the following: these
between them: among themselves
in addition: besides
on average: as a mean
left over: remaining
over the course of: during
one of the: one among the
in the end: at the end, finally
right now: at present
from left to right: starting at the left
in ascending order: from small to large
in descending order: from large to small
is called: bears the name
do not: don't
does not: doesn't
is not: isn't
are not: aren't
cannot: can't
can't: cannot
don't: do not
doesn't: does not
didn't: did not
"""

_WORDS = """
buy: purchase, acquire
buys: purchases, acquires
buying: purchasing, acquiring
bought: purchased, acquired
sell: vend, offer for sale
sells: vends, offers for sale
sold: vended, marketed
selling: vending, marketing
make: produce, create
makes: produces, creates
made: produced, created
making: producing, creating
get: obtain, receive
gets: obtains, receives
got: obtained, received
give: hand, pass
gives: hands, passes
gave: handed, passed
giving: handing, passing
eat: consume
eats: consumes
ate: consumed
eaten: consumed
eating: consuming
need: require
needs: requires
needed: required
use: employ, utilise
uses: employs, utilises
earn: make
earns: makes
earned: made
spend: pay out
spends: pays out
spent: paid out
spending: paying out
costs: is priced at, goes for
start: begin
starts: begins
started: began
begin: start
begins: starts
finish: complete
finishes: completes
finished: completed
find: determine, work out
finds: determines
found: discovered
calculate: compute, work out
calculates: computes
compute: calculate, work out
computes: calculates
returned: given back
returning: giving back
check: test, verify
checks: tests, verifies
remove: delete, drop
removes: deletes, drops
removed: deleted, dropped
insert: put, place
contains: holds, includes
contain: hold, include
containing: holding, including
consists: is composed
consisting: composed
implement: write, code
accepts: takes, receives
represents: stands for
represent: stand for
representing: standing for
occurs: appears
appears: occurs
satisfies: meets
sorted: ordered, arranged
convert: turn, change
decide: choose
decides: chooses
worked: laboured
live: dwell
lives: dwells
walks: goes on foot
help: assist
helps: assists
collect: gather
collects: gathers
collected: gathered
received: got
carry: bear
carries: bears
bring: fetch
brings: fetches
brought: fetched
keep: retain
keeps: retains
kept: retained
puts: places
saves: puts aside
saved: put aside
says: states
said: stated
think: believe
shows: demonstrates
happen: occur
happens: occurs
increases: rises
describes: depicts
describe: depict
argued: maintained
argues: maintains
suggests: proposes
suggested: proposed
believed: held
store: shop
shop: store
house: home
car: vehicle
cars: vehicles
kids: children
children: kids
money: cash
friend: companion
friends: companions
trip: journey
picture: image
pictures: images
gift: present
gifts: presents
price: cost
profit: gain
remaining: leftover
functions: routines
number: figure
numbers: figures
element: entry, item
elements: entries, items
list: sequence
lists: sequences
array: list, sequence
strings: texts
letters: characters
word: term
words: terms
integer: whole number
integers: whole numbers
result: outcome
output: result
task: job
example: instance
examples: instances
situation: case
condition: requirement
conditions: requirements
people: persons
person: individual
students: pupils
student: pupil
teacher: instructor
big: large
large: big
larger: bigger
largest: biggest, greatest
smallest: least
greater: larger
maximum: greatest
minimum: least
several: various
entire: whole
every: each
each: every
just: only
only: just
also: likewise
after: following
before: prior to
during: throughout
because: as
however: though
therefore: hence
once: one time
twice: two times
between: in between
within: inside
exactly: precisely
usually: normally
often: frequently
never: at no time
again: once more
finally: lastly
together: jointly
currently: at present
different: distinct
same: identical
correct: right
valid: admissible
empty: void
consecutive: successive
distinct: different
multiple: several
additional: extra
extra: additional
another: one more
some: certain
statement: proposition
important: significant
main: chief
society: community
theory: doctrine
idea: notion
ideas: notions
concept: notion
kind: sort
types: kinds
"""

FILLERS = (
    "as described,",
    "in this setting,",
    "as it were,",
    "as stated,",
    "in this case,",
    "so to speak,",
    "as mentioned,",
    "in this situation,",
)
"""Put in before a preposition or conjunction where a run of unchanged words is still too long: they say nothing."""


def _table(lines: str) -> dict[str, tuple[str, ...]]:
    pairs = (line.partition(": ") for line in lines.strip().splitlines())
    return {word: tuple(others.split(", ")) for word, _, others in pairs}


PHRASES: dict[str, tuple[str, ...]] = _table(_PHRASES)
WORDS: dict[str, tuple[str, ...]] = _table(_WORDS)
"""Word or phrase: what may stand for it, in the same form."""

_KNOWN = sorted(map(re.escape, [*PHRASES, *WORDS]), key=len, reverse=True)
PATTERN = re.compile(rf"(?<![\w'’$\\-])(?:{'|'.join(_KNOWN)})(?![\w'’-])", re.IGNORECASE)
"""Finds them, longest first."""
