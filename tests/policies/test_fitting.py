from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.catalogue import Capabilities, Grid
from gateway.domain.picture import ImageFormat, Size
from gateway.policies.fitting import native_format, native_size

SQUARE = Capabilities(4, sizes=(Size(1024, 1024), Size(512, 512)))
GPT_LIKE = Capabilities(
    10,
    sizes=(Size(1024, 1024), Size(1536, 1024), Size(1024, 1536)),
    grid=Grid(16, 16, 3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3),
)
edges = st.integers(1, 4096)
sizes = st.builds(Size, edges, edges)
capabilities = st.builds(
    Capabilities,
    st.just(1),
    sizes=st.lists(sizes, max_size=4).map(tuple),
    grid=st.none()
    | st.builds(
        Grid,
        st.integers(1, 64),
        st.integers(1, 512),
        st.integers(512, 4096),
        min_pixels=st.integers(1, 1_000_000),
        max_ratio=st.floats(1, 4),
    ),
)


def test_a_native_size_is_asked_for_as_it_is() -> None:
    assert native_size(Size(512, 512), SQUARE) == Size(512, 512)


def test_a_missing_size_is_made_from_the_smallest_native_one_above_it() -> None:
    assert native_size(Size(256, 256), SQUARE) == Size(512, 512)


def test_a_size_below_the_pixel_floor_is_made_from_a_listed_size() -> None:
    assert native_size(Size(512, 512), GPT_LIKE) == Size(1024, 1024)


def test_a_shape_that_no_listed_size_has_is_made_from_the_grid() -> None:
    assert native_size(Size(300, 200), GPT_LIKE) == Size(1536, 1024)
    assert native_size(Size(160, 90), GPT_LIKE) == Size(1280, 720)


def test_a_size_that_would_have_to_be_enlarged_or_cropped_is_not_offered() -> None:
    assert native_size(Size(2048, 2048), SQUARE) is None
    assert native_size(Size(512, 256), SQUARE) is None


@given(wanted=sizes, capabilities=capabilities)
def test_a_native_size_never_needs_enlarging_or_another_shape(wanted: Size, capabilities: Capabilities) -> None:
    native = native_size(wanted, capabilities)
    if native is None:
        assert wanted not in capabilities.sizes
        return
    assert native.covers(wanted)
    assert native.same_shape_as(wanted)


def test_a_lossy_format_is_only_asked_for_when_the_file_is_delivered_untouched() -> None:
    both = Capabilities(1, formats=(ImageFormat.WEBP, ImageFormat.PNG))
    assert native_format(ImageFormat.WEBP, both, resized=False, compression=None) is ImageFormat.WEBP
    assert native_format(ImageFormat.WEBP, both, resized=True, compression=None) is ImageFormat.PNG
    assert native_format(ImageFormat.WEBP, both, resized=False, compression=50) is ImageFormat.PNG
    assert native_format(ImageFormat.JPEG, both, resized=False, compression=None) is ImageFormat.PNG


def test_a_vendor_that_only_writes_jpeg_is_asked_for_jpeg() -> None:
    only = Capabilities(1, formats=(ImageFormat.JPEG,))
    assert native_format(ImageFormat.PNG, only, resized=True, compression=None) is ImageFormat.JPEG
