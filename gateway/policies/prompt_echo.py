"""Vendors quote prompts in their complaints; what is written of a complaint has them taken out."""

__all__ = ["without_prompt"]

_MARK = "[prompt]"
_RUN = 16  # characters in common that are no chance; shorter prompts must stand there as a whole


def without_prompt(text: str, prompt: str) -> str:
    """`text` without the prompt, or pieces of it of 16 characters and more, also with its line breaks escaped."""
    quoted = prompt.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    for spelling in dict.fromkeys((prompt, prompt.replace("\n", "\\n").replace('"', '\\"'), quoted)):
        text = _without(text, spelling)
    return text


def _without(text: str, prompt: str) -> str:
    run = min(_RUN, len(prompt))
    if not prompt.strip():
        return text
    runs = {prompt[at : at + run] for at in range(len(prompt) - run + 1)}
    kept, at, hidden_to = list[str](), 0, 0
    while at < len(text):
        if text[at : at + run] in runs:
            if hidden_to < at or not kept:
                kept.append(_MARK)
            hidden_to = at + run
        if at >= hidden_to:
            kept.append(text[at])
        at += 1
    return "".join(kept)
