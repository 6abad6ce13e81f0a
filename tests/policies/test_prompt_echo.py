import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.prompt_echo import without_prompt

PROMPT = "a quiet harbour at dusk, seen from the lighthouse"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"Your prompt '{PROMPT}' was refused.", "Your prompt '[prompt]' was refused."),
        ("It says a quiet harbour at dusk… which is too long", "It says [prompt]… which is too long"),
        ("My harbour at dusk, seen now", "My[prompt]now"),
        (PROMPT, "[prompt]"),
        (PROMPT + PROMPT, "[prompt]"),
        ("Prediction failed: out of memory", "Prediction failed: out of memory"),
        ("", ""),
    ],
)
def test_what_a_vendor_quotes_of_a_prompt_is_taken_out(said: str, kept: str) -> None:
    assert without_prompt(said, PROMPT) == kept


def test_a_short_prompt_is_found_as_a_whole_only() -> None:
    assert without_prompt("no cat allowed", "cat") == "no [prompt] allowed"
    assert without_prompt("no dog allowed", "cat") == "no dog allowed"
    assert without_prompt("as it is", " ") == "as it is"


def test_escaped_quotations_are_found_too() -> None:
    prompt = 'two lines\nand "a quotation" in ünicode'
    for spelling in (prompt, 'two lines\\nand \\"a quotation\\" in ünicode', "two lines\\nand"):
        assert "quotation" not in without_prompt(f"refused: {spelling}.", prompt)


@given(st.text(min_size=16, max_size=60), st.text(max_size=40), st.text(max_size=40))
def test_no_whole_prompt_is_ever_left(prompt: str, before: str, after: str) -> None:
    if prompt.strip():
        assert prompt not in without_prompt(before + prompt + after, prompt)


@given(st.text(max_size=200))
def test_a_text_that_quotes_nothing_stays(text: str) -> None:
    assert without_prompt(text, "\N{SNOWMAN}" * 20) == text or "\N{SNOWMAN}" in text or "\\u2603" in text
