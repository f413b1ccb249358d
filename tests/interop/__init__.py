"""The library against DNS servers that other people wrote."""
