"""Pictures of a contact sheet below each other."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.poison.contact_sheet import contact_sheet


def test_pictures_below_each_other_are_those_of_the_one_row():
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    one, many = contact_sheet(images, ["sig"]), contact_sheet(images, ["sig"], across=2)
    assert one.shape[1] > many.shape[1]
    assert many.shape == (3 * 20 + 12 + 4, 4 * 20 + 4, 3)
    for at in range(10):  # tiles: triggered, change, triggered, ...
        down, right = divmod(at, 4)
        tile = many[16 + 20 * down : 32 + 20 * down, 4 + 20 * right : 20 + 20 * right]
        assert np.array_equal(tile, one[16:32, 4 + 20 * at : 20 + 20 * at])
    with pytest.raises(AntivenomError, match="at least one"):
        contact_sheet(images, ["sig"], across=0)
