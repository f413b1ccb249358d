"""`doctor`: what is wrong with a service's DNS, the evidence, and what to change. `command` is where it begins.

`interview` knows which questions to ask, and `gather` asks them. What came back is `evidence`. `absence`, `names`,
`servers`, `transport`, `records` and `peers` judge it, a function for each check, without asking anybody. `report` runs
them all, and shows what they found.
"""
