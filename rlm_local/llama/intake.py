"""From a request to a job: whatever cannot be done as asked is refused here."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items

from rlm_local.errors import FormError, RequestError, WindowError
from rlm_local.llama.chat import Chat
from rlm_local.llama.choices import Choices, without_prefixes
from rlm_local.llama.engine import Grammar, Vocabulary
from rlm_local.llama.forms import FormPicker
from rlm_local.llama.jobs import Job, Picker
from rlm_local.llama.sampling import Sampler
from rlm_local.llama.steering import Steering
from rlm_local.llama.stream import TextStream
from rlm_local.records import Request
from rlm_local.thoughts import Thoughts

WORTH_STORING = 256  # tokens of a system message
REPLY_TOKENS = 32  # a prompt that leaves less of the window does not fit
_TEXT_SHARE = 2  # a turn's block is opened at the latest when half of its tokens are used
_SAMPLE_CHARS = 1 << 18
_LARGE_CHARS = 1 << 20


class Intake:
    """Makes jobs for a model with a window of `window` tokens.

    `end`: the token that ends a turn. `grammar` makes a grammar of a GBNF text; it
    raises FormError.
    """

    def __init__(
        self,
        chat: Chat,
        vocabulary: Vocabulary,
        *,
        window: int,
        end: int,
        grammar: Callable[[str], Grammar],
    ) -> None:
        self._chat = chat
        self._vocabulary = vocabulary
        self._window = window
        self._end = end
        self._grammar = grammar

    def jobs(
        self, requests: Items[Request], *, attend: Callable[[int], None] = lambda _: None
    ) -> list[Job]:
        """`attend` is told which request it is at. Raises RequestError, with all that are refused,
        and ModelError: then there are none."""
        jobs: list[Job] = []
        refusals: list[RequestError] = []
        whole = False
        try:
            for index, request in enumerate(requests):
                attend(index)
                try:
                    jobs.append(self._job(request, index))
                except RequestError as error:
                    refusals.append(error)
            whole = not refusals
        finally:
            if not whole:
                for job in jobs:
                    job.release()
        if refusals:
            raise RequestError.of_all(refusals)
        return jobs

    def _job(self, request: Request, index: int) -> Job:
        choices = self._choices(request, index) if request.choices else None
        if choices:
            longest = reply = choices.longest
        else:
            longest = request.max_tokens
            reply = min(longest, REPLY_TOKENS, self._window // 2)
        fits = self._window - reply
        self._check_length(request, fits, index)
        bound = bool(request.choices or request.grammar)
        thinking = request.thought_tokens > 0 and not bound
        prompt = self._chat.tokens(request.messages, thinking=thinking, begun=request.begun)
        if len(prompt) > fits:
            raise WindowError(len(prompt), fits, index=index)
        prefix = self._chat.system_tokens(request.messages, thinking=thinking)
        room = self._window - len(prompt)
        longest = min(longest, room)
        # A reply that may be as long as what is left has half of that to itself.
        thought = min(request.thought_tokens, room - min(longest, room // 2)) if thinking else 0
        stream = self._stream(request, thinking=thinking, bound=bound)
        steering = None if bound else self._steering(request, stream, thought, longest)
        closing = len(self._chat.closing) if steering else 0
        return Job(
            prompt,
            max_tokens=longest,
            stream=stream,
            picker=None if choices else self._picker(request, index),
            steering=steering,
            thought_tokens=min(thought + closing, room - longest),
            choices=choices,
            dialogue=request.dialogue,
            node=request.node,
            depth=request.depth,
            prefix=prefix if prefix >= WORTH_STORING else 0,
        )

    def _stream(self, request: Request, *, thinking: bool, bound: bool) -> TextStream:
        marks = self._chat.thought_marks
        opened = thinking and self._chat.opens_thought(thinking=True)
        return TextStream(
            fence=request.stop == "fence",
            stops=self._chat.stops,
            thoughts=Thoughts(marks, opened=opened) if marks and not bound else None,
            begun=request.begun,
        )

    def _steering(
        self, request: Request, stream: TextStream, thought: int, longest: int
    ) -> Steering | None:
        if self._chat.thought_marks is None and not request.block:
            return None
        return Steering(
            stream,
            self._vocabulary,
            thought_tokens=thought,
            closing=self._chat.closing,
            text_tokens=longest // _TEXT_SHARE if request.block else None,
        )

    def _check_length(self, request: Request, fits: int, index: int) -> None:
        """Refuse what is far too long without tokenizing all of it."""
        for message in request.messages:
            if len(message.content) <= _LARGE_CHARS:
                continue
            sample = len(self._vocabulary.tokenize(message.content[:_SAMPLE_CHARS]))
            estimate = sample * len(message.content) // _SAMPLE_CHARS
            if estimate > 4 * fits:
                raise WindowError(estimate, fits, index=index)

    def _choices(self, request: Request, index: int) -> Choices:
        texts = request.choices
        paths = [tuple(map(int, self._vocabulary.tokenize(text))) for text in texts]
        if () in paths:
            raise FormError("one of the choices has no tokens", index=index)
        longest = max(map(len, paths))
        if longest >= self._window // 2:
            raise FormError(
                f"a choice has {longest:,} tokens, and half the window has {self._window // 2:,}",
                hint="number the choices and ask for the number",
                index=index,
            )
        return Choices(texts, without_prefixes(paths, self._end))

    def _picker(self, request: Request, index: int) -> Picker | None:
        sampler = None
        if request.temperature:
            sampler = Sampler(
                request.temperature,
                request.seed,
                top_k=request.top_k,
                top_p=request.top_p,
                min_p=request.min_p,
            )
        if not request.grammar:
            return sampler
        try:
            grammar = self._grammar(request.grammar)
        except FormError as error:
            error.index = index
            raise
        return FormPicker(grammar, sampler, self._vocabulary, end=self._end)
