"""What a Django project adds to its settings to mail through the tracker.

On the tracker's own machine host and port suffice. Elsewhere MAIL_LOGIN names an API key with the scope `rewrite`, and
MAIL_PASSWORD_FILE the file that holds it. What reps see as the message's name is its subject, unless the mail has a
header: EmailMessage(..., headers={"X-Tracker-Label": "Spring offer", "X-Tracker-Campaign": "spring-26"}).
"""

import os
from pathlib import Path

EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = os.environ.get("MAIL_HOST", "127.0.0.1")
EMAIL_PORT = int(os.environ.get("MAIL_PORT", "2525"))
EMAIL_TIMEOUT = 30
if "MAIL_LOGIN" in os.environ:
    EMAIL_USE_TLS = True
    EMAIL_HOST_USER = os.environ["MAIL_LOGIN"]
    EMAIL_HOST_PASSWORD = Path(os.environ["MAIL_PASSWORD_FILE"]).read_text(encoding="ascii").strip()
