"""How many paid calls n images become: always the fewest."""

__all__ = ["split"]


def split(images: int, per_call: int) -> tuple[int, ...]:
    """Sizes of the fewest calls that make `images`, each at most `per_call`; the remainder comes last.

    >>> split(10, 4)
    (4, 4, 2)
    """
    full, rest = divmod(images, per_call)
    return (per_call,) * full + ((rest,) if rest else ())
