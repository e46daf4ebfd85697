"""Single: what there is once. A copy would look the same, and stand in nobody's line.

Not here: who these are.
"""

from typing import NoReturn, SupportsIndex

__all__ = ["Single"]


class Single:
    """Derive from this to refuse copies and pickles."""

    __slots__ = ()

    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> NoReturn:
        name = type(self).__name__
        article = "an" if name[0] in "AEIOU" else "a"
        raise TypeError(f"{article} {name} cannot be copied or pickled: pass the object itself to whoever uses it")
