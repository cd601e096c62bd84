"""The whole story on loopback, told with real messages."""
