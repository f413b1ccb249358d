"""The library beside what else one could do in a pod, on a real control plane: `make bench-kubernetes`.

Each client is a program of its own with a pod's resolv.conf (`client.py`), and sends requests to the pods of one
headless Service (`pod.py`), one after the other at a steady rate. Pods come and go at moments that have nothing to do
with anybody's TTL (`run.py`). What is measured is seen from outside of all clients: which pod was asked by whom and
when, at the pods; what DNS was asked, on the wire; when pods were ready and deleted, at the API server.
"""
