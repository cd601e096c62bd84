"""The dashboard: pages for people who sign in, on a listener of their own."""
