"""The real `Service` in virtual time: a model cluster, model DNS servers, a model network, and a judge.

    clock      time, timers, packets in flight, process freezes: a `ServiceHost` without sockets
    cluster    pods that come, go and restart under their name: the truth, which nobody outside may ask
    dns        CoreDNS replicas that see the truth late, cache it, cut it, and fail
    network    carries the exchanges of real `Lookup`s: loses, delays, repeats and resets
    judge      who must be in, from the messages received alone; written from the rules, not from the code
    world      all of it together, and what is checked after each step

`python -m simulation --help` (in tests/) runs it for as long as wanted.
"""
