"""Processes as they are in production: forked by gunicorn, patched by gevent, stopped, signalled, long-lived."""
