"""How many times the one is the other, and between what bounds that lies."""
import random
import statistics


class Ratio(float):
    """Of two medians, with where nine of ten would lie if the rounds were drawn again from those that there are."""

    DRAWS, FEWEST = 2000, 5  # with fewer rounds it would say little

    def __new__(cls, over, under):
        self = super().__new__(cls, statistics.median(over) / statistics.median(under))
        self.low = self.high = None
        if min(len(over), len(under)) >= cls.FEWEST:
            dice = random.Random(1)
            drawn = sorted(statistics.median(dice.choices(over, k=len(over))) / statistics.median(dice.choices(under, k=len(under)))
                           for _ in range(cls.DRAWS))
            self.low, self.high = drawn[cls.DRAWS // 20], drawn[-cls.DRAWS // 20]
        return self

    @classmethod
    def of_each(cls, pairs):
        """The median of the ratios of such pairs (over, under) as belong together."""
        ratios = [over / under for over, under in pairs]
        return cls(ratios, [1.0] * len(ratios))


def shown(value):
    """Also of a plain number."""
    low = getattr(value, "low", None)
    return f"{value:.2f}" if low is None else f"{value:.2f} ({low:.2f} to {value.high:.2f})"
