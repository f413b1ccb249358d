"""Programs around the library. They need the extra `cli`: `pip install "headless-discovery[cli]"`."""
