"""One node of a run: ask, run, observe, until there is an answer.

The root is a node, and each `rlm_query` makes another: with its own question,
prompt, dialogue and Python, and the model, the limits and the record of all.
"""

from __future__ import annotations

import time
import zlib

import msgspec

from rlm_local import dialogue
from rlm_local.budget import Budget
from rlm_local.endings import QuestionTooLongError, reason
from rlm_local.errors import AddressSpaceError, LimitReached, RlmError, WindowError
from rlm_local.model import Interrupted
from rlm_local.past import PASSING
from rlm_local.plaincalls import call_chars, check_cut, most_tokens
from rlm_local.prompt import Prompt
from rlm_local.records import (
    ROOT,
    Completion,
    Message,
    NodeEnded,
    NodeStarted,
    Observation,
    Ran,
    Replied,
    Request,
    StopReason,
    TurnStarted,
    depth_of,
)
from rlm_local.sandbox import GuestRaise, Repl
from rlm_local.subcalls import Child, SubCalls
from rlm_local.tree import Tree, cancelled, interrupted

#: Consecutive turns that bring nothing new before the node is ended.
MAX_STALLED_TURNS = 4


class NodeState(msgspec.Struct):
    """Where a node stands between two turns, but for its Python."""

    messages: list[Message] = []
    turn: int = 0
    final: str | None = None
    content: str = ""  # what the code put into answer["content"]
    latest: str = ""  # else, what was last seen
    last_cell: tuple[str, str] | None = None
    stalled: int = 0

    @property
    def partial(self) -> str:
        """The best there is, should the node end now."""
        return self.content or self.latest


class Node:
    """A node that is to run once, by `run` or by `direct`."""

    def __init__(self, tree: Tree, question: str, prompt: Prompt, budget: Budget) -> None:
        self.tree = tree
        self.question = question
        self.prompt = prompt
        self.budget = budget
        self.id = budget.node
        self.depth = depth_of(self.id)
        self.seed = seed_of(tree.seed, self.id)
        self.state = NodeState()
        self.sub_calls = SubCalls(tree, budget, prompt, self._run_child)
        self._limits = tree.limits
        self._profile = dialogue.profile_of(tree.model.info.profile)
        self._block = self._profile.block if tree.turn_form == "auto" else tree.turn_form == "block"

    # ------------------------------------------------------------- two ways

    def direct(self, text: str) -> None:
        """Give the model the whole text, once."""
        self.state.turn = 1
        try:
            completion = self._complete(dialogue.direct(self.question, text), code=False)
        except Interrupted as error:
            self.state.latest = "".join(part.text for part in error.completions).strip()
            raise
        self.state.latest = completion.text.strip()
        self._record_reply(completion, code="")
        check_cut(self.budget, [completion])
        self.state.final = self.state.latest

    def run(self) -> None:
        """Turns of ask, run and observe, until the code hands over a final value.

        Raises LimitReached, WindowError, ModelError, SandboxError, KeyboardInterrupt;
        `ending` has what was found all the same. All that is below it has ended too.
        """
        state = self.state
        try:
            with self._fork() as repl:
                state.messages += dialogue.opening(self._profile, self.question, self._facts(repl))
                self._restore(repl)
                while state.final is None:
                    self._turn(repl)
        finally:
            self.tree.end_level(cancelled(self.budget), self.budget)
            self.sub_calls.close()

    def ending(self, error: RlmError | KeyboardInterrupt | None) -> NodeEnded:
        """What came of the node, which `error` has ended if it is not None."""
        final = self.state.final
        stop, message = reason(error)
        if final is not None and stop is not StopReason.DISK:  # else that is not on record
            stop, message = StopReason.ANSWERED, ""
        return NodeEnded(
            node=self.id,
            depth=self.depth,
            text=self.state.partial if final is None else final,
            stop=stop,
            message=message,
            usage=self.budget.usage(),
        )

    # ------------------------------------------------------------ one turn

    def _turn(self, repl: Repl) -> None:
        state = self.state
        began = time.monotonic()
        state.turn += 1
        completion = self._complete(tuple(state.messages), code=True)
        turn = dialogue.read_turn(completion.text, cut=completion.finish == "length")
        self._record_reply(completion, turn.code)
        check_cut(self.budget, [completion])
        ran = self._execute(repl, turn.code) if turn.code else Observation()
        shown = self._observe(turn, ran)
        state.messages += (Message("assistant", turn.said), Message("user", shown))
        took = time.monotonic() - began
        busy = completion.seconds + ran.seconds + self.sub_calls.take_seconds()
        self.tree.record(
            Ran(
                turn=state.turn,
                observation=ran,
                shown=shown,
                turn_seconds=took,
                model_seconds=completion.seconds,
                overhead_seconds=max(0.0, took - busy),
                node=self.id,
                depth=self.depth,
            )
        )
        if state.final is None and (standing := self.sub_calls.standing()) is not None:
            self.tree.journal.save(repl, self.id, state.turn, standing)
        if state.final is None and state.stalled >= MAX_STALLED_TURNS:
            raise LimitReached(
                StopReason.REPEATS,
                f"{state.stalled} turns in a row brought nothing new",
                hint="ask in other words, or use a larger model",
                node=self.id,
            )

    def _complete(self, messages: tuple[Message, ...], *, code: bool) -> Completion:
        """The model's next turn; `code`: it is to write a cell."""
        self.budget.charge_turn()
        # A node that is asked directly has no messages of its own, and its whole prompt in these.
        opening = messages if self.state.turn == 1 and self.state.messages else ()
        self.tree.record(
            TurnStarted(turn=self.state.turn, node=self.id, depth=self.depth, opening=opening)
        )
        model, limits = self.tree.model, self._limits
        request = Request(
            messages=messages,
            max_tokens=limits.turn_tokens,
            thought_tokens=limits.thought_tokens,
            stop="fence" if code else "",
            block=code and self._block,
            seed=self.seed,
            dialogue=self.id,
            node=self.id,
            depth=self.depth,
            turn=self.state.turn,
        )
        most = most_tokens(request, model.info) * (1 + (limits.syntax_retries if code else 0))
        with self.budget.grant(most) as grant, self.tree.busy(self.budget):
            try:
                [completion] = model.complete(
                    [request], deadline=self.budget.deadline, token_limit=grant.tokens
                )
            except Interrupted as error:
                grant.charge(error.completions, depth=self.depth)
                raise
            except WindowError as error:
                if self.state.turn > 1:
                    raise
                raise QuestionTooLongError(error.tokens, error.fits) from error
            grant.charge([completion], depth=self.depth)
        return completion

    def _record_reply(self, completion: Completion, code: str) -> None:
        self.tree.record(
            Replied(
                turn=self.state.turn,
                text=completion.text,
                code=code,
                completion=completion,
                node=self.id,
                depth=self.depth,
            )
        )

    def _execute(self, repl: Repl, code: str) -> Observation:
        state = self.state
        self.sub_calls.turn = state.turn
        ran = self.tree.journal.observation(self.id, state.turn)
        if ran is None:
            try:
                with self.tree.busy(self.budget, repl):
                    ran = repl.execute(
                        code, deadline=self.budget.deadline, cell_seconds=self._limits.cell_seconds
                    )
            except (RlmError, KeyboardInterrupt) as error:
                try:
                    if isinstance(error, KeyboardInterrupt):  # the cell may wait for children
                        self.tree.end(interrupted(), self.budget)
                        repl.close()
                finally:  # Ctrl-C may come again
                    left = repl.unfinished()
                    state.content = left.partial or state.content
                    state.latest = left.stdout.strip() or state.latest
                raise
        state.content = ran.partial or state.content
        state.latest = (ran.stdout or ran.value or "").strip() or state.latest
        if state.final is None:
            self.budget.check()
        return ran

    def _observe(self, turn: dialogue.Turn, ran: Observation) -> str:
        """What the model is told, and whether this turn brought anything new."""
        state = self.state
        if not turn.code:
            state.stalled += 1
            if turn.cut:
                return dialogue.cut_short(self._limits.turn_tokens)
            state.latest = turn.said.strip() or state.latest
            return dialogue.NO_CODE
        shown = dialogue.observation(self._profile, ran, self._limits.output_chars)
        cell = (turn.code.strip(), shown)
        if cell == state.last_cell:
            state.stalled += 1
            return dialogue.REPEATED
        state.last_cell = cell
        state.stalled = 0
        return shown

    # ------------------------------------------------------------- the REPL

    def _fork(self) -> Repl:
        return self.tree.sandbox.repl(
            self.prompt,
            question=self.question,
            host=self._host,
            functions=SubCalls.NAMES if self._may_call else (),
            memory_bytes=self._limits.guest_memory_bytes,
            output_chars=self._limits.output_chars,
            seed=self.seed,
        )

    def _restore(self, repl: Repl) -> None:
        """Go on from the node's last checkpoint, if the run is resumed and has one."""
        standing = self.tree.journal.restore(repl, self.id)
        if standing is not None:
            self.tree.journal.charge(self.budget, standing)
            self.sub_calls.restore(standing)

    @property
    def _may_call(self) -> bool:
        return self.depth < self._limits.depth

    def _host(self, name: str, arguments: list[object]) -> object:
        """Answer a call of the guest, on the guest's thread."""
        self.budget.check()
        if name == "final":
            self._hand_over(arguments)
            return None
        if not self._may_call:
            raise GuestRaise("RuntimeError", f"{name}: sub-calls are off at this depth")
        return self.sub_calls(name, arguments)

    def _hand_over(self, arguments: list[object]) -> None:
        if self.state.final is not None:
            return
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self._limits.answer_bytes:
            self.state.content = text[: self._limits.answer_bytes // 4]
            raise LimitReached(
                StopReason.ANSWER_SIZE,
                f"the answer has {size:,} bytes, and the limit is {self._limits.answer_bytes:,}",
                hint="raise answer_bytes",
                node=self.id,
            )
        self.state.final = text

    # ------------------------------------------------------------- children

    def _run_child(self, wanted: Child) -> NodeEnded:
        """Run a child to its end. Raises what ends more than the child, or a GuestRaise."""
        budget, query = wanted.budget, wanted.query
        try:
            budget.check()
        except LimitReached as over:
            # Its own time may be over before its turn has come: then it begins, and ends at
            # once, as one that has begun would.
            if over.node != budget.node or over.stop is StopReason.CANCELLED:
                raise
        with query.context.opened(self.prompt, self.tree.spools) as prompt:
            known = self.tree.journal.child(
                budget, query.question, prompt, call=wanted.call.number, index=wanted.index
            )
            if known is not None:
                return known
            child = Node(self.tree, query.question, prompt, budget)
            budget.begin()
            self.tree.record(
                NodeStarted(
                    node=child.id,
                    depth=child.depth,
                    turn=wanted.call.turn,
                    call=wanted.call.number,
                    index=wanted.index,
                    question=child.question,
                    prompt=prompt.describe(),
                    share=wanted.share,
                )
            )
            error: RlmError | None = None
            try:
                child.run()
            except RlmError as raised:
                error = raised
            ended = child.ending(error)
            self.tree.record(ended)
            if ended.stop not in PASSING:
                self.tree.journal.forget(child.id)
        self.tree.cancel(child.id)  # what was kept of its dialogue
        if isinstance(error, QuestionTooLongError | AddressSpaceError):
            raise GuestRaise("ValueError", str(error)) from error
        if error is not None and not child.was_ended_by(error):
            self.tree.end(error, budget)
            raise error
        return ended

    def was_ended_by(self, error: RlmError) -> bool:
        """Whether `error` ended this node and nothing above it."""
        if isinstance(error, LimitReached):
            return error.node == self.id
        return isinstance(error, WindowError)

    # -------------------------------------------------------------- wording

    def _facts(self, repl: Repl) -> dialogue.PromptFacts:
        called = self.tree.sub_model
        fits = call_chars(self.prompt, self._limits, called) if self._may_call else None
        return dialogue.PromptFacts(
            documents=len(self.prompt.documents),
            single=self.prompt.single,
            chars=self.prompt.chars,
            head=self.prompt.preview(self._profile.head_chars),
            call_chars=fits,
            children=self.depth + 1 < self._limits.depth,
            on_demand=repl.on_demand,
        )


def seed_of(seed: int, node: str) -> int:
    """The seed of a node: the run's own for the root, else one that depends on its place."""
    return seed if node == ROOT else zlib.crc32(f"{seed}:{node}".encode())
