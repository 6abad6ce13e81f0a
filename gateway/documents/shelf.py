"""All static documents as they are served: media type and bytes, by path."""

from collections.abc import Callable

import orjson

from gateway.documents.llms import PAGES, llms_txt, pages
from gateway.documents.openapi import document
from gateway.domain.catalogue import Capabilities, Catalogue, Target

__all__ = ["shelf"]


def shelf(
    catalogue: Catalogue, base_url: str, capabilities_of: Callable[[Target], Capabilities]
) -> dict[str, tuple[str, bytes]]:
    """What stands at `/llms.txt`, `/openapi.json` and `/docs/<page>.md`. `base_url` has no trailing slash."""
    written = pages(catalogue, capabilities_of)
    return {
        "/llms.txt": ("text/plain; charset=utf-8", llms_txt(base_url).encode()),
        "/openapi.json": (
            "application/json",
            orjson.dumps(document(catalogue, base_url, capabilities_of, PAGES), option=orjson.OPT_INDENT_2),
        ),
        **{f"/docs/{name}.md": ("text/markdown; charset=utf-8", written[name].encode()) for name in PAGES},
    }
