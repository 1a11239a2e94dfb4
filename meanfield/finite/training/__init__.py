"""Real trained networks, to measure how fast each part of them moves at a width.

Numbers in, numbers out: nothing here knows where an exponent comes from, so that it can judge one.
"""
