import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.drawing import Picture, draw
from gateway.sandbox.lettering import width_of, wrapped
from gateway.sandbox.options import VENDORS
from tests.sandbox.images import seen

PICTURE = Picture("openai", "gpt-image-2", "A crane above a foggy valley", 7, 0, 4, 1024, 1024)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_megapixel_png_weighs_as_much_as_a_real_one(vendor: str) -> None:
    for seed in range(3):
        assert 1_000_000 < len(draw(replace(PICTURE, vendor=vendor, seed=seed))) < 2_000_000


@pytest.mark.parametrize("file_format", ["png", "jpeg", "webp", "gif"])
@pytest.mark.parametrize("size", [(256, 256), (512, 512), (1536, 640), (1, 1), (333, 77)])
def test_any_size_and_type_can_be_drawn(file_format: str, size: tuple[int, int]) -> None:
    picture = seen(draw(replace(PICTURE, width=size[0], height=size[1], format=file_format)))
    assert (picture.size, picture.format) == (size, file_format.upper())


def test_the_same_numbers_give_the_same_picture() -> None:
    assert draw(PICTURE) == draw(PICTURE)


def test_vendor_seed_index_model_and_prompt_each_make_another_picture() -> None:
    others = [
        replace(PICTURE, vendor="vertex"),
        replace(PICTURE, seed=8),
        replace(PICTURE, index=1),
        replace(PICTURE, model="gpt-image-2.5-flare"),
        replace(PICTURE, prompt="A heron"),
    ]
    first = seen(draw(PICTURE)).pixels
    for other in others:
        pairs = zip(first, seen(draw(other)).pixels, strict=True)
        assert sum(abs(one - two) > 8 for one, two in pairs) > 300, "at a glance it is the same picture"


def test_a_picture_costs_little_enough_for_a_load_test() -> None:
    draw(PICTURE)
    before = time.process_time()
    for _ in range(5):
        draw(PICTURE)
    assert (time.process_time() - before) / 5 < 0.15  # some 0.03 on an idle core; others may share it


@given(st.text(max_size=300))
def test_any_prompt_can_be_written(prompt: str) -> None:
    small = replace(PICTURE, width=64, height=64, prompt=prompt)
    assert draw(small).startswith(b"\x89PNG")


@given(st.text(max_size=2000), st.integers(20, 400), st.integers(1, 4))
def test_lines_are_few_and_fit(text: str, width: int, most: int) -> None:
    lines = wrapped(text, width, most)
    assert len(lines) <= most
    assert all(width_of(line) <= width for line in lines)
