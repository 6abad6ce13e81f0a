import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Production runs on uvloop; asyncio's own loop has other transports and is what Windows and debuggers get."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
