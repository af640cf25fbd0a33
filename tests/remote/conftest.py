"""A model on a server of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from rlm_local.remote.exchange import RemoteOptions
from rlm_local.remote.model import RemoteModel
from tests.remote.fake import Answer, Fake

#: Attempts follow each other at once.
HASTY = RemoteOptions(attempts=3, first_wait_seconds=0.001, silence_seconds=60.0)

Serve = Callable[..., tuple[RemoteModel, Fake]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that gives these answers, and a model on it."""
    monkeypatch.delenv("RLM_LOCAL_API_KEY", raising=False)
    with ExitStack() as stack:

        def start(
            answers: Answer | Sequence[Answer],
            kind: str = "",
            *,
            query: str = "context_tokens=1000",
            options: RemoteOptions = HASTY,
        ) -> tuple[RemoteModel, Fake]:
            fake = stack.enter_context(Fake(answers, kind).running())
            return stack.enter_context(RemoteModel(fake.url(query), options=options)), fake

        yield start
