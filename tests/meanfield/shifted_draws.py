"""Random numbers of which one is changed: derivatives in the weights of a network, without knowing where they are."""

from meanfield.finite import stream


class Shifted:
    """Draws of `stream(1)`, with number `at` changed."""

    def __init__(self, at, change):
        self.inner, self.seen, self.at, self.change = stream(1), 0, at, change

    def standard_normal(self, size):
        values = self.inner.standard_normal(size)
        if 0 <= self.at - self.seen < values.size:
            values.flat[self.at - self.seen] += self.change
        self.seen += values.size
        return values
