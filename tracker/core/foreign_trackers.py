"""Names the tracking services that are known by their hosts and paths, each entry with the source of that knowledge.

A table of facts, no code: `core/foreign` reads it. An entry counts for the host and its subdomains; "#" in a host
stands for digits; "*" is any host, for services that run under their customers' own names, and its patterns are
therefore narrow. Patterns are regular expressions on path and query in lower case, matched from the path's slash on;
an empty one means that the service has nothing of that kind, or nothing by which to know it; a bare slash means that
the host does nothing else (an image there still has to be unseen, since it may be a logo).
"""
# ruff: noqa: E501 - a table has rows

from __future__ import annotations

from typing import Final, NamedTuple

OURSELVES: Final = "consent-tracker"
"""This program, here or elsewhere: it tracks as well, after asking."""

_MTB: Final = "MailTrackerBlocker, Source/MTBBlockedMessage.m (github.com/apparition47/MailTrackerBlocker)"
_TROCKER: Final = "Trocker, chrome/lists.js (github.com/trockerapp/trocker)"
_SEEN: Final = "as it stands in mails published in many public repositories"
_CORPUS: Final = "as it stands in messages of the test data of public mail projects"
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class Known(NamedTuple):
    """A service: what its pixels and redirects look like."""

    vendor: str
    hosts: str
    """Separated by blanks."""
    pixel: str
    link: str
    source: str


KNOWN: Final = (
    Known(OURSELVES, "*", r"/(?:[^?#]*/)?o/[\w.-]{66}\.gif", r"/(?:[^?#]*/)?c/[\w.-]{66}/[\w.-]+/[^/?#]+/", "CONTRACT"),
    # Mail services for campaigns and for programs.
    Known("ActiveCampaign", "*", r"/lt\.php\?(?:[^#&\n]{0,99}&(?:amp;)?){0,4}l=open", "", _MTB),
    Known("Acoustic", "mkt#.com mkt#.net", r"/open", r"/ctt", f"{_TROCKER}; {_MTB}"),
    Known("Amazon SES", "awstrack.me", r"/i0/", r"/c?l0/", f"{_MTB}; links: {_SEEN}"),
    Known("Amazon SES", "*", "", r"/c?l0/https?(?::|%3a)(?:/|%2f){2}", _SEEN),
    Known("AWeber", "openrate.aweber.com", r"/", "", _MTB),
    Known("BigMailer", "bml.co bigmailer.link", "", r"/t/c/", "docs.bigmailer.io/docs, Custom Tracking Hosts"),
    Known("Brevo", "sendibt#.com sendibw#.com sendibtd.com", r"/(?:tr/op|track)/", r"/tr/cl/", _SEEN),
    Known("Brevo", "*", r"/tr/op/[\w-]{40,}", r"/tr/cl/[\w-]{40,}", _SEEN),
    Known("Campaign Monitor", "cmail#.com createsend#.com", r"/t/[^?]*o\.gif", r"/t/(?!viewemail)", f"{_MTB}; links: {_SEEN}"),
    Known("CleverReach", "cleverreach.com", "", r"/c/\d+/", _SEEN),
    Known("Constant Contact", "rs6.net", r"/on\.jsp", r"/tn\.jsp", f"{_TROCKER}; {_MTB}; links: {_SEEN}"),
    Known("Constant Contact", "constantcontact.com", r"/images/p1x1\.gif", "", _TROCKER),
    Known("ConvertKit", "convertkit-mail.com open.convertkit-mail#.com", r"/", "", _MTB),
    Known("Customer.io", "customeriomail.com track.customer.io", r"/e/o", "", _MTB),
    Known("Customer.io", "*", r"/e/o/[\w=-]{40,}", "", _MTB),
    Known("Dotdigital", "trackedlink.net dmtrk.net", r"/", r"/", _MTB),
    Known("Emma", "e2ma.net", r"/track", r"/click/", f"{_MTB}; links: {_SEEN}"),
    Known("Emarsys", "emarsys.com", r"/e2t/o/", "", _MTB),
    Known("GetResponse", "*", r"/open\.html\?x=", r"/click\.html\?x=", f"{_MTB}; links: {_SEEN}"),
    Known("GovDelivery", "govdelivery.com", r"/track", "", _MTB),
    Known("iContact", "icptrack.com", r"/icp/track", r"/icp/relay", f"{_TROCKER}; {_MTB}"),
    Known("Intercom", "via.intercom.io", r"/o", "", _MTB),
    Known("Keap", "infusionsoft.com", r"/app/emailopened", "", _MTB),
    Known("Klaviyo", "trk.klaviyomail.com klclick.com klclick#.com", r"/", r"/", f"{_MTB}; links: {_SEEN}"),
    Known("listmonk", "*", rf"/(?:[^?#]*/)?campaign/{_UUID}/{_UUID}/px\.png", rf"/(?:[^?#]*/)?link/{_UUID}/{_UUID}/{_UUID}",
          "cmd/init.go, ViewTrackURL and LinkTrackURL (github.com/knadh/listmonk)"),
    Known("Mailchimp", "list-manage.com list-manage#.com", r"/track/open", r"/track/click", f"{_TROCKER}; {_MTB}"),
    Known("Mailchimp", "*", r"/track/open\.php\?u=", "", _MTB),
    Known("Mandrill", "mandrillapp.com", r"/track/open", r"/track/click", f"{_TROCKER}; {_CORPUS}"),
    Known("Mandrill", "*", r"/track/open\.php\?u=", r"/track/click/\d+/", f"{_MTB}; {_CORPUS}"),
    Known("Mailgun", "*", r"/o/ej[\w-]{30,}", r"/c/ej[\w-]{30,}", f"{_MTB}; zlib in base64url begins with eJ: {_SEEN}"),
    Known("Mailjet", "mjt.lu", r"/oo/", r"/lnk/", f"{_MTB}; links: {_SEEN}"),
    Known("Mailjet", "*", r"/oo/[\w-]{20,}/", r"/lnk/[\w-]{20,}/\d+/", f"{_MTB}; links: {_SEEN}"),
    Known("Marketo", "mkto-#.com mkto-a#.com mkto-k#.com mkto-o#.com", r"/trk", r"/", f"{_CORPUS}; EMailTrackerBlocker's README"),
    Known("Marketo", "*", r"/trk\?t=1&(?:amp;)?mid=", "", f"{_MTB}; {_CORPUS}"),
    Known("Mautic", "*", r"/(?:[^?#]*/)?(?:email/[0-9a-f]{13,}\.gif|mtracking\.gif\?)", r"/(?:[^?#]*/)?r/[0-9a-f]{16,}\?ct=",
          "app/bundles/EmailBundle/Config/config.php and PageBundle (github.com/mautic/mautic)"),
    Known("Oracle", "en#.com bm#.com dynect.net", r"/(?:e/|t/|trk\.php)", "", _MTB),
    Known("phpList", "*", r"/(?:[^?#]*/)?ut\.php\?u=", r"/(?:[^?#]*/)?lt\.php\?tid=", f"{_MTB}; links: {_SEEN}"),
    Known("Postmark", "pstmrk.it", r"/", r"/", f"{_MTB}; {_TROCKER}"),
    Known("Sailthru", "sailthru.com", r"/trk", "", _MTB),
    Known("Salesforce", "exct.net", r"/open\.aspx", r"/\?qs=", f"{_MTB}; links: {_SEEN}"),
    Known("Salesforce", "nova.collect.igodigital.com beacon.krxd.net", r"/", "", _MTB),
    Known("Salesforce", "*", r"/open\.aspx\?ff", r"/\?qs=[0-9a-f]{32,}", f"{_MTB}; links: {_SEEN}"),
    Known("Salesforce", "pardot.com", r"/r/", "", _MTB),
    Known("Salesforce", "relateiq.com salesforceiq.com", r"/t\.png", "", _MTB),
    Known("Selligent", "strongview.com", r"/t/", r"/t/", f"{_TROCKER}; {_MTB}"),
    Known("SendGrid", "sendgrid.net sendgrid.com", r"/(?:wf/open|trk|(?:mp)?ss/o)", r"/(?:wf/click|(?:uni/)?ls/click|(?:mp)?ss/c/)",
          f"{_TROCKER}; {_MTB}"),
    Known("SendGrid", "*", r"/(?:wf/open\?upn=|(?:mp)?ss/o/[\w-]{16,})", r"/(?:wf/click\?upn=|(?:uni/)?ls/click\?|(?:mp)?ss/c/[\w.-]{16,}/)",
          f"{_MTB}; links: {_SEEN}"),
    Known("SendPulse", "stat-pulse.com", r"/", r"/", _MTB),
    Known("Sendy", "*", r"/sendy/t/", "", _MTB),
    Known("SparkPost", "sparkpost.com sparkpostmail.com sparkpostmail#.com", r"/q/", "", _MTB),
    Known("SparkPost", "*", r"/q/[\w-]+~~/", r"/f/a/[\w-]+~~/", f"{_MTB}; links: {_SEEN}"),
    Known("Substack", "substack.com", r"/o/", "", _MTB),
    # Tools for sales people, and add-ons of mail programs.
    Known("Bananatag", "bl-1.com", r"/", r"/", f"{_TROCKER}; {_MTB}"),
    Known("Boomerang", "mailstat.us", r"/tr", "", _MTB),
    Known("Cirrus Insight", "tracking.cirrusinsight.com", r"/", r"/", _MTB),
    Known("Close", "close.io close.com", r"/email_opened", "", _MTB),
    Known("cloudHQ", "cloudhq.io cloudhq-mkt#.net", r"/mail_track", "", _MTB),
    Known("ContactMonkey", "contactmonkey.com", r"/api/v1/tracker", "", _MTB),
    Known("Copper", "prosperworks.com", r"/tp/t", "", _MTB),
    Known("Ebsta", "ebsta.com", r"/", r"/r/", _MTB),
    Known("Front", "frontapp.com", r"/(?:[^?]*/seen|api)", "", _MTB),
    Known("GetNotify", "email81.com", r"/", "", f"{_TROCKER}; {_MTB}"),
    Known("GMass", "gmtrack.net gmreg#.net", r"/", r"/", _MTB),
    Known("Gmelius", "gml.email", r"/", r"/", _MTB),
    Known("HubSpot", "getsidekick.com sidekickopen#.com sigopn#.com hubspotemail.net hubspotfree.net hubspotlinks.com "
          "strk#.email", r"/", r"/", f"{_TROCKER}; {_MTB}; {_SEEN}"),
    Known("HubSpot", "*", r"/e[123]t/(?:o|to)/", r"/(?:e[123]t/(?:c|tc|ctc)/[\w+*/-]{16,}|events/public/v1/encoded/track/tc/)",
          f"{_MTB}; links: {_SEEN}"),
    Known("Hunter", "mltrk.io", r"/pixel", "", _MTB),
    Known("Insightly", "insgly.net", r"/api/trk", "", _MTB),
    Known("Litmus", "emltrk.com", r"/", "", _MTB),
    Known("Mailbutler", "bowtie.mailbutler.io", r"/tracking/", "", _MTB),
    Known("Mailspring", "getmailspring.com", r"/open", r"/link", f"{_MTB}; links: {_SEEN}"),
    Known("MailTag", "mailtag.io", r"/email-event", "", _MTB),
    Known("Mailtrack", "mailtrack.io", r"/trace/mail", r"/trace/link", f"{_TROCKER}; links: {_SEEN}"),
    Known("Mixmax", "mixmax.com", r"/(?:api/track|e/o)", "", f"{_TROCKER}; {_MTB}"),
    Known("Mixmax", "track.mixmax.com email.mixmax.com links.mixmax.com", r"/", r"/", f"{_TROCKER}; {_MTB}"),
    Known("Mixpanel", "mixpanel.com", r"/(?:trk|track)", "", f"{_TROCKER}; {_MTB}"),
    Known("NetHunt", "nethunt.com nethunt.co", r"/(?:api/v1/track/email|[^?]*pixel\.gif)", "", _MTB),
    Known("Newton", "tr.cloudmagic.com", r"/", r"/", _MTB),
    Known("Nylas", "api.nylas.com", r"/open", "", _MTB),
    Known("Outreach", "app.outreach.io outrch.com getoutreach.com", r"/(?:api/mailings/opened|[^?]*/opened)", "", _MTB),
    Known("Polymail", "polymail.io", r"/", "", _MTB),
    Known("SalesHandy", "saleshandy.com", r"/web/email/countopened", "", _MTB),
    Known("Salesloft", "salesloft.com", r"/email_trackers", "", _MTB),
    Known("Streak", "mailfoogae.appspot.com", r"/", "", _MTB),
    Known("Superhuman", "r.superhuman.com", r"/", "", _MTB),
    Known("ToutApp", "toutapp.com", r"/", r"/", _MTB),
    Known("YAMM", "yamm-track.appspot.com", r"/", r"/", _MTB),
    Known("Yesware", "yesware.com", r"/(?:trk|t/)", r"/tt?l?/", f"{_MTB}; {_TROCKER}"),
    Known("Zendesk Sell", "futuresimple.com", r"/api/v1/sprite\.png", "", _MTB),
    # Measuring services that also serve mail.
    Known("CJ Affiliate", "qksrv.net", r"/image-", r"/click-", _CORPUS),
    Known("Microsoft", "c.msn.com", r"/c\.gif\?", "", _CORPUS),
    Known("Rakuten Advertising", "linksynergy.com", r"/fs-bin/show", r"/fs-bin/click", _CORPUS),
    Known("Google Analytics", "google-analytics.com", r"/(?:collect|g/collect|__utm\.gif)", "", f"{_TROCKER}; {_MTB}"),
)  # fmt: skip
STATIC_HOSTS: Final = (
    "cloudfront.net s3.amazonaws.com amazonaws.com cloudinary.com imgur.com mcusercontent.com gallery.mailchimp.com "
    "cdn-images.mailchimp.com googleusercontent.com gstatic.com githubusercontent.com hubspotusercontent.com "
    "hubspot.net akamaized.net azureedge.net blob.core.windows.net storage.googleapis.com fastly.net imgix.net "
    "jsdelivr.net unpkg.com wp.com squarespace-cdn.com shopify.com ytimg.com twimg.com fbcdn.net licdn.com"
)
"""Where files lie that are the same for everybody, often under a random name: a name there tells nothing."""
