from bench.start import shipped
from bench.tables import of_table

WHEEL = {"who": "the wheel", "packed": 600_000, "unpacked": 2_000_000}


def test_an_image_that_was_not_built_is_told_as_that() -> None:
    assert "| the container image | not built: `make image` | – |" in of_table(shipped([WHEEL]))


def test_sizes_are_told_in_megabytes() -> None:
    image = {"who": "the image", "packed": 50_907_138, "unpacked": 147_924_659}
    assert of_table(shipped([WHEEL, image])).splitlines()[-2:] == [
        "| the wheel | 0.60 | 2.00 |",
        "| the image | 50.9 | 148 |",
    ]
