"""How likely a false statement is to be accepted, term by term.

The argument is a sequence of random checks. Each one fails to notice a lie only if a challenge is a root of a
non-zero polynomial that was fixed before the challenge was drawn: for degree D that is D values out of r
(Schwartz-Zippel). A term below is such a D, summed over everything that the challenge has to catch; the total is
the union bound. Counts are upper bounds: where one lie would be enough to bound, all are added.

A commitment is a polynomial of which the adversary chooses every coefficient that it has a published power of tau for: not
the 2^mu that the SRS keeps, but all that the ceremony published. Degrees below are those of the largest ceremony there is.

Commitments are binding, and a KZG opening means what it says, as long as BN254 and the SRS hold (about 100 bits,
in the algebraic group model); that is a matter of computation, stated beside the total and no part of it.
Sources: Thaler, sections 3 and 4; logUp (ePrint 2022/1530); Mercury (ePrint 2025/385); BDFG20 (ePrint 2020/081).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import log2, log10

from .argument.reduction import REDUCTION_DEGREE
from .curve.srs import LARGEST_MU
from .field.reference import SCALAR_MODULUS as MODULUS
from .masks import mask_layout
from .plan import PRIVATE, PUBLIC, Plan, Privacy
from .program import WINDOW_ROWS

COMPUTATIONAL_BITS = 100
"""log2 of the work of the best known attack on BN254 (tower number field sieve in the target group)."""
HASH_VALUES = 1 << 256
GRINDING_BITS = COMPUTATIONAL_BITS
"""log2 of the hash evaluations of an adversary who retries its messages until a challenge suits it: whoever could spend more
would break the curve instead."""
PUBLISHED_POWERS = (2 << LARGEST_MU) - 1
"""Powers of tau in G1 that the largest ceremony publishes: a .ptau file of 2^p has 2^(p+1) - 1. The degrees of what an
adversary commits to are below this."""


@dataclass(frozen=True)
class SoundnessTerm:
    """One cause of error: a probability of roots / r. `why` says what the roots are of."""

    name: str
    roots: Fraction
    why: str

    @property
    def log2(self) -> float:
        """log2 of the probability."""
        return _log2(self.roots)

    @property
    def log10(self) -> float:
        """log10 of the probability."""
        return self.log2 * log10(2)


@dataclass(frozen=True)
class Soundness:
    """The terms for one statement, and their sum."""

    statement: str
    terms: tuple[SoundnessTerm, ...]

    @property
    def total(self) -> SoundnessTerm:
        """The union bound."""
        return SoundnessTerm("total", sum((t.roots for t in self.terms), Fraction(0)), "sum of the terms")

    @property
    def probability(self) -> float:
        """The total as a float."""
        return float(self.total.roots / MODULUS)

    def facts(self) -> dict[str, object]:
        """For JSON output."""
        return {
            "statement": self.statement,
            "terms": [
                {"name": t.name, "log2": round(t.log2, 2), "log10": round(t.log10, 2), "why": t.why}
                for t in self.terms
            ],
            "total_log2": round(self.total.log2, 2),
            "total_log10": round(self.total.log10, 2),
            "published_powers": PUBLISHED_POWERS,
            "grinding_bits": GRINDING_BITS,
            "total_log2_with_grinding": round(self.total.log2 + GRINDING_BITS, 2),
            "computational_bits": COMPUTATIONAL_BITS,
        }

    def lines(self) -> list[str]:
        """A table for people."""
        width = max(len(t.name) for t in self.terms)
        rows = [
            f"soundness error, {self.statement}:",
            f"  {'cause':<{width}}  {'log2':>8}  {'log10':>7}  roots of",
        ]
        rows += [f"  {t.name:<{width}}  {t.log2:8.2f}  {t.log10:7.2f}  {t.why}" for t in self.terms]
        total = self.total
        rows.append(f"  {total.name:<{width}}  {total.log2:8.2f}  {total.log10:7.2f}  {total.why}")
        rows.append(
            f"for an adversary with all {PUBLISHED_POWERS} powers of tau of the largest ceremony (2^{LARGEST_MU});"
            f" after 2^{GRINDING_BITS} hash evaluations spent on retries: 2^{total.log2 + GRINDING_BITS:.0f};"
            f" breaking BN254 takes about 2^{COMPUTATIONAL_BITS} operations and is what limits the whole"
        )
        return rows


def step_soundness(plan: Plan, context_bits: int, chunk_bits: int) -> Soundness:
    """The terms of a layer program's statement: t = context_bits, mu = chunk_bits."""
    variables = plan.variables(context_bits)
    tables = sum(1 << table.width.resolve(context_bits) for table in plan.program.tables)
    lookups = sum(
        len(relations) << plan.width(domain).resolve(context_bits)
        for domain, relations in plan.lookups.items()
    )
    masks = mask_layout(plan)
    powers = len(plan.sent) + len(plan.short_outputs(chunk_bits)) + (1 if masks else 0)
    last = masks.last_degree if masks else plan.round_degree
    longer = f", the last one of {last}" if masks else ""
    terms = [
        _term("beta: lookup rows as one number", 2 * tables, f"2 x {tables} table rows"),
        _term(
            "gamma: logUp",
            2 * (lookups + tables),
            f"sum and denominators of {lookups} lookups, {tables} rows",
        ),
        _term("alpha: relations into one", plan.powers - 1, f"{plan.powers} powers of alpha"),
        _term("rho: points of a domain into one", variables, f"{variables} coordinates"),
        _term(
            "r: batched sumcheck",
            plan.round_degree * (variables - 1) + last,
            f"{variables} rounds of degree {plan.round_degree}{longer}",
        ),
        *_output_terms(plan, chunk_bits),
        _term("eta: claims into one", powers, f"{powers} claims besides the final check"),
        *_uniqueness_terms(plan, powers, chunk_bits),
        _term(
            "q: claim reduction",
            REDUCTION_DEGREE * chunk_bits,
            f"{chunk_bits} rounds of degree {REDUCTION_DEGREE}",
        ),
        *_opening_terms(chunk_bits),
    ]
    return _with_bias(f"{plan.program.name} statement with 2^{context_bits} context rows", terms)


def embedding_soundness(channel_bits: int, privacy: Privacy = PUBLIC) -> Soundness:
    """The term of the embedding statement: W(z) = sum_i z^(i * padded_d) E_i(z), whatever the window's degree; and of a private one's mask."""
    degree = PUBLISHED_POWERS - 1 + ((WINDOW_ROWS - 1) << channel_bits)
    terms = [
        _term("z: embedding rows", degree, f"{PUBLISHED_POWERS} powers published, {WINDOW_ROWS - 1} rows")
    ]
    if privacy == PRIVATE:
        terms.append(_term("epsilon: the mask", 1, "epsilon Q(z) + p(z) = v has one root"))
    return _with_bias("embedding statement", terms)


def _output_terms(plan: Plan, chunk_bits: int) -> list[SoundnessTerm]:
    """What an output's chunk holds outside its place: a polynomial of degree mu at (rho, r), which has mu variables."""
    count = len(plan.short_outputs(chunk_bits))
    why = f"{chunk_bits} variables of each of {count} outputs' chunks"
    return [_term("rho, r: nothing outside the outputs", count * chunk_bits, why)]


def _uniqueness_terms(plan: Plan, powers: int, chunk_bits: int) -> list[SoundnessTerm]:
    """What an output's commitment holds beyond its chunk, of degree 2^mu and more (docs/uniqueness.md).

    One power of eta multiplies the output's chunk alone. Its coefficient, at a row beyond the chunk, is a product of two
    polynomials in q: of degree mu (where the claim is) and mu / 2 (the row at the last coordinates). It is not zero
    itself unless the first coordinate of rho is the first bit of the place.
    """
    half, count = chunk_bits // 2, len(plan.outputs)
    roots = count * (powers + chunk_bits + half + 1)
    why = f"{count} outputs: of degree {powers} in eta and {chunk_bits} + {half} in q, one value of rho"
    if mask_layout(plan) is not None and count:
        # powers of eta of evaluations multiply the first mask chunk too; the last power multiplies only the two of them
        roots += powers + chunk_bits + half
        why += "; the same once for the mask chunks"
    return [_term("eta, q: nothing beyond the chunks", roots, why)]


def _opening_terms(chunk_bits: int) -> list[SoundnessTerm]:
    """Mercury with b = 2^(mu / 2), where every committed polynomial has as many coefficients as powers were published."""
    size, root = PUBLISHED_POWERS, 1 << (chunk_bits // 2)
    rows = -(-size // root)
    # line 3 (powers -size .. size), D = X^(b-1) (g + gamma h)(1/X) (2 size), the division by X^b - alpha (size + b)
    identities = 2 * size + 2 * size + size + root
    return [
        _term(
            "Mercury alpha: h",
            max(root, rows),
            f"{rows} rows of the opened polynomial, {root} coefficients of h",
        ),
        _term("Mercury gamma: two by two", 2, "two claims, two degrees"),
        _term("Mercury zeta: identities", identities, "three identities between committed polynomials"),
        _term("Mercury beta, z, d: batch", 3 + size + 2 + 1, "four polynomials on three points, one pairing"),
    ]


def _term(name: str, roots: int, why: str) -> SoundnessTerm:
    return SoundnessTerm(name, Fraction(roots), why)


def _with_bias(statement: str, terms: list[SoundnessTerm]) -> Soundness:
    """Adds what Keccak modulo r costs.

    A challenge is a 256-bit number modulo r, so some values have probability ceil(2^256 / r) / 2^256 instead of
    1 / r. That is no small statistical distance, but every value's probability, and with it every term, grows by
    at most this factor.
    """
    terms = [term for term in terms if term.roots]
    factor = Fraction(-(-HASH_VALUES // MODULUS) * MODULUS, HASH_VALUES)
    biased = (factor - 1) * sum((t.roots for t in terms), Fraction(0))
    bias = SoundnessTerm("Fiat-Shamir: hash modulo r", biased, f"{float(factor):.3f} times all of the above")
    return Soundness(statement, (*terms, bias))


def _log2(roots: Fraction) -> float:
    return log2(roots.numerator) - log2(roots.denominator) - log2(MODULUS)


__all__ = [
    "COMPUTATIONAL_BITS",
    "GRINDING_BITS",
    "PUBLISHED_POWERS",
    "Soundness",
    "SoundnessTerm",
    "embedding_soundness",
    "step_soundness",
]
