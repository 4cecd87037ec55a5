"""Paying for answers: what travels in headers, the provider's till and its redeemer, the payer's client and commands.

The contract is `Payments`; deposits, vouchers, redemption and refunds are described on `IPayments.sol`.
"""
