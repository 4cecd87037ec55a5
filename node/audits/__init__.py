"""Audits of a private model's answers: commit to boundaries when answering, prove named steps when asked.

boundaries   what an answer commits to, and the trace behind it
answerer     audits on chain: proves what auditors named, each item in a transaction of its own
desk         audits that were asked for: journalled, one per receipt, proven one after the other
"""
