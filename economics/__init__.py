"""What the protocol's amounts mean in money.

money.py       the rules: where every wei of a lost game goes, as in the contracts (integers)
gas.py         one table of gas, measured or targets
prices.py      what a deployment is looked at with: gas price, ether's price, fees, savings, re-checks
figures.py     closed forms: when honesty pays, who can afford to look, what drowning costs
simulation.py  strategic agents who play by money.py; the closed forms must survive them
plots.py       SVG without a plotting library
cli.py         `gainsay economics`

Nobody imports this package; it knows the contracts' bindings only to read a deployment's parameters.
"""
