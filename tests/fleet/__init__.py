"""A fleet of clients in virtual time, and the queries that reach the DNS servers: docs/scale.md by `make fleet`.

servers    CoreDNS, its cache and NodeLocal DNSCache, as far as TTLs go
clients    the library's scheduling (the real `Membership` and back-off), and naive clients beside it
run        one fleet over some virtual minutes, and what was counted
whole      the same with the whole `Service`, lookups and all: slower, for fleets up to a thousand
scenarios  the rows of the page
report     the page and its plots
"""
