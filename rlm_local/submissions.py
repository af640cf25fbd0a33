"""Calls that a node's code goes on beside: it has a number for each, and asks for it later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rlm_local.budget import Budget
from rlm_local.errors import RlmError
from rlm_local.helpers import Job
from rlm_local.journal import Place, RecordEndsError
from rlm_local.outcomes import Call, Outcome
from rlm_local.records import Polled
from rlm_local.sandbox import GuestRaise
from rlm_local.tree import Tree, cancelled

#: Does the work of a submission, or of one item of it.
Work = Callable[[], list[Outcome]]

#: Stands for the number of polls of what the code knows to be done.
_DONE = -1
#: How long a poll of a call that is not done may wait: code that polls in a loop is slowed.
_POLL_SECONDS = 0.005


class Submissions:
    """What one node's code has submitted, by the number of the call."""

    def __init__(self, tree: Tree, budget: Budget) -> None:
        self._tree = tree
        self._budget = budget
        self._all: dict[int, _Submission] = {}

    def begin(self, call: Call, work: Work, items: int) -> None:
        """Begin a call whose items are done together."""
        job = self._started(work)
        self._all[call.number] = _Submission([(job, at) for at in range(items)])

    def begin_children(self, call: Call, work: Sequence[tuple[Budget, Work]]) -> None:
        """Begin a call whose items are children, each done by itself."""
        submission = _Submission([(self._started(each), 0) for _, each in work])
        submission.children = [budget for budget, _ in work]
        self._all[call.number] = submission

    def place(self, item: object) -> Place:
        """The call and the item of it that the guest names. Raises GuestRaise."""
        match item:
            case [int() as call, int() as index] if call in self._all:
                if 0 <= index < len(self._all[call].jobs):
                    return call, index
        raise GuestRaise("ValueError", "there is no such call")

    def collect(self, place: Place) -> Outcome:
        """The outcome of an item, waited for. Raises what ends more than that."""
        call, index = place
        self._all[call].used.add(index)
        job, at = self._all[call].jobs[index]
        return job.result(self._budget.check)[at]

    def poll(self, place: Place, turn: int, calls: int) -> bool:
        """Whether an item is done, after so many `calls` of the code. That it is, is on record,
        and stays so."""
        self._budget.check()
        call, index = place
        submission, node = self._all[call], self._budget.node
        submission.used.add(index)
        polls = submission.polls.get(index, 0)
        if polls == _DONE:
            return True
        polls += 1
        done = self._tree.journal.polled(node, turn, place, polls, calls=calls)
        if done is None:
            done = submission.jobs[index][0].wait(_POLL_SECONDS)
        if done:
            self._tree.record(Polled(turn=turn, call=call, index=index, polls=polls, node=node))
        submission.polls[index] = _DONE if done else polls
        return done

    def close(self) -> None:
        """Cancel what is not done, and wait for what has begun."""
        for submission in self._all.values():
            for job, _ in submission.jobs:
                job.drop()
            for budget in submission.children:
                self._tree.end_level(cancelled(budget), budget)
        for submission in self._all.values():
            for job, _ in submission.jobs:
                job.settle()
        for call, submission in self._all.items():
            self._tell_unused(call, submission)

    def _tell_unused(self, call: int, submission: _Submission) -> None:
        journal, node = self._tree.journal, self._budget.node
        children = [budget.node for budget in submission.children] or [""] * len(submission.jobs)
        for index, child in enumerate(children):
            if index not in submission.used:
                journal.unused(node, call, index, child)
        if not submission.used:
            journal.unused(node, call, -1)

    # ----------------------------------------------------------- checkpoints

    def outcomes(self) -> dict[int, list[Outcome]] | None:
        """Those of all calls; None while one is not done."""
        jobs = [job for submission in self._all.values() for job, _ in submission.jobs]
        if not all(job.done for job in jobs):
            return None
        try:
            return {
                call: [job.result()[at] for job, at in submission.jobs]
                for call, submission in self._all.items()
            }
        except RlmError:  # of a job, which ends more than this
            return None

    def polled(self) -> list[Place]:
        """What the code has been told is done."""
        return [
            (call, index)
            for call, submission in self._all.items()
            for index, polls in submission.polls.items()
            if polls == _DONE
        ]

    def restore(self, outcomes: dict[int, list[Outcome]], polled: Sequence[Place]) -> None:
        """Have the calls that were done at a checkpoint."""
        for call, done in outcomes.items():
            job: Job[list[Outcome]] = Job(partial(list, done))
            job.run()
            self._all[call] = _Submission([(job, at) for at in range(len(done))])
        for call, index in polled:
            self._all[call].polls[index] = _DONE

    def _started(self, work: Work) -> Job[list[Outcome]]:
        return self._tree.helpers.start(Job(partial(self._work, work)))

    def _work(self, work: Work) -> list[Outcome]:
        """Do it on a thread that nobody may be waiting for: what ends a part of the tree is
        told to that part."""
        try:
            return work()
        except RecordEndsError:
            raise  # the code may never ask for it, as it did not then
        except RlmError as error:
            self._tree.end(error, self._budget)
            raise


class _Submission:
    """For each item of a call its job, and its place in the job's outcomes."""

    def __init__(self, jobs: list[tuple[Job[list[Outcome]], int]]) -> None:
        self.jobs = jobs
        self.children: list[Budget] = []
        self.polls: dict[int, int] = {}  # by item: polls so far, or _DONE
        self.used: set[int] = set()  # items that the code has asked for
