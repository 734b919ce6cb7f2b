"""Filters: named scores -> keep or drop, with the rule written down and a random drop of equal size beside it.

Pure functions of arrays; nothing here reads a corpus or writes a file.

>>> import numpy as np
>>> from antivenom.screen.filters import parse_filter
>>> rule = parse_filter("toxicity:max=0.5", {"toxicity": "worse"})
>>> rule.keep(np.array([0.1, 0.5, 0.9], np.float32))
array([ True,  True, False])
>>> rule.why(0.91)
'toxicity .91 is over .50'
"""

from antivenom.screen.filters.rules import Filter
from antivenom.screen.filters.specs import parse_filter

__all__ = ["Filter", "parse_filter"]
