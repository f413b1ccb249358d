"""The real `Service` in virtual time: a model cluster, model DNS servers, a model network, and a judge.

    clock      time, timers, packets in flight, process freezes: a `ServiceHost` without sockets
    cluster    pods that come, go and restart under their name: the truth, which nobody outside may ask
    words      DNS messages as bytes, and the note beside each: what its server knew when it made it
    dns        CoreDNS replicas that see the truth late, cache it, cut it, and fail; servers with other habits
    network    carries the exchanges of real `Lookup`s: loses, delays, repeats and resets
    judge      whether the set is right, from the truth and the notes; it imports nothing of the library
    world      all of it together, and what is checked after each step
    story      what happens to a world
    worlds     the worlds by name

`python -m simulation --help` (in tests/) runs it for as long as wanted.
"""
