"""Values for the tests of the dialects: accounts, shots, replies, and strategies that draw them."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from gateway.domain.catalogue import Account, Capabilities, Target
from gateway.domain.exchange import Dialect, HttpReply
from gateway.domain.job import Shot
from gateway.domain.money import Price
from gateway.domain.picture import ImageFormat, Size
from gateway.vendors import dialects

__all__ = ["ACCOUNTS", "DIALECTS", "PROMPT", "account", "any_json", "reply", "shot", "shots"]

DIALECTS = dialects()
PROMPT = "A paper boat on a puddle"

ACCOUNTS = MappingProxyType(
    {
        "replicate": Account("a1", "replicate"),
        "openai": Account("a2", "openai"),
        "ideogram": Account("a3", "ideogram"),
        "vertex": Account("a4", "vertex", project="paper-boats-1", location="global"),
    }
)


def account(dialect: str, **changes: Any) -> Account:
    """The account of the dialect's vendor, at the vendor's own address unless changed."""
    return replace(ACCOUNTS[DIALECTS[dialect].vendor], **changes)


def shot(dialect: str, model: str, **changes: Any) -> Shot:
    """A plain shot of one 1024x1024 PNG."""
    target = Target(account(dialect), dialect, model, Price(flat=1))
    plain = Shot(target, PROMPT, 1, Size(1024, 1024), ImageFormat.PNG, deadline_s=120.0)
    return replace(plain, **changes)


def reply(
    body: Any = None, status: int = 200, *, headers: Mapping[str, str] | None = None, text: str = ""
) -> HttpReply:
    """A vendor's reply; a body that is None is one that was no JSON."""
    return HttpReply(status, headers or {}, body, text)


# Native options that an operator may configure, by dialect, each with what the vendor takes.
_OPTIONS: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "black-forest-labs/flux-schnell": {
        "go_fast": st.booleans(),
        "num_inference_steps": st.integers(1, 4),
        "output_quality": st.integers(0, 100),
    },
    "black-forest-labs/flux-1.1-pro": {
        "safety_tolerance": st.integers(1, 6),
        "prompt_upsampling": st.booleans(),
        "output_quality": st.integers(0, 100),
    },
    "openai_images": {"output_compression": st.integers(0, 100), "background": st.sampled_from(["opaque", "auto"])},
    "dall-e": {"response_format": st.sampled_from(["url", "b64_json"])},
    "ideogram_v3": {
        "rendering_speed": st.sampled_from(["FLASH", "TURBO", "BALANCED", "DEFAULT", "QUALITY"]),
        "magic_prompt": st.sampled_from(["AUTO", "ON", "OFF"]),
        "style_type": st.sampled_from(["GENERAL", "REALISTIC", "DESIGN"]),
        "negative_prompt": st.just("blur"),
    },
    "ideogram_v2": {"magic_prompt": st.sampled_from(["auto", "on", "off"])},
    "vertex_predict": {
        "addWatermark": st.booleans(),
        "enhancePrompt": st.booleans(),
        "personGeneration": st.sampled_from(["DONT_ALLOW", "ALLOW_ADULT", "ALLOW_ALL"]),
        "labels": st.just({"team": "boats"}),
    },
    "vertex_generate_content": {
        "temperature": st.floats(0, 1),
        "labels": st.just({"team": "boats"}),
        "safetySettings": st.just([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]),
    },
}


def _options(dialect: Dialect, model: str) -> st.SearchStrategy[dict[str, Any]]:
    if dialect.name == "openai_images" and model.startswith("dall-e-"):
        return st.fixed_dictionaries({}, optional=dict(_OPTIONS["dall-e"]))
    return st.fixed_dictionaries({}, optional=dict(_OPTIONS.get(model) or _OPTIONS.get(dialect.name) or {}))


def _sizes(capabilities: Capabilities) -> st.SearchStrategy[Size]:
    listed = st.sampled_from(capabilities.sizes) if capabilities.sizes else st.nothing()
    grid = capabilities.grid
    if grid is None:
        return listed
    first = -(-grid.min_edge // grid.step)
    edges = st.integers(first, grid.max_edge // grid.step).map(lambda steps: steps * grid.step)
    ruled = st.builds(Size, edges, edges).filter(
        lambda size: (
            grid.min_pixels <= size.pixels <= grid.max_pixels
            and max(size.width, size.height) <= grid.max_ratio * min(size.width, size.height)
        )
    )
    return listed | ruled | st.just(Size(1024, 1024))


@st.composite
def shots(draw: st.DrawFn, dialect: Dialect, model: str) -> Shot:
    """Any shot that the rest of the gateway could plan for the model."""
    can = dialect.capabilities(model)
    transparent = can.transparent and draw(st.booleans())
    formats = [each for each in can.formats if each is not ImageFormat.JPEG] if transparent else can.formats
    options = draw(_options(dialect, model))
    if transparent:
        options.pop("background", None)
    word = st.none() | st.sampled_from(sorted(can.qualities.values())) if can.qualities else st.none()
    style = st.none() | st.sampled_from(can.styles) if can.styles else st.none()
    moderation = st.none() | st.sampled_from(can.moderations) if can.moderations else st.none()
    letters = st.characters(exclude_categories=["Cs"])
    return shot(
        dialect.name,
        model,
        prompt=draw(st.text(letters, min_size=1, max_size=40)),
        count=draw(st.integers(1, can.images_per_call)),
        size=draw(_sizes(can)),
        format=draw(st.sampled_from(formats)),
        deadline_s=draw(st.floats(0.1, 600)),
        seed=draw(st.none() | st.integers(0, 2**31 - 1)) if can.takes_seed else None,
        end_user=draw(st.none() | st.just("5f" * 32)) if can.takes_end_user else None,
        quality=draw(word),
        style=draw(style),
        moderation=draw(moderation),
        transparent=transparent,
        options=options,
    )


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
