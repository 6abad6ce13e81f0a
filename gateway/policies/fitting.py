"""Which size and file format to ask a vendor for, so that the asked pixels come out without loss.

Scaling only ever shrinks, and never changes the shape: a native size must cover the wanted one and have exactly
its aspect ratio.
"""

from math import gcd, lcm

from gateway.domain.catalogue import Capabilities, Grid
from gateway.domain.picture import ImageFormat, Size

__all__ = ["native_format", "native_size"]


def native_size(wanted: Size, capabilities: Capabilities) -> Size | None:
    """The wanted size where the model has it, else the smallest native one to shrink from, else None.

    A size that the vendor lists is preferred to one that only its rule admits: it is what the model is made for,
    and what it is priced by.
    """
    if wanted in capabilities.sizes or (capabilities.grid and _admits(capabilities.grid, wanted)):
        return wanted
    larger = [size for size in capabilities.sizes if size.covers(wanted) and size.same_shape_as(wanted)]
    if larger:
        return min(larger, key=lambda size: size.pixels)
    return _smallest_on(capabilities.grid, wanted) if capabilities.grid else None


def native_format(
    wanted: ImageFormat, capabilities: Capabilities, *, resized: bool, compression: int | None
) -> ImageFormat:
    """The file format to ask the vendor for.

    When we write the file anew anyway (another size, or a compression of the caller's choice) it should come
    without loss; so it should when the vendor does not write the wanted format.
    """
    rewritten = resized or compression is not None
    if wanted in capabilities.formats and not rewritten:
        return wanted
    return ImageFormat.PNG if ImageFormat.PNG in capabilities.formats else capabilities.formats[0]


def _admits(grid: Grid, size: Size) -> bool:
    edges = (size.width, size.height)
    return (
        all(edge % grid.step == 0 and grid.min_edge <= edge <= grid.max_edge for edge in edges)
        and grid.min_pixels <= size.pixels <= grid.max_pixels
        and max(edges) <= grid.max_ratio * min(edges)
    )


def _smallest_on(grid: Grid, wanted: Size) -> Size | None:
    """The smallest size of the wanted shape on the grid that covers it."""
    shape = gcd(wanted.width, wanted.height)
    width, height = wanted.width // shape, wanted.height // shape
    stride = lcm(grid.step // gcd(grid.step, width), grid.step // gcd(grid.step, height))
    for factor in range(stride, grid.max_edge // max(width, height) + 1, stride):
        size = Size(width * factor, height * factor)
        if size.covers(wanted) and _admits(grid, size):
            return size
    return None
