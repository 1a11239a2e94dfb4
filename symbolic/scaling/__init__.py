"""Exponents of width: how initialization, learning rate and damping must grow so that training looks the same at any
width. [q] is the exponent e with RMS q = Theta(n^e); every exponent here is an exact rational or a form in symbols.
"""
