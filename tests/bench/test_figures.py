from pathlib import Path

import pytest

from bench.asking import Ask
from bench.figures import middle, percentile, shown
from bench.kernel import cpu_of, family, parse_stat, resident_bytes
from bench.pictures import noise_png
from bench.plots import curves, log_bars
from bench.replies import Images, Reply
from bench.results import Outcome, at_least, at_most
from bench.tables import between, of_outcome, of_verdicts
from gateway.domain.picture import Size
from gateway.policies.image_header import read_header


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_the_median_leaves_out_what_was_not_measured() -> None:
    assert middle([3.0, None, 1.0]) == 2
    assert middle([None]) is None


def test_figures_have_three_digits() -> None:
    assert [shown(value) for value in (None, 0.123, 12.34, 1234.5)] == ["–", "0.12", "12.3", "1,234"]


def test_time_in_proc_is_read_behind_any_name() -> None:
    name, seconds = parse_stat("42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 25 25 20 0 1 0")
    assert name == "a) b (c"
    assert seconds == 2.5  # at the hundred ticks a second that every Linux has


def test_the_kernel_counts_this_very_process(tmp_path: Path) -> None:
    pid = int(Path("/proc/self").resolve().name)
    before, _ = cpu_of(pid)
    while cpu_of(pid)[0] - before < 0.05:
        pass
    assert pid in family(pid)
    assert resident_bytes(pid) > 10_000_000


@pytest.mark.parametrize("step", [1, 7, 64, 10_000])
def test_images_are_compared_to_the_last_byte_however_they_are_cut(step: int) -> None:
    expected = [b"A" * 300, b"BC" * 100]
    body = b'{"created":1,"data":[{"b64_json":"' + expected[0] + b'"},{"b64_json":"' + expected[1] + b'"}]}'
    for text, right in ((body, True), (body.replace(b"CBC", b"CBB", 1), False), (body.replace(b"BC", b"", 1), False)):
        images = Images(expected)
        for at in range(0, len(text), step):
            images.feed(text[at : at + step])
        assert images.right is right
    too_many = Images(expected[:1])
    too_many.feed(body)
    assert not too_many.right


@pytest.mark.parametrize("step", [1, 5, 1000])
@pytest.mark.parametrize("chunked", [True, False])
def test_replies_are_read_whole_in_both_framings(step: int, chunked: bool) -> None:
    body = b'{"data":[{"url":"http://x/1"}]}'
    if chunked:
        framed = b"transfer-encoding: chunked\r\n\r\n5;x=1\r\n" + body[:5] + b"\r\n1a\r\n" + body[5:] + b"\r\n0\r\n\r\n"
    else:
        framed = b"content-length: %d\r\n\r\n" % len(body) + body
    wire = b"HTTP/1.1 200 OK\r\n" + framed
    reply = Reply()
    for at in range(0, len(wire), step):
        assert not reply.right
        reply.feed(wire[at : at + step])
    assert reply.right
    assert bytes(reply.body) == body
    assert not Reply(links=2).right


def test_a_refusal_is_no_right_reply() -> None:
    reply = Reply()
    reply.feed(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}")
    assert reply.done
    assert not reply.right


def test_noise_is_as_large_as_asked_and_a_picture() -> None:
    for size_bytes in (750_000, 2_025_000, 7_500_000):
        image = noise_png(1024, size_bytes, 1)
        assert abs(len(image) - size_bytes) < size_bytes * 0.02
        header = read_header(image[:4096])
        assert header is not None
        assert header.size == Size(1024, 1024)
    with pytest.raises(ValueError, match="cannot hold"):
        noise_png(16, 1_000_000, 1)


def test_verdicts_are_met_missed_or_not_measured() -> None:
    verdicts = [
        at_most(1, "cost", 250.0, 250, "µs"),
        at_least(1, "gain", 3.9, 4, "×"),
        at_most(2, "none", None, 1, "s"),
    ]
    assert [one.met for one in verdicts] == [True, False, None]
    text = of_verdicts(verdicts)
    assert "| 1 | cost | ≤ 250 µs | 250 µs | met |" in text
    assert "| 1 | gain | ≥ 4 × | 3.90 × | **missed** |" in text
    assert "| 2 | none | ≤ 1 s | not measured | not measured |" in text


def test_tables_hold_medians_and_name_who_is_missing() -> None:
    rounds = [{"who": "gateway", "cpu_us": value} for value in (100.0, 300.0, 200.0)]
    outcome = Outcome("small", rounds=rounds, missing={"litellm": "pip failed"})
    outcome.tabulate("Costs", {"cpu_us": "CPU"}, [{"who": "gateway"}, {"who": "litellm"}])
    text = of_outcome(outcome)
    assert "| who | CPU |" in text
    assert "| gateway | 200 |" in text
    assert "| litellm |" not in text
    assert "Missing: litellm: pip failed." in text


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = "# By hand\n\n<!-- figures -->\nold\n<!-- /figures -->\nmore by hand\n"
    assert between(page, "new") == page.replace("old", "new")
    assert between("# By hand\n", "new") == "# By hand\n\n<!-- figures -->\nnew\n<!-- /figures -->\n"
    with pytest.raises(ValueError, match="no <!-- /figures -->"):
        between("<!-- figures -->", "new")


def test_plots_show_every_name_and_figure() -> None:
    drawn = curves("Memory", ("at once", "MB"), {"peak": [(1, 10.0), (200, 176.0)], "idle": [(1, 5.0)]})
    assert all(words in drawn for words in ("Memory", "peak", "idle", "176", "200"))
    bars = log_bars("CPU", "µs", {"small": {"nginx": 22.0, "gateway": 250.0}})
    assert all(words in bars for words in ("nginx", "gateway", "22.0", "250", "small"))


def test_a_request_has_its_length() -> None:
    ask = Ask(80, "/v1", {"authorization": "Bearer x"}, {"prompt": "é"})
    head, _, body = ask.wire().partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert b"authorization: Bearer x" in head
