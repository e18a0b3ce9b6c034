"""The HTTP server: sockets, the protocol class, bounds on connections, several processes on one port."""
