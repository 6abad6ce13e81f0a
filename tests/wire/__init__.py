"""Raw bytes against the server: framing, deadlines and drains, on real sockets and both event loops."""
