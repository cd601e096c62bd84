"""The door for mail systems that speak SMTP: messages come in, and go on to the next hop before they are answered."""
