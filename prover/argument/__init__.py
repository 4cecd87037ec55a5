"""The argument: transcript, multilinear polynomials, sumcheck, claim reduction, commitment, opening."""
