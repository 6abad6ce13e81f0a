"""When to look at work that a vendor does in its own time: seldom before it can be done, often once it should be."""

from dataclasses import dataclass

__all__ = ["LONGEST_S", "Usual", "wait_s"]

LONGEST_S = 5.0  # half of the shortest wait that a person notices at the end of a long job
_SLOWER = 1.15  # from look to look
_BEFORE = 0.9  # of the usual time: whoever is quicker than that is waited for too long by a tenth of it at most
_STEP = 0.05  # of the usual time between two looks
_FORGETS = 0.05  # of the difference, with each that took longer


@dataclass(slots=True)
class Usual:
    """How long one kind of work took lately, at the quicker end, in seconds; 0.0 while nothing is known."""

    seconds: float = 0.0

    def note(self, took_s: float) -> None:
        """Learn from work that was found done."""
        quicker = not self.seconds or took_s < self.seconds
        self.seconds = took_s if quicker else self.seconds + _FORGETS * (took_s - self.seconds)


def wait_s(asked_s: float, look: int, jitter: float, *, usual_s: float = 0.0, elapsed_s: float = 0.0) -> float:
    """Seconds before the `look`-th look (from 1) at work that was begun `elapsed_s` ago.

    The dialect's pace at first (`asked_s`), slower the longer it takes. Where it is known how long such work takes,
    the first look comes shortly before that. `jitter` in [0, 1) spreads the looks.
    """
    pace_s = min(asked_s * _SLOWER ** (look - 1), max(asked_s, LONGEST_S))
    until_s = _BEFORE * usual_s - max(0.0, elapsed_s)
    return max(pace_s, _STEP * usual_s, until_s) * (0.9 + 0.2 * jitter)
