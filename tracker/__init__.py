"""A tracking proxy for outgoing e-mail: it asks first, keeps little and forgets on time."""
