"""Meta-learning: networks that make weights, the transfer of SML and the generator of ASMG."""
